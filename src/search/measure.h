/* Distances of pairs of rows, computed eight at a time. */
#ifndef FLA_SEARCH_MEASURE_H
#define FLA_SEARCH_MEASURE_H

#include "lsh/rows.h"

/* Pairs that wait to be measured together, and where their distances go. */
typedef struct fla_measure {
    fla_distance_fn *distance;
    size_t dim;
    size_t n;
    const void *rows[FLA_PAIRS], *queries[FLA_PAIRS];
    double *places[FLA_PAIRS];
} fla_measure;

/* For rows and queries of these types and this dimension; nothing waits yet. */
void fla_measure_begin(fla_measure *measure, const fla_kernels *kernels,
                       const fla_matrix *rows, const fla_matrix *queries);

/* Let the pair of a row and a query wait; its distance comes by the next flush. */
void fla_measure_add(fla_measure *measure, const void *row, const void *query,
                     double *place);

/* Measure all that wait. */
void fla_measure_flush(fla_measure *measure);

#endif
