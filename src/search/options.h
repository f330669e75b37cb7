/* Reading and checking fla_search_options, once for every kind of search. */
#ifndef FLA_SEARCH_OPTIONS_H
#define FLA_SEARCH_OPTIONS_H

#include "fast_lsh_ann.h"

/*
 * Copy the caller's options (NULL: the defaults) and check them against the model.
 * *model becomes NULL where min_collisions is 0: exact search needs none.
 */
fla_status fla_search_options_read(const fla_search_options *callers,
                                   const fla_model **model, fla_search_options *out,
                                   fla_error *err);

/* Check what a join is asked besides: a threshold, and upper only for one side. */
fla_status fla_join_check(double threshold, bool upper, bool two_sides, fla_error *err);

#endif
