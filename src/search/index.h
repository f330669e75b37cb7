/* An index's inside: rows that were checked, and what they are searched with. */
#ifndef FLA_SEARCH_INDEX_H
#define FLA_SEARCH_INDEX_H

#include "fast_lsh_ann.h"

struct fla_index {
    const fla_model *model; /* NULL: exact searches only */
    fla_matrix rows;
};

#endif
