/* Finding directions for short forms, and deciding whether they pay. */
#ifndef FLA_SEARCH_PREFIX_FIT_H
#define FLA_SEARCH_PREFIX_FIT_H

#include "search/prefix.h"

/*
 * Fit a prefix to rows like these; it has no directions where one stage is as good.
 * Clear it in any case; what was there before is cleared here.
 *
 * centre  [dim]: what is taken off every row.
 *
 * Returns FLA_OK or FLA_ERR_MEMORY.
 */
fla_status fla_prefix_fit(fla_prefix *prefix, const fla_kernels *kernels,
                          const fla_matrix *rows, const float *centre);

/* Coordinates of the longest short form that rows of dim might get, 0: none; and bytes
   that looking for it takes on the way. */
size_t fla_prefix_longest(size_t dim);
double fla_prefix_fit_takes(size_t dim);

#endif
