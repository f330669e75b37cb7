/* The resident side of a search: queries, or a block of a join's left rows. */
#include "search/queries.h"

#include <math.h>

#include "base/alloc.h"
#include "lsh/model.h"
#include "search/bound.h"

bool fla_queries_init(fla_queries *queries, const fla_model *model,
                      const fla_matrix *rows)
{
    size_t values;
    *queries = (fla_queries){.rows = *rows, .n = rows->rows};
    queries->rounding = fla_alloc(rows->rows, sizeof *queries->rounding);
    if (!fla_size_mul(rows->rows, rows->dim, &values))
        return false;
    queries->packed = fla_alloc(values, sizeof *queries->packed);
    if (queries->rounding == NULL || queries->packed == NULL)
        return false;
    if (model == NULL)
        return true;
    if (!fla_size_mul(rows->rows, model->tables, &values))
        return false;
    queries->buckets = fla_alloc(values, sizeof *queries->buckets);
    return queries->buckets != NULL;
}

void fla_queries_clear(fla_queries *queries)
{
    fla_free(queries->packed);
    fla_free(queries->rounding);
    fla_free(queries->buckets);
    *queries = (fla_queries){0};
}

/* Round one query to float32.  Returns its largest magnitude, infinity if not finite. */
static double pack_query(fla_queries *queries, size_t i)
{
    float *packed = queries->packed + i * queries->rows.dim;
    double peak = 0;
    for (size_t j = 0; j < queries->rows.dim; j++) {
        const double value = fla_row_value(&queries->rows, i, j);
        const double magnitude = fabs(value);
        if (!(magnitude < INFINITY))
            return INFINITY;
        peak = magnitude > peak ? magnitude : peak;
        packed[j] = (float)value;
    }
    return peak;
}

fla_status fla_queries_fill(fla_queries *queries, fla_hasher *hasher, size_t first,
                            size_t n)
{
    const size_t dim = queries->rows.dim;
    for (size_t i = first; i < first + n; i++) {
        const double peak = pack_query(queries, i);
        if (!isfinite(peak))
            return FLA_ERR_NONFINITE;
        queries->rounding[i] =
            queries->rows.dtype == FLA_F32 ? 0 : fla_rounding_bound(peak, dim);
    }
    if (hasher == NULL)
        return FLA_OK;
    const fla_matrix part = fla_rows_slice(&queries->rows, first, n);
    return fla_hash_rows(hasher, &part, queries->buckets + first * hasher->model->tables);
}
