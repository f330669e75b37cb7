/* Codes in portable C, for any processor: they define the right answer. */
#include "kernels/kernels.h"

static int32_t score(const uint8_t *tile, int32_t bias, size_t steps, const int8_t *query,
                     size_t row)
{
    const uint8_t *group = tile + row / FLA_GROUP * steps * FLA_STEP * FLA_GROUP;
    int32_t sum = bias;
    for (size_t s = 0; s < steps; s++) {
        const uint8_t *codes = group + (s * FLA_GROUP + row % FLA_GROUP) * FLA_STEP;
        for (size_t j = 0; j < FLA_STEP; j++)
            sum += codes[j] * query[s * FLA_STEP + j];
    }
    return sum;
}

static size_t filter_codes(const uint8_t *tile, const int32_t *bias, size_t steps,
                           const int8_t *queries, size_t n_queries, const int32_t *limits,
                           fla_hit *hits)
{
    size_t n = 0;
    for (size_t q = 0; q < n_queries; q++) {
        uint64_t rows = 0;
        for (size_t r = 0; r < FLA_TILE; r++) {
            const int32_t s =
                score(tile, bias[r], steps, queries + q * steps * FLA_STEP, r);
            rows |= (uint64_t)(s >= limits[q]) << r;
        }
        if (rows != 0)
            hits[n++] = (fla_hit){rows, q};
    }
    return n;
}

static void best_codes(const uint8_t *tile, const int32_t *bias, size_t steps,
                       const int8_t *queries, size_t n_queries, int32_t *best,
                       size_t stride)
{
    for (size_t q = 0; q < n_queries; q++) {
        for (size_t r = 0; r < FLA_TILE; r++) {
            const int32_t s =
                score(tile, bias[r], steps, queries + q * steps * FLA_STEP, r);
            if (s > best[q * stride + r])
                best[q * stride + r] = s;
        }
    }
}

static uint64_t check_codes(const uint8_t *records, const int32_t *bias, size_t steps,
                            const int8_t *query, int32_t limit, uint64_t rows)
{
    uint64_t reach = 0;
    for (size_t r = 0; r < FLA_TILE; r++) {
        int32_t sum = bias[r];
        if ((rows >> r & 1) == 0)
            continue;
        for (size_t j = 0; j < steps * FLA_STEP; j++)
            sum += records[r * steps * FLA_STEP + j] * query[j];
        reach |= (uint64_t)(sum >= limit) << r;
    }
    return reach;
}

const fla_code_kernels fla_codes_scalar = {
    .step_time = 1.0F,
    .code_max = 127,
    .code_offset = 128,
    .filter = filter_codes,
    .best = best_codes,
    .check = check_codes,
};
