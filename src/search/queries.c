/* The resident side of a search: queries, or a block of a join's left rows. */
#include "search/queries.h"

#include <math.h>

#include "base/alloc.h"
#include "lsh/model.h"

bool fla_queries_init(fla_queries *queries, const fla_model *model,
                      const fla_matrix *rows)
{
    size_t values;
    *queries = (fla_queries){.rows = *rows, .n = rows->rows};
    if (model == NULL)
        return true;
    if (!fla_size_mul(rows->rows, model->tables, &values))
        return false;
    queries->buckets = fla_alloc(values, sizeof *queries->buckets);
    return queries->buckets != NULL;
}

void fla_queries_clear(fla_queries *queries)
{
    fla_free(queries->buckets);
    fla_free(queries->codes);
    fla_free(queries->coded);
    *queries = (fla_queries){0};
}

static bool finite(const fla_matrix *rows, size_t i)
{
    for (size_t j = 0; j < rows->dim; j++)
        if (!isfinite(fla_row_value(rows, i, j)))
            return false;
    return true;
}

fla_status fla_queries_fill(fla_queries *queries, fla_hasher *hasher, size_t first,
                            size_t n)
{
    for (size_t i = first; i < first + n; i++)
        if (!finite(&queries->rows, i))
            return FLA_ERR_NONFINITE;
    if (hasher == NULL)
        return FLA_OK;
    const fla_matrix part = fla_rows_slice(&queries->rows, first, n);
    return fla_hash_rows(hasher, &part, queries->buckets + first * hasher->model->tables);
}

bool fla_queries_reserve(fla_queries *queries, size_t steps)
{
    if (steps == queries->steps)
        return true;
    fla_free(queries->codes);
    fla_free(queries->coded);
    queries->steps = 0;
    queries->codes = fla_alloc(queries->n, steps * FLA_STEP);
    queries->coded = fla_alloc(queries->n, sizeof *queries->coded);
    if (queries->codes == NULL || queries->coded == NULL)
        return false;
    queries->steps = steps;
    return true;
}

/* Query i of a coded group, taken out of the lanes and rid of the offset. */
static void take_codes(fla_queries *queries, const fla_quantizer *quantizer,
                       const uint8_t *group, const fla_encoded *encoded, size_t i,
                       size_t query)
{
    const int32_t offset = quantizer->kernels->codes->code_offset;
    int8_t *codes = queries->codes + query * queries->steps * FLA_STEP;
    int32_t sum = 0;
    for (size_t s = 0; s < queries->steps; s++) {
        const uint8_t *step = group + (s * FLA_GROUP + i) * FLA_STEP;
        for (size_t j = 0; j < FLA_STEP; j++) {
            const int32_t code = (int8_t)(uint8_t)(step[j] - offset);
            codes[s * FLA_STEP + j] = (int8_t)code;
            sum += code;
        }
    }
    queries->coded[query] =
        (fla_coded){encoded->residual[i], encoded->squares[i], sum * offset};
}

void fla_queries_encode(fla_queries *queries, const fla_quantizer *quantizer,
                        float *group, uint8_t *codes, size_t first, size_t n)
{
    const void *rows[FLA_GROUP], *ahead[FLA_GROUP];
    fla_encoded encoded;
    for (size_t i = first; i < first + n; i += FLA_GROUP) {
        fla_rows_group(&queries->rows, i, rows);
        fla_rows_group(&queries->rows, i + FLA_GROUP, ahead);
        fla_quantizer_encode(quantizer, queries->rows.dtype, rows, ahead, group, codes,
                             &encoded);
        for (size_t g = 0; g < FLA_GROUP && i + g < first + n; g++)
            take_codes(queries, quantizer, codes, &encoded, g, i + g);
    }
}
