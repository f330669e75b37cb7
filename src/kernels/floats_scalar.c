/* The tier for any processor, in portable C: it defines the right answer. */
#include "kernels/kernels.h"

#include <math.h>

#include "kernels/portable.h"

#define FLA_PACK(load, type, value_out)                 \
    double peak = 0;                                    \
    (void)ahead;                                        \
    for (size_t j = 0; j < dim; j++) {                  \
        for (size_t i = 0; i < FLA_GROUP; i++) {        \
            const double value = load(rows[i], j);      \
            group[j * FLA_GROUP + i] = (type)value_out; \
            peak = larger_magnitude(peak, value);       \
        }                                               \
    }                                                   \
    return peak;

static double center_f32(const void *const rows[FLA_GROUP],
                         const void *const ahead[FLA_GROUP], size_t dim,
                         const float *centre, float *group)
{
    FLA_PACK(load_f32, float, ((float)value - centre[j]))
}

static double center_f64(const void *const rows[FLA_GROUP],
                         const void *const ahead[FLA_GROUP], size_t dim,
                         const float *centre, float *group)
{
    FLA_PACK(load_f64, float, (value - (double)centre[j]))
}

static double pack_f32(const void *const rows[FLA_GROUP],
                       const void *const ahead[FLA_GROUP], size_t dim, double *group)
{
    FLA_PACK(load_f32, double, value)
}

static double pack_f64(const void *const rows[FLA_GROUP],
                       const void *const ahead[FLA_GROUP], size_t dim, double *group)
{
    FLA_PACK(load_f64, double, value)
}

static int32_t nearest_code(float value, float reciprocal, int32_t code_max)
{
    const float least = (float)(-code_max - 1), most = (float)code_max;
    const float code = nearbyintf(value * reciprocal);
    if (!(code > least)) /* NaN too */
        return -code_max - 1;
    return code < most ? (int32_t)code : code_max;
}

/* Add the sums of a run to those of the runs before, and start another. */
static void end_run(float sum[FLA_GROUP], float run[FLA_GROUP])
{
    for (size_t i = 0; i < FLA_GROUP; i++) {
        sum[i] += run[i];
        run[i] = 0;
    }
}

static void encode(const float *group, size_t dim, float scale, int32_t code_max,
                   int32_t code_offset, uint8_t *codes, fla_residue *residue)
{
    const float reciprocal = 1 / scale;
    float residuals[FLA_GROUP] = {0}, lengths[FLA_GROUP] = {0};
    *residue = (fla_residue){{0}, {0}, {0}};
    for (size_t j = 0; j < (dim + FLA_STEP - 1) / FLA_STEP * FLA_STEP; j++) {
        uint8_t *out = codes + j / FLA_STEP * FLA_STEP * FLA_GROUP + j % FLA_STEP;
        for (size_t i = 0; i < FLA_GROUP; i++) {
            const float value = j < dim ? group[j * FLA_GROUP + i] : 0;
            const int32_t code = nearest_code(value, reciprocal, code_max);
            const float residual = fmaf(-(float)code, scale, value);
            out[i * FLA_STEP] = (uint8_t)(code + code_offset);
            residue->squares[i] += code * code;
            residuals[i] += residual * residual;
            lengths[i] += value * value;
        }
        if (j % FLA_RUN == FLA_RUN - 1) {
            end_run(residue->residual, residuals);
            end_run(residue->length, lengths);
        }
    }
    end_run(residue->residual, residuals);
    end_run(residue->length, lengths);
}

static void multiply(const float *group, size_t dim, const float *vectors, size_t n,
                     float *products)
{
    for (size_t v = 0; v < n; v++) {
        float sum[FLA_GROUP] = {0}, run[FLA_GROUP] = {0};
        for (size_t j = 0; j < dim; j++) {
            for (size_t i = 0; i < FLA_GROUP; i++)
                run[i] += group[j * FLA_GROUP + i] * vectors[v * dim + j];
            if (j % FLA_RUN == FLA_RUN - 1)
                end_run(sum, run);
        }
        end_run(sum, run);
        for (size_t i = 0; i < FLA_GROUP; i++)
            products[v * FLA_GROUP + i] = sum[i];
    }
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

static void filter(const float *tile, size_t dim, const float *queries, size_t n_queries,
                   const float *limits, uint64_t *keep)
{
    for (size_t q = 0; q < n_queries; q++) {
        keep[q] = 0;
        for (size_t g = 0; g < FLA_TILE_GROUPS; g++)
            keep[q] |= filter_group(tile + g * dim * FLA_GROUP, dim, queries + q * dim,
                                    limits[q])
                       << (g * FLA_GROUP);
    }
}

static void project(const double *group, size_t dim, const double *vectors,
                    const double *offsets, size_t functions, double reciprocal,
                    double *buckets)
{
    for (size_t f = 0; f < functions; f++) {
        const double *vector = vectors + f * dim;
        double sum[FLA_GROUP] = {0};
        for (size_t j = 0; j < dim; j++)
            for (size_t i = 0; i < FLA_GROUP; i++)
                sum[i] = fma(group[j * FLA_GROUP + i], vector[j], sum[i]);
        for (size_t i = 0; i < FLA_GROUP; i++)
            buckets[f * FLA_GROUP + i] = floor(reciprocal * (sum[i] + offsets[f]));
    }
}

#define FLA_NARROW(load)                                 \
    float squares[FLA_GROUP] = {0};                      \
    for (size_t j = 0; j < dim; j++) {                   \
        for (size_t i = 0; i < FLA_GROUP; i++) {         \
            const float value = (float)load(rows[i], j); \
            group[j * FLA_GROUP + i] = value;            \
            squares[i] += value * value;                 \
        }                                                \
    }                                                    \
    for (size_t i = 0; i < FLA_GROUP; i++)               \
        norms[i] = sqrtf(squares[i]);

static void narrow_f32(const void *const rows[FLA_GROUP], size_t dim, float *group,
                       float norms[FLA_GROUP])
{
    FLA_NARROW(load_f32)
}

static void narrow_f64(const void *const rows[FLA_GROUP], size_t dim, float *group,
                       float norms[FLA_GROUP])
{
    FLA_NARROW(load_f64)
}

static uint32_t bucket(const fla_narrow *narrow, const float *groups, const float *norms,
                       size_t n_groups, const void *ahead, size_t ahead_bytes,
                       int64_t *buckets, uint16_t *unsure)
{
    (void)ahead;
    (void)ahead_bytes;
    const size_t dim = narrow->dim;
    uint32_t any = 0;
    for (size_t g = 0; g < n_groups; g++, norms += FLA_GROUP) {
        for (size_t f = 0; f < narrow->functions; f++, buckets += FLA_GROUP, unsure++) {
            float y[FLA_GROUP];
            uint32_t set = 0;
            multiply(groups + g * dim * FLA_GROUP, dim, narrow->vectors + f * dim, 1, y);
            for (size_t i = 0; i < FLA_GROUP; i++) {
                const float slack = norms[i] * narrow->tolerances[f] + narrow->least;
                const float placed = y[i] + narrow->offsets[f];
                const float low = floorf(placed - slack), high = floorf(placed + slack);
                buckets[i] = (int64_t)low;
                set |= (uint32_t)(low != high) << i;
            }
            *unsure = (uint16_t)set;
            any |= set;
        }
    }
    return any;
}

static void lay_out(const int64_t *buckets, size_t functions, size_t n, int64_t *out)
{
    lay_out_from(buckets, functions, 0, n, out);
}

#define FLA_DISTANCE(load_row, load_query)                                              \
    for (size_t i = 0; i < FLA_PAIRS; i++) {                                            \
        double sum = 0;                                                                 \
        for (size_t j = 0; j < dim; j++) {                                              \
            const double difference = load_row(rows[i], j) - load_query(queries[i], j); \
            const double square = difference * difference;                              \
            sum += square;                                                              \
        }                                                                               \
        distances[i] = sqrt(sum);                                                       \
    }

static void distance_f32_f32(const void *const rows[FLA_PAIRS],
                             const void *const queries[FLA_PAIRS], size_t dim,
                             double distances[FLA_PAIRS])
{
    FLA_DISTANCE(load_f32, load_f32)
}

static void distance_f32_f64(const void *const rows[FLA_PAIRS],
                             const void *const queries[FLA_PAIRS], size_t dim,
                             double distances[FLA_PAIRS])
{
    FLA_DISTANCE(load_f32, load_f64)
}

static void distance_f64_f32(const void *const rows[FLA_PAIRS],
                             const void *const queries[FLA_PAIRS], size_t dim,
                             double distances[FLA_PAIRS])
{
    FLA_DISTANCE(load_f64, load_f32)
}

static void distance_f64_f64(const void *const rows[FLA_PAIRS],
                             const void *const queries[FLA_PAIRS], size_t dim,
                             double distances[FLA_PAIRS]){
    FLA_DISTANCE(load_f64, load_f64)}

#define FLA_ESTIMATE(type, load_row, load_query)                                     \
    type sums[FLA_ESTIMATE_LANES] = {0}, total = 0;                                  \
    for (size_t j = 0; j < dim; j++) {                                               \
        const type difference = (type)load_row(row, j) - (type)load_query(query, j); \
        sums[j % FLA_ESTIMATE_LANES] += difference * difference;                     \
    }                                                                                \
    for (size_t i = 0; i < FLA_ESTIMATE_LANES; i++)                                  \
        total += sums[i];                                                            \
    return (double)total;

static double estimate_f32_f32(const void *row, const void *query, size_t dim)
{
    FLA_ESTIMATE(float, load_f32, load_f32)
}

static double estimate_f32_f64(const void *row, const void *query, size_t dim)
{
    FLA_ESTIMATE(double, load_f32, load_f64)
}

static double estimate_f64_f32(const void *row, const void *query, size_t dim)
{
    FLA_ESTIMATE(double, load_f64, load_f32)
}

static double estimate_f64_f64(const void *row, const void *query, size_t dim)
{
    FLA_ESTIMATE(double, load_f64, load_f64)
}

static uint64_t match_i64(const int64_t *buckets, int64_t bucket)
{
    uint64_t same = 0;
    for (size_t i = 0; i < FLA_TILE; i++)
        same |= (uint64_t)(buckets[i] == bucket) << i;
    return same;
}

const fla_float_kernels fla_floats_scalar = {
    .center_f32 = center_f32,
    .center_f64 = center_f64,
    .pack_f32 = pack_f32,
    .pack_f64 = pack_f64,
    .encode = encode,
    .multiply = multiply,
    .filter = filter,
    .distance = {{distance_f32_f32, distance_f32_f64},
                 {distance_f64_f32, distance_f64_f64}},
    .estimate = {{estimate_f32_f32, estimate_f32_f64},
                 {estimate_f64_f32, estimate_f64_f64}},
    .project = project,
    .chain_f32 = chain_f32,
    .chain_f64 = chain_f64,
    .narrow_f32 = narrow_f32,
    .narrow_f64 = narrow_f64,
    .bucket = bucket,
    .lay_out = lay_out,
    .match_i64 = match_i64,
};
