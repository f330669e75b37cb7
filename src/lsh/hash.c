/* Buckets of rows: from float32 where it is sure of them, else by the definition. */
#include "lsh/hash.h"

#include <math.h>

#include "base/alloc.h"
#include "kernels/bits.h"
#include "lsh/model.h"

bool fla_buckets_surely_fit(const fla_model *model, double peak)
{
    return (2 * peak * model->reach + model->bucket_length) * model->reciprocal < 0x1p63;
}

double fla_hash_one(const fla_model *model, const fla_matrix *rows, size_t i,
                    size_t function)
{
    const double *vector = model->vectors + function * model->dim;
    double sum = 0;
    for (size_t j = 0; j < model->dim; j++)
        sum = fma(fla_row_value(rows, i, j), vector[j], sum);
    return floor(model->reciprocal * (sum + model->offsets[function]));
}

bool fla_hasher_init(fla_hasher *hasher, const fla_kernels *kernels,
                     const fla_model *model)
{
    size_t row_values, buckets;
    *hasher = (fla_hasher){.kernels = kernels, .model = model};
    if (!fla_size_mul(model->dim, FLA_GROUP, &row_values) ||
        !fla_size_mul(model->functions, FLA_GROUP, &buckets))
        return false;
    hasher->groups = fla_alloc(row_values, FLA_HASH_GROUPS * sizeof *hasher->groups);
    hasher->exact = fla_alloc(row_values, sizeof *hasher->exact);
    hasher->buckets = fla_alloc(buckets, FLA_HASH_GROUPS * sizeof *hasher->buckets);
    hasher->unsure =
        fla_alloc(model->functions, FLA_HASH_GROUPS * sizeof *hasher->unsure);
    return hasher->groups != NULL && hasher->exact != NULL && hasher->buckets != NULL &&
           hasher->unsure != NULL;
}

void fla_hasher_clear(fla_hasher *hasher)
{
    fla_free(hasher->groups);
    fla_free(hasher->exact);
    fla_free(hasher->buckets);
    fla_free(hasher->unsure);
    *hasher = (fla_hasher){0};
}

/* ---- by the definition ----------------------------------------------------------- */

/* Store n buckets as integers. */
static fla_status take_doubles(const double *from, size_t n, int64_t *to)
{
    for (size_t i = 0; i < n; i++) {
        if (!fla_bucket_fits(from[i]))
            return FLA_ERR_RANGE;
        to[i] = (int64_t)from[i];
    }
    return FLA_OK;
}

/* All buckets of 16 rows. */
static fla_status hash_exactly(fla_hasher *hasher, fla_dtype dtype,
                               const void *const rows[FLA_GROUP],
                               const void *const ahead[FLA_GROUP], int64_t *buckets)
{
    enum { TOGETHER = 8 }; /* a register block of the widest tier */
    _Alignas(FLA_ALIGNMENT) double some[TOGETHER * FLA_GROUP];
    const fla_model *model = hasher->model;
    const fla_float_kernels *floats = hasher->kernels->floats;
    fla_pack_fn *pack = fla_pack_kernel(hasher->kernels, dtype);
    fla_status status = FLA_OK;
    if (!isfinite(pack(rows, ahead, model->dim, hasher->exact)))
        return FLA_ERR_NONFINITE;
    for (size_t f = 0; status == FLA_OK && f < model->functions; f += TOGETHER) {
        const size_t n = fla_size_min(model->functions - f, TOGETHER);
        floats->project(hasher->exact, model->dim, model->vectors + f * model->dim,
                        model->offsets + f, n, model->reciprocal, some);
        status = take_doubles(some, n * FLA_GROUP, buckets + f * FLA_GROUP);
    }
    return status;
}

/* Single buckets that wait until there are enough for a kernel. */
typedef struct waiting {
    const void *rows[FLA_PAIRS];
    const double *vectors[FLA_PAIRS];
    double offsets[FLA_PAIRS];
    int64_t *buckets[FLA_PAIRS];
    size_t n;
} waiting;

static fla_status settle_waiting(const fla_hasher *hasher, fla_dtype dtype, waiting *wait)
{
    const fla_model *model = hasher->model;
    const fla_float_kernels *floats = hasher->kernels->floats;
    fla_chain_fn *chain = dtype == FLA_F32 ? floats->chain_f32 : floats->chain_f64;
    double sums[FLA_PAIRS];
    for (size_t i = wait->n; i < FLA_PAIRS; i++) {
        wait->rows[i] = wait->rows[0];
        wait->vectors[i] = wait->vectors[0];
    }
    chain(wait->rows, wait->vectors, model->dim, sums);
    for (size_t i = 0; i < wait->n; i++) {
        const double bucket = floor(model->reciprocal * (sums[i] + wait->offsets[i]));
        if (!fla_bucket_fits(bucket))
            return FLA_ERR_RANGE;
        *wait->buckets[i] = (int64_t)bucket;
    }
    wait->n = 0;
    return FLA_OK;
}

/* ---- by float32 ------------------------------------------------------------------ */

/* Of so many buckets at most one may be settled singly: all of them cost as much. */
enum { SINGLE_IN = 8 };

/* Settle what is unsure among the buckets of 16 rows. */
static fla_status settle(fla_hasher *hasher, fla_dtype dtype,
                         const void *const rows[FLA_GROUP], const uint16_t *unsure,
                         int64_t *buckets)
{
    const fla_model *model = hasher->model;
    const size_t most = model->functions * FLA_GROUP / SINGLE_IN;
    waiting wait = {.n = 0};
    size_t count = 0;
    for (size_t f = 0; f < model->functions; f++) {
        for (uint64_t rest = unsure[f]; rest != 0; rest &= rest - 1) {
            const size_t i = fla_lowest_bit(rest);
            if (++count > most)
                return hash_exactly(hasher, dtype, rows, rows, buckets);
            wait.rows[wait.n] = rows[i];
            wait.vectors[wait.n] = model->vectors + f * model->dim;
            wait.offsets[wait.n] = model->offsets[f];
            wait.buckets[wait.n] = buckets + f * FLA_GROUP + i;
            if (++wait.n < FLA_PAIRS)
                continue;
            const fla_status status = settle_waiting(hasher, dtype, &wait);
            if (status != FLA_OK)
                return status;
        }
    }
    return wait.n > 0 ? settle_waiting(hasher, dtype, &wait) : FLA_OK;
}

/* False for NaN. */
static bool all_at_most(const float *values, size_t n, float most)
{
    unsigned above = 0;
    for (size_t i = 0; i < n; i++)
        above |= !(values[i] <= most);
    return above == 0;
}

/* What is hashed together, and what will be next. */
typedef struct block {
    const void *const *rows, *const *ahead; /* [2 x 16] */
    size_t groups;
    const void *fetch; /* the memory that the next rows fill, if without gaps */
    size_t fetch_bytes;
} block;

/*
 * Leave in hasher->buckets what float32 says of a block.  False: nothing, as a row is too
 * long or not finite.
 */
static bool hash_narrow(fla_hasher *hasher, fla_dtype dtype, const block *block,
                        uint32_t *unsure)
{
    const fla_model *model = hasher->model;
    const fla_float_kernels *floats = hasher->kernels->floats;
    fla_narrow_fn *narrow = dtype == FLA_F32 ? floats->narrow_f32 : floats->narrow_f64;
    const size_t n = block->groups * FLA_GROUP;
    float norms[FLA_HASH_GROUPS * FLA_GROUP];
    for (size_t i = 0; i < n; i += FLA_GROUP)
        narrow(block->rows + i, model->dim, hasher->groups + i * model->dim, norms + i);
    if (!all_at_most(norms, n, model->longest_norm))
        return false;
    *unsure =
        floats->bucket(&model->narrow, hasher->groups, norms, block->groups, block->fetch,
                       block->fetch_bytes, hasher->buckets, hasher->unsure);
    return true;
}

/*
 * Whether to try float32, given that the last try failed: after each failure in a row
 * the next try is twice as far away.
 */
static bool try_narrow(fla_hasher *hasher)
{
    if (hasher->wait == 0)
        return true;
    hasher->wait--;
    return false;
}

static void note_try(fla_hasher *hasher, bool done)
{
    enum { MOST_WAIT = 31 };
    hasher->failures = done ? 0 : fla_size_min(2 * hasher->failures + 1, MOST_WAIT);
    hasher->wait = hasher->failures;
}

static fla_status hash_block(fla_hasher *hasher, fla_dtype dtype, const block *block)
{
    const size_t functions = hasher->model->functions;
    bool narrow = false;
    uint32_t unsure = 0;
    fla_status status = FLA_OK;
    if (try_narrow(hasher)) {
        narrow = hash_narrow(hasher, dtype, block, &unsure);
        note_try(hasher, narrow);
    }
    if (narrow && unsure == 0)
        return FLA_OK;
    for (size_t g = 0; g < block->groups && status == FLA_OK; g++) {
        const void *const *rows = block->rows + g * FLA_GROUP;
        int64_t *buckets = hasher->buckets + g * functions * FLA_GROUP;
        status =
            narrow ? settle(hasher, dtype, rows, hasher->unsure + g * functions, buckets)
                   : hash_exactly(hasher, dtype, rows, block->ahead + g * FLA_GROUP,
                                  buckets);
    }
    return status;
}

fla_status fla_hash_group(fla_hasher *hasher, fla_dtype dtype,
                          const void *const rows[FLA_GROUP])
{
    const block block = {rows, rows, 1, rows[0], 0};
    return hash_block(hasher, dtype, &block);
}

/* Where a block's rows lie without gaps: their bytes. */
static size_t gapless_bytes(const fla_matrix *rows, size_t first, size_t n)
{
    const size_t size = rows->dtype == FLA_F32 ? sizeof(float) : sizeof(double);
    const size_t row_bytes = rows->dim * size;
    if (first >= rows->rows || rows->row_stride_bytes != (ptrdiff_t)row_bytes)
        return 0;
    return fla_size_min(n, rows->rows - first) * row_bytes;
}

static void take_pointers(const fla_matrix *rows, size_t first,
                          const void *pointers[FLA_HASH_GROUPS * FLA_GROUP])
{
    for (size_t g = 0; g < FLA_HASH_GROUPS; g++)
        fla_rows_group(rows, first + g * FLA_GROUP, pointers + g * FLA_GROUP);
}

fla_status fla_hash_rows(fla_hasher *hasher, const fla_matrix *rows, size_t first,
                         size_t n, int64_t *out)
{
    enum { ROWS = FLA_HASH_GROUPS * FLA_GROUP };
    const size_t functions = hasher->model->functions;
    const void *pointers[2][ROWS]; /* this block's and the next one's, by turns */
    fla_status status = FLA_OK;
    size_t turn = 0;
    take_pointers(rows, first, pointers[turn]);
    for (size_t i = 0; status == FLA_OK && i < n; i += ROWS, turn ^= 1) {
        const size_t count = fla_size_min(n - i, ROWS), next = first + i + ROWS;
        take_pointers(rows, next, pointers[turn ^ 1]);
        const block block = {pointers[turn], pointers[turn ^ 1],
                             fla_size_parts(count, FLA_GROUP), pointers[turn ^ 1][0],
                             gapless_bytes(rows, next, ROWS)};
        status = hash_block(hasher, rows->dtype, &block);
        for (size_t g = 0; status == FLA_OK && g < count; g += FLA_GROUP)
            hasher->kernels->floats->lay_out(hasher->buckets + g * functions, functions,
                                             fla_size_min(count - g, FLA_GROUP),
                                             out + (i + g) * functions);
    }
    return status;
}
