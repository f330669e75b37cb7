/*
 * The kernels in terms of vectors, written once: floats_avx2.c and floats_avx512.c
 * define the vector types and operations below for their instruction set and include this
 * file.
 *
 *   vf, vd, vi       vectors of F_LANES floats, D_LANES = F_LANES / 2 doubles, F_LANES
 *                    int32
 *   v?_*             one or two instructions each; loads and stores at aligned addresses
 *                    are _load and _store, at any address _loadu and _storeu
 *   QUERIES, ROWS_F  queries and row vectors of one register block of the filter
 *   VECTORS, ROWS_P  vectors and row vectors of one register block of products
 *   FUNCTIONS        hash functions of one register block of the projection
 *
 * The blocks are sized so that accumulators, one row vector set and temporaries fit in
 * the register file; loops over them have constant bounds and unroll completely.
 */
#ifndef FLA_KERNELS_FLOATS_LANES_H
#define FLA_KERNELS_FLOATS_LANES_H

#include "kernels/portable.h"

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

enum { GROUP_F = FLA_GROUP / F_LANES, GROUP_D = FLA_GROUP / D_LANES };

/* ---- packing: blocks of lanes x lanes are transposed in registers ---------------- */

INLINE void store_f32(float *group, size_t at, vf v)
{
    vf_store(group + at, v);
}

INLINE void store_f32_as_f64(double *group, size_t at, vf v)
{
    vd_store(group + at, vd_from_low(v));
    vd_store(group + at + D_LANES, vd_from_high(v));
}

INLINE void store_f64_as_f32(float *group, size_t at, vd v)
{
    vd_store_as_f32(group + at, v);
}

INLINE void store_f64(double *group, size_t at, vd v)
{
    vd_store(group + at, v);
}

/*
 * One pack kernel: v is vf or vd, LANES its lanes, source the rows' type, target the
 * group's, put a store_* above; center and center_one take the centre off a vector and
 * off a value.  The columns past the last whole block go one by one.
 */
#define FLA_PACK(v, LANES, source, target, put, load, center, center_one)        \
    const size_t whole = dim - dim % LANES;                                      \
    v##_bits most = v##_bits_zero();                                             \
    for (size_t first = 0; first < FLA_GROUP; first += LANES) {                  \
        for (size_t j = 0; j < whole; j += LANES) {                              \
            v block[LANES];                                                      \
            UNROLL                                                               \
            for (size_t i = 0; i < LANES; i++) {                                 \
                block[i] = v##_loadu((const source *)rows[first + i] + j);       \
                most = v##_bits_max(most, block[i]);                             \
                block[i] = center(block[i], j);                                  \
                _mm_prefetch((const source *)ahead[first + i] + j, _MM_HINT_T0); \
            }                                                                    \
            v##_transpose(block);                                                \
            UNROLL                                                               \
            for (size_t i = 0; i < LANES; i++)                                   \
                put(group, (j + i) * FLA_GROUP + first, block[i]);               \
        }                                                                        \
    }                                                                            \
    double peak = v##_bits_peak(most);                                           \
    for (size_t j = whole; j < dim; j++) {                                       \
        for (size_t i = 0; i < FLA_GROUP; i++) {                                 \
            const double value = load(rows[i], j);                               \
            group[j * FLA_GROUP + i] = (target)center_one(value, j);             \
            peak = larger_magnitude(peak, value);                                \
        }                                                                        \
    }                                                                            \
    return peak;

#define KEEP(x, j) (x)
#define CENTER_F32(x, j) vf_sub(x, vf_loadu(centre + (j)))
#define CENTER_F64(x, j) vd_sub(x, vd_load_f32(centre + (j)))
#define CENTER_ONE_F32(x, j) ((float)(x) - centre[j])
#define CENTER_ONE_F64(x, j) ((x) - (double)centre[j])

static double center_f32(const void *const rows[FLA_GROUP],
                         const void *const ahead[FLA_GROUP], size_t dim,
                         const float *centre, float *group)
{
    FLA_PACK(vf, F_LANES, float, float, store_f32, load_f32, CENTER_F32, CENTER_ONE_F32)
}

static double center_f64(const void *const rows[FLA_GROUP],
                         const void *const ahead[FLA_GROUP], size_t dim,
                         const float *centre, float *group)
{
    FLA_PACK(vd, D_LANES, double, float, store_f64_as_f32, load_f64, CENTER_F64,
             CENTER_ONE_F64)
}

static double pack_f32(const void *const rows[FLA_GROUP],
                       const void *const ahead[FLA_GROUP], size_t dim, double *group)
{
    FLA_PACK(vf, F_LANES, float, double, store_f32_as_f64, load_f32, KEEP, KEEP)
}

static double pack_f64(const void *const rows[FLA_GROUP],
                       const void *const ahead[FLA_GROUP], size_t dim, double *group)
{
    FLA_PACK(vd, D_LANES, double, double, store_f64, load_f64, KEEP, KEEP)
}

/* ---- encoding -------------------------------------------------------------------- */

/* The sums of one vector of rows while it is encoded. */
typedef struct sums {
    vf residual, length;
    vi squares;
} sums;

/* Code up to four coordinates of one vector of rows: a 32-bit lane a row. */
INLINE vi encode_step(const float *values, size_t n, vf scale, vf reciprocal, vf least,
                      vf most, sums *sum)
{
    vi step = vi_zero();
    vf squares = vf_zero();
    for (size_t j = 0; j < n; j++) {
        const vf value = vf_load(values + j * FLA_GROUP);
        vf code = vf_round(vf_mul(value, reciprocal));
        code = vf_min(vf_max(code, least), most); /* NaN: some code */
        const vf residual = vf_fnma(code, scale, value);
        sum->residual = vf_fma(residual, residual, sum->residual);
        sum->length = vf_fma(value, value, sum->length);
        squares = vf_fma(code, code, squares); /* exact: below 2^24 */
        step = vi_or(step, vi_shift(vi_low_byte(vi_from_f(code)), 8 * (int)j));
    }
    sum->squares = vi_add(sum->squares, vi_from_f(squares));
    return step;
}

/* How one group is encoded. */
typedef struct coder {
    vf scale, reciprocal, least, most;
    vi offset;
} coder;

/* Coordinates from first to end of one vector of rows; FLA_RUN is whole steps. */
INLINE void encode_run(const coder *by, const float *values, size_t first, size_t end,
                       uint8_t *codes, sums *total)
{
    sums run = {vf_zero(), vf_zero(), total->squares};
    for (size_t j = first; j < end; j += FLA_STEP) {
        const float *at = values + j * FLA_GROUP;
        const vi step = end - j >= FLA_STEP
                            ? encode_step(at, FLA_STEP, by->scale, by->reciprocal,
                                          by->least, by->most, &run)
                            : encode_step(at, end - j, by->scale, by->reciprocal,
                                          by->least, by->most, &run);
        vi_store(codes + j * FLA_GROUP, vi_add_bytes(step, by->offset));
    }
    total->residual = vf_add(total->residual, run.residual);
    total->length = vf_add(total->length, run.length);
    total->squares = run.squares;
}

static void encode(const float *group, size_t dim, float scale, int32_t code_max,
                   int32_t code_offset, uint8_t *codes, fla_residue *residue)
{
    const coder by = {vf_set1(scale), vf_set1(1 / scale), vf_set1((float)(-code_max - 1)),
                      vf_set1((float)code_max), vi_set1_bytes((char)code_offset)};
    for (size_t lane = 0; lane < FLA_GROUP; lane += F_LANES) {
        sums total = {vf_zero(), vf_zero(), vi_zero()};
        for (size_t j = 0; j < dim; j += FLA_RUN)
            encode_run(&by, group + lane, j, dim - j < FLA_RUN ? dim : j + FLA_RUN,
                       codes + lane * FLA_STEP, &total);
        vf_storeu(residue->residual + lane, total.residual);
        vf_storeu(residue->length + lane, total.length);
        vi_storeu(residue->squares + lane, total.squares);
    }
}

/* ---- products -------------------------------------------------------------------- */

/* Row vector v of groups: group v / GROUP_F, lanes from (v % GROUP_F) * F_LANES on. */
INLINE const float *row_vector(const float *groups, size_t dim, size_t v)
{
    return groups + (v / GROUP_F) * dim * FLA_GROUP + (v % GROUP_F) * F_LANES;
}

/* Memory to be fetched towards the cache, run_bytes of it during each run of sums. */
typedef struct fetching {
    const char *at;
    size_t run_bytes;
} fetching;

INLINE void fetch_run(fetching *ahead)
{
    enum { LINE = 64 };
    const char *end = ahead->at + ahead->run_bytes;
    for (; ahead->at < end; ahead->at += LINE)
        _mm_prefetch(ahead->at, _MM_HINT_T0);
    ahead->at = end;
}

INLINE void clear_products(size_t n, size_t r, vf sum[VECTORS][ROWS_P])
{
    UNROLL
    for (size_t v = 0; v < n; v++) {
        UNROLL
        for (size_t i = 0; i < r; i++)
            sum[v][i] = vf_zero();
    }
}

/* Coordinates from first to end of n vectors and r row vectors, added to the sums. */
INLINE void multiply_run(const float *rows, size_t first, size_t end, size_t dim,
                         const float *vectors, size_t n, size_t r,
                         vf sum[VECTORS][ROWS_P])
{
    vf run[VECTORS][ROWS_P];
    clear_products(n, r, run);
    for (size_t j = first; j < end; j++) {
        vf x[ROWS_P];
        UNROLL
        for (size_t i = 0; i < r; i++)
            x[i] = vf_load(row_vector(rows, dim, i) + j * FLA_GROUP);
        UNROLL
        for (size_t v = 0; v < n; v++) {
            const vf factor = vf_set1(vectors[v * dim + j]);
            UNROLL
            for (size_t i = 0; i < r; i++)
                run[v][i] = vf_fma(x[i], factor, run[v][i]);
        }
    }
    UNROLL
    for (size_t v = 0; v < n; v++) {
        UNROLL
        for (size_t i = 0; i < r; i++)
            sum[v][i] = vf_add(sum[v][i], run[v][i]);
    }
}

/* Products of n vectors with r row vectors, which lie as in groups. */
INLINE void multiply_rows(const float *rows, size_t dim, const float *vectors, size_t n,
                          size_t r, fetching *ahead, vf sum[VECTORS][ROWS_P])
{
    clear_products(n, r, sum);
    for (size_t j = 0; j < dim; j += FLA_RUN) {
        fetch_run(ahead);
        multiply_run(rows, j, dim - j < FLA_RUN ? dim : j + FLA_RUN, dim, vectors, n, r,
                     sum);
    }
}

INLINE void multiply_vectors(const float *group, size_t dim, const float *vectors,
                             size_t n, float *products)
{
    vf sum[VECTORS][ROWS_P];
    fetching nothing = {(const char *)group, 0};
    multiply_rows(group, dim, vectors, n, GROUP_F, &nothing, sum);
    UNROLL
    for (size_t v = 0; v < n; v++) {
        UNROLL
        for (size_t g = 0; g < GROUP_F; g++)
            vf_store(products + v * FLA_GROUP + g * F_LANES, sum[v][g]);
    }
}

/* The vectors left over, n of them, as one register block. */
#define FLA_MULTIPLY_LEFT(n)                                                          \
    case n:                                                                           \
        multiply_vectors(group, dim, vectors + v * dim, n, products + v * FLA_GROUP); \
        break;

static void multiply(const float *group, size_t dim, const float *vectors, size_t n,
                     float *products)
{
    size_t v = 0;
    for (; v + VECTORS <= n; v += VECTORS)
        multiply_vectors(group, dim, vectors + v * dim, VECTORS,
                         products + v * FLA_GROUP);
    switch (n - v) {
        FLA_VECTORS_LEFT(FLA_MULTIPLY_LEFT)
        default:
            break;
    }
}

/* ---- the filter ------------------------------------------------------------------ */

/* n queries against ROWS_F row vectors from the first-th on. */
INLINE void filter_block(const float *tile, size_t dim, size_t first,
                         const float *queries, size_t n, const float *limits,
                         uint64_t *keep)
{
    const float *row[ROWS_F];
    vf sum[QUERIES][ROWS_F];
    UNROLL
    for (size_t v = 0; v < ROWS_F; v++) {
        row[v] = row_vector(tile, dim, first + v);
        UNROLL
        for (size_t q = 0; q < n; q++)
            sum[q][v] = vf_zero();
    }
    for (size_t j = 0; j < dim; j++) {
        vf x[ROWS_F];
        UNROLL
        for (size_t v = 0; v < ROWS_F; v++)
            x[v] = vf_load(row[v] + j * FLA_GROUP);
        UNROLL
        for (size_t q = 0; q < n; q++) {
            const vf query = vf_set1(queries[q * dim + j]);
            UNROLL
            for (size_t v = 0; v < ROWS_F; v++) {
                const vf difference = vf_sub(x[v], query);
                sum[q][v] = vf_fma(difference, difference, sum[q][v]);
            }
        }
    }
    UNROLL
    for (size_t q = 0; q < n; q++) {
        UNROLL
        for (size_t v = 0; v < ROWS_F; v++)
            keep[q] |= vf_not_greater(sum[q][v], vf_set1(limits[q]))
                       << ((first + v) * F_LANES);
    }
}

INLINE void filter_queries(const float *tile, size_t dim, const float *queries, size_t n,
                           const float *limits, uint64_t *keep)
{
    UNROLL
    for (size_t q = 0; q < n; q++)
        keep[q] = 0;
    for (size_t first = 0; first < FLA_TILE / F_LANES; first += ROWS_F)
        filter_block(tile, dim, first, queries, n, limits, keep);
}

static void filter(const float *tile, size_t dim, const float *queries, size_t n_queries,
                   const float *limits, uint64_t *keep)
{
    size_t q = 0;
    for (; q + QUERIES <= n_queries; q += QUERIES)
        filter_queries(tile, dim, queries + q * dim, QUERIES, limits + q, keep + q);
    for (; q < n_queries; q++)
        filter_queries(tile, dim, queries + q * dim, 1, limits + q, keep + q);
}

/* ---- the projection -------------------------------------------------------------- */

/* n functions; each of the GROUP_D x n lanes vectors is one chain of fused steps. */
INLINE void project_functions(const double *group, size_t dim, const double *vectors,
                              const double *offsets, size_t n, double reciprocal,
                              double *buckets)
{
    vd sum[FUNCTIONS][GROUP_D];
    UNROLL
    for (size_t f = 0; f < n; f++) {
        UNROLL
        for (size_t v = 0; v < GROUP_D; v++)
            sum[f][v] = vd_zero();
    }
    for (size_t j = 0; j < dim; j++) {
        vd x[GROUP_D];
        UNROLL
        for (size_t v = 0; v < GROUP_D; v++)
            x[v] = vd_load(group + j * FLA_GROUP + v * D_LANES);
        UNROLL
        for (size_t f = 0; f < n; f++) {
            const vd vector = vd_set1(vectors[f * dim + j]);
            UNROLL
            for (size_t v = 0; v < GROUP_D; v++)
                sum[f][v] = vd_fma(x[v], vector, sum[f][v]);
        }
    }
    UNROLL
    for (size_t f = 0; f < n; f++) {
        UNROLL
        for (size_t v = 0; v < GROUP_D; v++) {
            const vd placed = vd_add(sum[f][v], vd_set1(offsets[f]));
            vd_store(buckets + f * FLA_GROUP + v * D_LANES,
                     vd_floor(vd_mul(vd_set1(reciprocal), placed)));
        }
    }
}

/* The functions left over, n of them, as one register block. */
#define FLA_PROJECT_LEFT(n)                                                          \
    case n:                                                                          \
        project_functions(group, dim, vectors + f * dim, offsets + f, n, reciprocal, \
                          buckets + f * FLA_GROUP);                                  \
        break;

static void project(const double *group, size_t dim, const double *vectors,
                    const double *offsets, size_t functions, double reciprocal,
                    double *buckets)
{
    size_t f = 0;
    for (; f + FUNCTIONS <= functions; f += FUNCTIONS)
        project_functions(group, dim, vectors + f * dim, offsets + f, FUNCTIONS,
                          reciprocal, buckets + f * FLA_GROUP);
    switch (functions - f) {
        FLA_FUNCTIONS_LEFT(FLA_PROJECT_LEFT)
        default:
            break;
    }
}

/* ---- the exact distance ---------------------------------------------------------- */

/*
 * Pairs in lanes: the squares of D_LANES coordinates of D_LANES pairs are transposed, so
 * that every lane adds its own pair's squares, j ascending.  Vectors of pairs take turns,
 * so that one's additions hide the other's latency.
 */
#define FLA_DISTANCE(load_row, load_query, one_row, one_query)                         \
    const size_t whole = dim - dim % D_LANES;                                          \
    vd sum[FLA_PAIRS / D_LANES];                                                       \
    UNROLL                                                                             \
    for (size_t h = 0; h < FLA_PAIRS / D_LANES; h++)                                   \
        sum[h] = vd_zero();                                                            \
    for (size_t j = 0; j < whole; j += D_LANES) {                                      \
        UNROLL                                                                         \
        for (size_t h = 0; h < FLA_PAIRS / D_LANES; h++) {                             \
            vd block[D_LANES];                                                         \
            UNROLL                                                                     \
            for (size_t i = 0; i < D_LANES; i++) {                                     \
                const vd difference = vd_sub(load_row(rows[h * D_LANES + i], j),       \
                                             load_query(queries[h * D_LANES + i], j)); \
                block[i] = vd_mul(difference, difference);                             \
            }                                                                          \
            vd_transpose(block);                                                       \
            UNROLL                                                                     \
            for (size_t i = 0; i < D_LANES; i++)                                       \
                sum[h] = vd_add(sum[h], block[i]);                                     \
        }                                                                              \
    }                                                                                  \
    for (size_t h = 0; h < FLA_PAIRS / D_LANES; h++)                                   \
        vd_storeu(distances + h * D_LANES, sum[h]);                                    \
    for (size_t i = 0; i < FLA_PAIRS; i++) {                                           \
        double total = distances[i];                                                   \
        for (size_t j = whole; j < dim; j++) {                                         \
            const double difference = one_row(rows[i], j) - one_query(queries[i], j);  \
            const double square = difference * difference;                             \
            total += square;                                                           \
        }                                                                              \
        distances[i] = sqrt(total);                                                    \
    }

#define ROW_F32(row, j) vd_load_f32((const float *)(row) + (j))
#define ROW_F64(row, j) vd_loadu((const double *)(row) + (j))

static void distance_f32_f32(const void *const rows[FLA_PAIRS],
                             const void *const queries[FLA_PAIRS], size_t dim,
                             double distances[FLA_PAIRS])
{
    FLA_DISTANCE(ROW_F32, ROW_F32, load_f32, load_f32)
}

static void distance_f32_f64(const void *const rows[FLA_PAIRS],
                             const void *const queries[FLA_PAIRS], size_t dim,
                             double distances[FLA_PAIRS])
{
    FLA_DISTANCE(ROW_F32, ROW_F64, load_f32, load_f64)
}

static void distance_f64_f32(const void *const rows[FLA_PAIRS],
                             const void *const queries[FLA_PAIRS], size_t dim,
                             double distances[FLA_PAIRS])
{
    FLA_DISTANCE(ROW_F64, ROW_F32, load_f64, load_f32)
}

static void distance_f64_f64(const void *const rows[FLA_PAIRS],
                             const void *const queries[FLA_PAIRS], size_t dim,
                             double distances[FLA_PAIRS]){
    FLA_DISTANCE(ROW_F64, ROW_F64, load_f64, load_f64)}

/* ---- estimates ------------------------------------------------------------------- */

/* Two chains of vectors, so that one does not wait for itself; the rest one by one. */
#define FLA_ESTIMATE(v, LANES, type, load_row, load_query, one_row, one_query)       \
    v even = v##_zero(), odd = v##_zero();                                           \
    type total = 0;                                                                  \
    size_t j = 0;                                                                    \
    for (; j + 2 * LANES <= dim; j += 2 * LANES) {                                   \
        const v a = v##_sub(load_row(row, j), load_query(query, j));                 \
        const v b = v##_sub(load_row(row, j + LANES), load_query(query, j + LANES)); \
        even = v##_fma(a, a, even);                                                  \
        odd = v##_fma(b, b, odd);                                                    \
    }                                                                                \
    if (j + LANES <= dim) {                                                          \
        const v a = v##_sub(load_row(row, j), load_query(query, j));                 \
        even = v##_fma(a, a, even);                                                  \
        j += LANES;                                                                  \
    }                                                                                \
    for (; j < dim; j++) {                                                           \
        const type difference = (type)one_row(row, j) - (type)one_query(query, j);   \
        total += difference * difference;                                            \
    }                                                                                \
    return (double)(total + v##_total(v##_add(even, odd)));

#define FLOATS(row, j) vf_loadu((const float *)(row) + (j))

static double estimate_f32_f32(const void *row, const void *query, size_t dim)
{
    FLA_ESTIMATE(vf, F_LANES, float, FLOATS, FLOATS, load_f32, load_f32)
}

static double estimate_f32_f64(const void *row, const void *query, size_t dim)
{
    FLA_ESTIMATE(vd, D_LANES, double, ROW_F32, ROW_F64, load_f32, load_f64)
}

static double estimate_f64_f32(const void *row, const void *query, size_t dim)
{
    FLA_ESTIMATE(vd, D_LANES, double, ROW_F64, ROW_F32, load_f64, load_f32)
}

static double estimate_f64_f64(const void *row, const void *query, size_t dim)
{
    FLA_ESTIMATE(vd, D_LANES, double, ROW_F64, ROW_F64, load_f64, load_f64)
}

/* ---- buckets --------------------------------------------------------------------- */

#include "kernels/buckets_lanes.h"

static uint64_t match_i64(const int64_t *buckets, int64_t bucket)
{
    uint64_t same = 0;
    UNROLL
    for (size_t i = 0; i < FLA_TILE; i += D_LANES)
        same |= vi_equal(buckets + i, bucket) << i;
    return same;
}

#define FLA_FLOAT_KERNELS                                   \
    {                                                       \
        .center_f32 = center_f32,                           \
        .center_f64 = center_f64,                           \
        .pack_f32 = pack_f32,                               \
        .pack_f64 = pack_f64,                               \
        .encode = encode,                                   \
        .multiply = multiply,                               \
        .filter = filter,                                   \
        .distance = {{distance_f32_f32, distance_f32_f64},  \
                     {distance_f64_f32, distance_f64_f64}}, \
        .estimate = {{estimate_f32_f32, estimate_f32_f64},  \
                     {estimate_f64_f32, estimate_f64_f64}}, \
        .project = project,                                 \
        .chain_f32 = chain_f32,                             \
        .chain_f64 = chain_f64,                             \
        .narrow_f32 = narrow_f32,                           \
        .narrow_f64 = narrow_f64,                           \
        .bucket = bucket,                                   \
        .lay_out = lay_out,                                 \
        .match_i64 = match_i64,                             \
    }

#endif
