/* The resident side of a search: queries, or a block of a join's left rows. */
#include "search/queries.h"

#include <string.h>

#include "base/alloc.h"
#include "lsh/model.h"

bool fla_queries_init(fla_queries *queries, const fla_model *model,
                      const fla_matrix *rows)
{
    size_t values;
    *queries = (fla_queries){.rows = *rows, .n = rows->rows};
    if (model == NULL)
        return true;
    if (!fla_size_mul(rows->rows, model->functions, &values))
        return false;
    queries->buckets = fla_alloc(values, sizeof *queries->buckets);
    return queries->buckets != NULL;
}

static void free_codes(fla_coded_queries *coded)
{
    fla_free(coded->codes);
    fla_free(coded->coded);
    *coded = (fla_coded_queries){0};
}

void fla_queries_clear(fla_queries *queries)
{
    fla_free(queries->buckets);
    free_codes(&queries->full);
    free_codes(&queries->brief);
    *queries = (fla_queries){0};
}

/* NaN and infinity have an exponent of ones, so adding one to it carries into the sign:
   integer arithmetic, which compilers turn into vectors. */
static bool finite(const fla_matrix *rows, size_t i)
{
    const char *row = fla_row(rows, i);
    uint64_t carried = 0;
    if (rows->dtype == FLA_F32) {
        uint32_t carried_f32 = 0, bits;
        for (size_t j = 0; j < rows->dim; j++) {
            memcpy(&bits, row + j * sizeof bits, sizeof bits);
            carried_f32 |= (bits & UINT32_C(0x7f800000)) + UINT32_C(0x00800000);
        }
        return carried_f32 >> 31 == 0;
    }
    for (size_t j = 0; j < rows->dim; j++) {
        uint64_t bits;
        memcpy(&bits, row + j * sizeof bits, sizeof bits);
        carried |= (bits & UINT64_C(0x7ff0000000000000)) + UINT64_C(0x0010000000000000);
    }
    return carried >> 63 == 0;
}

fla_status fla_queries_fill(fla_queries *queries, fla_hasher *hasher, size_t first,
                            size_t n)
{
    for (size_t i = first; i < first + n; i++)
        if (!finite(&queries->rows, i))
            return FLA_ERR_NONFINITE;
    if (hasher == NULL)
        return FLA_OK;
    return fla_hash_rows(hasher, &queries->rows, first, n,
                         queries->buckets + first * hasher->model->functions);
}

/* ---- codes ----------------------------------------------------------------------- */

static bool make_codes(fla_coded_queries *coded, size_t n, size_t steps)
{
    if (steps == coded->steps)
        return true;
    free_codes(coded);
    coded->codes = fla_alloc(n, steps * FLA_STEP);
    coded->coded = fla_alloc(n, sizeof *coded->coded);
    if (coded->codes == NULL || coded->coded == NULL)
        return false;
    coded->steps = steps;
    return true;
}

bool fla_queries_reserve(fla_queries *queries, const fla_base *base)
{
    return make_codes(&queries->full, queries->n, base->full.steps) &&
           (!fla_base_has_prefix(base) ||
            make_codes(&queries->brief, queries->n, base->brief.steps));
}

/* Query i of a coded group, taken out of the lanes and rid of the offset. */
static void take_codes(fla_coded_queries *coded, const fla_quantizer *quantizer,
                       const uint8_t *group, const fla_encoded *encoded, size_t i,
                       size_t query)
{
    const int32_t offset = quantizer->kernels->codes->code_offset;
    const size_t steps = quantizer->steps;
    int8_t *codes = coded->codes + query * coded->steps * FLA_STEP;
    int32_t sum = 0;
    memset(codes + steps * FLA_STEP, 0, (coded->steps - steps) * FLA_STEP);
    for (size_t s = 0; s < steps; s++) {
        const uint8_t *step = group + (s * FLA_GROUP + i) * FLA_STEP;
        for (size_t j = 0; j < FLA_STEP; j++) {
            const int32_t code = (int8_t)(uint8_t)(step[j] - offset);
            codes[s * FLA_STEP + j] = (int8_t)code;
            sum += code;
        }
    }
    coded->coded[query] =
        (fla_coded){encoded->residual[i], encoded->squares[i], sum * offset};
}

/* work holds a packed group, its short forms (at most a third of it, and padding), and a
   coded group, a quarter: less than the four groups of a tile at any dimension. */
void fla_queries_encode(fla_queries *queries, const fla_base *base, float *work,
                        size_t first, size_t n)
{
    float *form = work + FLA_GROUP * base->rows.dim;
    uint8_t *codes =
        (uint8_t *)(form + (fla_prefix_padded(base->prefix.directions) + 1) * FLA_GROUP);
    const void *rows[FLA_GROUP], *ahead[FLA_GROUP];
    fla_encoded full, brief;
    for (size_t i = first; i < first + n; i += FLA_GROUP) {
        fla_rows_group(&queries->rows, i, rows);
        fla_rows_group(&queries->rows, i + FLA_GROUP, ahead);
        fla_quantizer_encode(&base->quantizer, queries->rows.dtype, rows, ahead, work,
                             codes, &full);
        for (size_t g = 0; g < FLA_GROUP && i + g < first + n; g++)
            take_codes(&queries->full, &base->quantizer, codes, &full, g, i + g);
        if (!fla_base_has_prefix(base))
            continue;
        fla_prefix_encode(&base->prefix, work, &full, form, codes, &brief);
        for (size_t g = 0; g < FLA_GROUP && i + g < first + n; g++)
            take_codes(&queries->brief, &base->prefix.quantizer, codes, &brief, g, i + g);
    }
}
