/* Which plan costs least. */
#ifndef FLA_SEARCH_PLAN_H
#define FLA_SEARCH_PLAN_H

#include "search/base.h"

/*
 * About the share of rows that collide with another row at least once, from a sample.
 * Returns FLA_OK, FLA_ERR_MEMORY, or FLA_ERR_NONFINITE or FLA_ERR_RANGE for rows that
 * were not checked before, without describing it.
 */
fla_status fla_plan_share(const fla_kernels *kernels, const fla_model *model,
                          const fla_matrix *rows, double *share);

/*
 * Give a prepared base sorted runs if its model selects little.
 * Returns FLA_OK, FLA_ERR_MEMORY or FLA_ERR_CANCELLED.
 */
fla_status fla_plan_runs(fla_base *base, fla_context *context, fla_run *run);

/* Whether a search of an index goes by buckets; model: NULL for an exact one. */
bool fla_plan_goes_by_buckets(const fla_base *base, const fla_model *model,
                              fla_plan plan);

/* Steps of a row's codes that the filter reads first. */
size_t fla_plan_steps(const fla_base *base);

/* Nanoseconds of one thread for a pair of a dense scan. */
double fla_plan_dense_time(const fla_base *base);

/* True when going by buckets costs less than a dense scan of such a time a pair. */
bool fla_plan_is_selective(double share, size_t dim, double dense_time);

#endif
