/* The tier for any processor, in portable C: it defines the right answer. */
#include "kernels/kernels.h"

#include <math.h>

#include "kernels/portable.h"

#define FLA_PACK(load, type)                                  \
    double peak = 0;                                          \
    (void)ahead;                                              \
    for (size_t j = 0; j < dim; j++) {                        \
        for (size_t i = 0; i < FLA_GROUP; i++) {              \
            const double value = load(rows[i], j);            \
            ((type *)group)[j * FLA_GROUP + i] = (type)value; \
            peak = larger_magnitude(peak, value);             \
        }                                                     \
    }                                                         \
    return peak;

static double pack_f32_to_f32(const void *const rows[FLA_GROUP],
                              const void *const ahead[FLA_GROUP], size_t dim, void *group)
{
    FLA_PACK(load_f32, float)
}

static double pack_f64_to_f32(const void *const rows[FLA_GROUP],
                              const void *const ahead[FLA_GROUP], size_t dim, void *group)
{
    FLA_PACK(load_f64, float)
}

static double pack_f32_to_f64(const void *const rows[FLA_GROUP],
                              const void *const ahead[FLA_GROUP], size_t dim, void *group)
{
    FLA_PACK(load_f32, double)
}

static double pack_f64_to_f64(const void *const rows[FLA_GROUP],
                              const void *const ahead[FLA_GROUP], size_t dim, void *group)
{
    FLA_PACK(load_f64, double)
}

static uint64_t filter_group(const float *group, size_t dim, const float *query,
                             float limit)
{
    float sum[FLA_GROUP] = {0};
    uint64_t keep = 0;
    for (size_t j = 0; j < dim; j++) {
        for (size_t i = 0; i < FLA_GROUP; i++) {
            const float difference = query[j] - group[j * FLA_GROUP + i];
            sum[i] += difference * difference;
        }
    }
    for (size_t i = 0; i < FLA_GROUP; i++)
        keep |= (uint64_t)!(sum[i] > limit) << i;
    return keep;
}

static void filter_f32(const float *tile, size_t dim, const float *queries,
                       size_t n_queries, const float *limits, uint64_t *keep)
{
    for (size_t q = 0; q < n_queries; q++) {
        keep[q] = 0;
        for (size_t g = 0; g < FLA_TILE_GROUPS; g++)
            keep[q] |= filter_group(tile + g * dim * FLA_GROUP, dim, queries + q * dim,
                                    limits[q])
                       << (g * FLA_GROUP);
    }
}

static void project_f64(const double *group, size_t dim, const double *vectors,
                        size_t tables, double reciprocal, double *buckets)
{
    for (size_t t = 0; t < tables; t++) {
        const double *vector = vectors + t * dim;
        double sum[FLA_GROUP] = {0};
        for (size_t j = 0; j < dim; j++)
            for (size_t i = 0; i < FLA_GROUP; i++)
                sum[i] = fma(group[j * FLA_GROUP + i], vector[j], sum[i]);
        for (size_t i = 0; i < FLA_GROUP; i++)
            buckets[t * FLA_GROUP + i] = floor(reciprocal * sum[i]);
    }
}

static uint64_t match_i64(const int64_t *buckets, int64_t bucket)
{
    uint64_t same = 0;
    for (size_t i = 0; i < FLA_TILE; i++)
        same |= (uint64_t)(buckets[i] == bucket) << i;
    return same;
}

const fla_kernels fla_kernels_scalar = {
    .name = "scalar",
    .needs = 0,
    .pack_f32_to_f32 = pack_f32_to_f32,
    .pack_f64_to_f32 = pack_f64_to_f32,
    .pack_f32_to_f64 = pack_f32_to_f64,
    .pack_f64_to_f64 = pack_f64_to_f64,
    .filter_f32 = filter_f32,
    .distance_f32 = distance_f32,
    .distance_f64 = distance_f64,
    .project_f64 = project_f64,
    .match_i64 = match_i64,
};
