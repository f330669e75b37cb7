/* Distances of pairs of rows, computed eight at a time. */
#include "search/measure.h"

void fla_measure_begin(fla_measure *measure, const fla_kernels *kernels,
                       const fla_matrix *rows, const fla_matrix *queries)
{
    measure->distance = kernels->floats->distance[rows->dtype][queries->dtype];
    measure->dim = rows->dim;
    measure->n = 0;
}

void fla_measure_add(fla_measure *measure, const void *row, const void *query,
                     double *place)
{
    measure->rows[measure->n] = row;
    measure->queries[measure->n] = query;
    measure->places[measure->n++] = place;
    if (measure->n == FLA_PAIRS)
        fla_measure_flush(measure);
}

void fla_measure_flush(fla_measure *measure)
{
    const size_t n = measure->n;
    double distances[FLA_PAIRS];
    if (n == 0)
        return;
    for (size_t i = n; i < FLA_PAIRS; i++) { /* the kernel takes no fewer */
        measure->rows[i] = measure->rows[0];
        measure->queries[i] = measure->queries[0];
    }
    measure->distance(measure->rows, measure->queries, measure->dim, distances);
    for (size_t i = 0; i < n; i++)
        *measure->places[i] = distances[i];
    measure->n = 0;
}
