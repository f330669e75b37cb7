/* The one home of choices: which kernels, how many threads. */
#ifndef FLA_LSH_CONTEXT_H
#define FLA_LSH_CONTEXT_H

#include "base/pool.h"
#include "kernels/kernels.h"

struct fla_context {
    const fla_kernels *kernels;
    fla_pool *pool;
};

#endif
