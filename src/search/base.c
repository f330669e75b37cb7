/* Base rows, prepared for searches: checked, and coded where that pays. */
#include "search/base.h"

#include <math.h>
#include <stdatomic.h>

#include "base/alloc.h"
#include "lsh/hash.h"
#include "lsh/model.h"

enum {
    TASK_TILES = 16,     /* a task codes: enough to hide its start, few enough to stop */
    EXCEPTIONS_IN = 100, /* one row in so many may be an exception before a new fit */
    FEW_TABLES = 19,     /* whose buckets are kept at any dimension */
    BUCKET_RANGE = 256,  /* of a byte */
};

/* Less padding than any row that exists would leave, and less than any finite limit. */
static const int32_t PADDING_BIAS = -(1 << 30);

void fla_base_init(fla_base *base, const fla_model *model)
{
    *base = (fla_base){.model = model};
}

static void free_buckets(fla_base *base)
{
    fla_free(base->buckets);
    fla_free(base->bucket_low);
    base->buckets = NULL;
    base->bucket_low = NULL;
}

static void free_codes(fla_base *base)
{
    fla_free(base->codes);
    fla_free(base->bias);
    fla_free(base->exceptions);
    base->codes = NULL;
    base->bias = NULL;
    base->exceptions = NULL;
    base->capacity = 0;
}

void fla_base_clear(fla_base *base)
{
    free_codes(base);
    free_buckets(base);
    fla_quantizer_clear(&base->quantizer);
    *base = (fla_base){0};
}

void fla_base_set(fla_base *base, const fla_matrix *rows)
{
    base->rows = *rows;
    base->tiles = fla_size_parts(rows->rows, FLA_TILE);
    base->checked = false;
    base->coded = false;
}

bool fla_base_can_code(size_t dim)
{
    return dim <= FLA_MAX_CODED_DIM;
}

static bool reserve(fla_base *base)
{
    const size_t tile_bytes = base->quantizer.steps * FLA_STEP * FLA_TILE;
    if (!base->coded || base->tiles <= base->capacity)
        return true;
    free_codes(base);
    base->codes = fla_alloc(base->tiles, tile_bytes);
    base->bias = fla_alloc(base->tiles, FLA_TILE * sizeof *base->bias);
    base->exceptions = fla_alloc(base->tiles, sizeof *base->exceptions);
    if (base->codes == NULL || base->bias == NULL || base->exceptions == NULL) {
        free_codes(base);
        return false;
    }
    base->capacity = base->tiles;
    return true;
}

/* What one worker has seen of the rows. */
typedef struct seen {
    float *group; /* [dim x 16] to work in */
    fla_hasher hasher;
    double residual, length;
    size_t exceptions;
    bool far_bucket; /* one that a byte does not hold */
} seen;

/* Whether buckets may take a byte a table: up to 1.4 bytes a coordinate in all. */
static bool may_keep_buckets(const fla_base *base)
{
    const size_t tables = base->model != NULL ? base->model->tables : 0;
    return base->coded && tables > 0 &&
           (tables <= FEW_TABLES || tables + 6 <= base->rows.dim * 2 / 5);
}

/* Room for buckets, and the least of each table: a byte reaches as far above the buckets
   of some rows as below. */
static fla_status begin_buckets(fla_base *base, seen *mine)
{
    const size_t tables = base->model->tables;
    const void *rows[FLA_GROUP];
    base->buckets = fla_alloc(base->tiles * FLA_TILE, tables);
    base->bucket_low = fla_alloc(tables, sizeof *base->bucket_low);
    if (base->buckets == NULL || base->bucket_low == NULL)
        return FLA_ERR_MEMORY;
    for (size_t i = 0; i < FLA_GROUP; i++)
        rows[i] = fla_row(&base->rows, base->rows.rows / FLA_GROUP * i);
    const fla_status status = fla_hash_group(&mine->hasher, base->rows.dtype, rows, rows);
    for (size_t t = 0; t < tables && status == FLA_OK; t++) {
        const double *buckets = mine->hasher.buckets + t * FLA_GROUP;
        double least = INFINITY, most = -INFINITY;
        for (size_t i = 0; i < FLA_GROUP; i++) {
            least = fmin(least, buckets[i]);
            most = fmax(most, buckets[i]);
        }
        const double low = floor((least + most) / 2) - BUCKET_RANGE / 2;
        base->bucket_low[t] = fabs(low) < 0x1p62 ? (int64_t)low : 0;
    }
    return status;
}

/* ---- preparing ----------------------------------------------------------------------
 */

typedef struct preparing {
    fla_base *base;
    seen *workers; /* [threads] */
    uint64_t units;
} preparing;

/* Keep the buckets of 16 rows from position first on. */
static void keep_buckets(fla_base *base, seen *mine, size_t first)
{
    const size_t tables = base->model->tables;
    for (size_t t = 0; t < tables; t++) {
        const double low = (double)base->bucket_low[t];
        uint8_t *out = base->buckets + first * tables + t;
        for (size_t i = 0; i < FLA_GROUP; i++) {
            const double above = mine->hasher.buckets[t * FLA_GROUP + i] - low;
            const bool fits = above >= 0 && above < BUCKET_RANGE;
            mine->far_bucket |= !fits;
            out[i * tables] = fits ? (uint8_t)above : 0;
        }
    }
}

/* Bucket 16 rows: to keep the buckets, and to see that none passes int64. */
static fla_status bucket_group(fla_base *base, seen *mine, size_t first,
                               const void *const rows[FLA_GROUP])
{
    fla_status status = fla_hash_group(&mine->hasher, base->rows.dtype, rows, rows);
    const size_t n = base->model->tables * FLA_GROUP;
    for (size_t i = 0; status == FLA_OK && i < n; i++)
        if (!fla_bucket_fits(mine->hasher.buckets[i]))
            status = FLA_ERR_RANGE;
    if (status == FLA_OK && base->buckets != NULL)
        keep_buckets(base, mine, first);
    return status;
}

/* Take what encoding says of row r of a tile. */
static void note_row(fla_base *base, seen *mine, size_t tile, size_t r,
                     const fla_encoded *encoded)
{
    const size_t i = r % FLA_GROUP;
    const bool exists = tile * FLA_TILE + r < base->rows.rows;
    const bool exception =
        exists && !(encoded->residual[i] <= base->quantizer.cap); /* NaN is one */
    base->bias[tile * FLA_TILE + r] =
        exists && !exception ? fla_code_bias(encoded->squares[i]) : PADDING_BIAS;
    if (exception) {
        base->exceptions[tile] |= (uint64_t)1 << r;
        mine->exceptions++;
    } else if (exists) {
        mine->residual = fmax(mine->residual, encoded->residual[i]);
        mine->length = fmax(mine->length, encoded->length[i]);
    }
}

/* Code 16 rows.  Returns their peak, infinity if any value is not finite. */
static double code_group(fla_base *base, seen *mine, size_t tile, size_t g,
                         const void *const rows[FLA_GROUP],
                         const void *const ahead[FLA_GROUP])
{
    const size_t group_bytes = base->quantizer.steps * FLA_STEP * FLA_GROUP;
    fla_encoded encoded;
    fla_quantizer_encode(&base->quantizer, base->rows.dtype, rows, ahead, mine->group,
                         base->codes + (tile * FLA_TILE_GROUPS + g) * group_bytes,
                         &encoded);
    for (size_t i = 0; i < FLA_GROUP; i++)
        note_row(base, mine, tile, g * FLA_GROUP + i, &encoded);
    return encoded.peak;
}

/* Check 16 rows, and code them if rows of their dimension can be. */
static fla_status prepare_group(fla_base *base, seen *mine, size_t tile, size_t g)
{
    const void *rows[FLA_GROUP], *ahead[FLA_GROUP];
    const size_t first = tile * FLA_TILE + g * FLA_GROUP;
    fla_center_fn *center = fla_center_kernel(base->quantizer.kernels, base->rows.dtype);
    fla_rows_group(&base->rows, first, rows);
    fla_rows_group(&base->rows, first + FLA_GROUP, ahead);
    const double peak = base->coded ? code_group(base, mine, tile, g, rows, ahead)
                                    : center(rows, ahead, base->rows.dim,
                                             base->quantizer.centre, mine->group);
    if (!isfinite(peak))
        return FLA_ERR_NONFINITE;
    if (base->model != NULL &&
        (base->buckets != NULL || !fla_buckets_surely_fit(base->model, peak)))
        return bucket_group(base, mine, first, rows);
    return FLA_OK;
}

static void prepare_task(fla_job *job, void *arg, size_t task, unsigned worker)
{
    const preparing *work = arg;
    fla_base *base = work->base;
    const size_t first = task * TASK_TILES;
    const size_t end = first + fla_size_min(base->tiles - first, TASK_TILES);
    fla_status status = FLA_OK;
    for (size_t t = first; t < end && status == FLA_OK; t++) {
        if (fla_job_stopped(job, worker))
            return;
        if (base->coded)
            base->exceptions[t] = 0;
        for (size_t g = 0; g < FLA_TILE_GROUPS && status == FLA_OK; g++)
            status = prepare_group(base, &work->workers[worker], t, g);
    }
    if (status != FLA_OK)
        fla_job_fail(job, status);
    const size_t rows = base->rows.rows - first * FLA_TILE;
    fla_job_advance(job, fla_size_min(rows, TASK_TILES * FLA_TILE) * work->units);
}

static bool worker_init(seen *mine, const fla_base *base, const fla_kernels *kernels)
{
    mine->group = fla_alloc(base->rows.dim, FLA_GROUP * sizeof *mine->group);
    return mine->group != NULL &&
           (base->model == NULL || fla_hasher_init(&mine->hasher, kernels, base->model));
}

static fla_status prepare_rows(fla_base *base, fla_context *context, fla_run *run,
                               uint64_t units)
{
    const unsigned threads = fla_call_threads(run->call, context->pool);
    const size_t tasks = fla_size_parts(base->tiles, TASK_TILES);
    preparing work = {base, fla_alloc_zeroed(threads, sizeof(seen)), units};
    bool room = work.workers != NULL;
    fla_status status = FLA_ERR_MEMORY;
    for (unsigned i = 0; room && i < threads; i++)
        room = worker_init(&work.workers[i], base, context->kernels);
    free_buckets(base);
    if (room && may_keep_buckets(base))
        status = begin_buckets(base, &work.workers[0]);
    else if (room)
        status = FLA_OK;
    if (status == FLA_OK)
        status = fla_pool_run(context->pool, run, tasks, prepare_task, &work);
    bool far_bucket = status != FLA_OK;
    base->residual = 0;
    base->length = 0;
    base->n_exceptions = 0;
    for (unsigned i = 0; work.workers != NULL && i < threads; i++) {
        base->residual = fmax(base->residual, work.workers[i].residual);
        base->length = fmax(base->length, work.workers[i].length);
        base->n_exceptions += work.workers[i].exceptions;
        far_bucket |= work.workers[i].far_bucket;
        fla_hasher_clear(&work.workers[i].hasher);
        fla_free(work.workers[i].group);
    }
    if (far_bucket)
        free_buckets(base);
    fla_free(work.workers);
    return status;
}

fla_status fla_base_prepare(fla_base *base, fla_context *context, fla_run *run,
                            const fla_matrix *rows, uint64_t units)
{
    bool fit = base->quantizer.centre == NULL;
    fla_status status = FLA_OK;
    fla_base_set(base, rows);
    if (fit && !fla_quantizer_init(&base->quantizer, context->kernels, rows->dim))
        return FLA_ERR_MEMORY;
    base->coded = fla_base_can_code(rows->dim);
    if (!reserve(base))
        return FLA_ERR_MEMORY;
    const uint64_t done = run->done;
    for (;; fit = true) {
        if (fit && base->coded)
            status = fla_quantizer_fit(&base->quantizer, rows);
        if (status == FLA_OK)
            status = prepare_rows(base, context, run, units);
        if (status != FLA_OK || fit || base->n_exceptions <= rows->rows / EXCEPTIONS_IN)
            break;
        run->done = done; /* once more, with a quantizer of their own */
    }
    base->checked = status == FLA_OK;
    return status;
}
