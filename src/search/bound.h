/* The float32 filter's certificate: why no answer is lost. */
#ifndef FLA_SEARCH_BOUND_H
#define FLA_SEARCH_BOUND_H

#include <stddef.h>

/*
 * At least the distance between a row of dim doubles up to peak in magnitude and its
 * rounding to float32; infinity when float32 cannot hold it.  0 belongs to float32 rows.
 */
double fla_rounding_bound(double peak, size_t dim);

/*
 * The filter's limit for a search radius: every row whose computed distance (the exact
 * kernel's) is at most radius scores at most this in the float32 filter, or scores NaN.
 *
 * rounding  at least what rounding to float32 moved the row plus what it moved the query.
 */
float fla_filter_limit(double radius, double rounding, size_t dim);

#endif
