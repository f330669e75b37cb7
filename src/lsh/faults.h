/* Naming what is wrong with rows, once a fast path has found that something is. */
#ifndef FLA_LSH_FAULTS_H
#define FLA_LSH_FAULTS_H

#include "fast_lsh_ann.h"

/*
 * Find the first row at fault, count the others, and describe it.  Looks for NaN and
 * infinity in every row, then (with a model) for a bucket beyond int64. FLA_ERR_CANCELLED
 * when the call says stop.
 */
fla_status fla_rows_describe_fault(fla_context *context, const fla_call *call,
                                   const fla_matrix *rows, const fla_model *model,
                                   const char *argument, fla_error *err);

#endif
