/* An index's inside: rows that were prepared, and what they are searched with. */
#ifndef FLA_SEARCH_INDEX_H
#define FLA_SEARCH_INDEX_H

#include "search/base.h"

struct fla_index {
    fla_base base; /* its model is NULL for exact searches only */
};

#endif
