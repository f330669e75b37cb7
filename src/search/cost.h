/* About what a pair costs, in nanoseconds of one thread: for choices, never for answers.
   Measured on a Zen 5 (bench/kernels.c, bench/ladder.py). */
#ifndef FLA_SEARCH_COST_H
#define FLA_SEARCH_COST_H

#include "kernels/kernels.h"

/* A pair that is scored by codes of so many steps. */
double fla_cost_codes(const fla_code_kernels *codes, size_t steps);

/* A pair that passes short forms: its row's own codes are scored, side by side. */
double fla_cost_check(const fla_code_kernels *codes, size_t dim);

/* A pair of the float32 filter, and one that passes codes in vain; so many queries share
   the reading of a row. */
double fla_cost_floats(size_t dim, size_t queries);
double fla_cost_lost(size_t dim, size_t queries);

/* A candidate that is fetched by itself. */
double fla_cost_candidate(size_t dim);

#endif
