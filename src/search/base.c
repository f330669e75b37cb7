/* Base rows, prepared for searches: checked, and coded where that pays. */
#include "search/base.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "lsh/hash.h"
#include "lsh/model.h"
#include "search/prefix_fit.h"

enum {
    TASK_TILES = 16,     /* a task codes: enough to hide its start, few enough to stop */
    EXCEPTIONS_IN = 100, /* one row in so many may be an exception before a new fit */
    FEW_FUNCTIONS = 19,  /* whose buckets are kept at any dimension */
    BUCKET_RANGE = 256,  /* of a byte */
    LINE_STEPS = FLA_ALIGNMENT / FLA_STEP,
};

/* Rows that are not there, and exceptions, score less than a row could; where a limit
   lets even that pass, scan.c drops rows past the end and an exception passes anyway. */
static const int32_t PADDING_BIAS = -(1 << 30);
/* More than any score without a bias falls short of any limit, by far. */
static const int32_t ALWAYS_BIAS = 1 << 29;

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

static void free_layer(fla_layer *layer)
{
    fla_free(layer->codes);
    fla_free(layer->bias);
    *layer = (fla_layer){0};
}

static void free_codes(fla_base *base)
{
    free_layer(&base->full);
    free_layer(&base->brief);
    fla_free(base->exceptions);
    fla_free(base->sample);
    base->exceptions = NULL;
    base->sample = NULL;
    base->capacity = 0;
}

void fla_base_clear(fla_base *base)
{
    free_codes(base);
    free_buckets(base);
    fla_quantizer_clear(&base->quantizer);
    fla_prefix_clear(&base->prefix);
    fla_runs_clear(&base->runs);
    *base = (fla_base){0};
}

void fla_base_set(fla_base *base, const fla_matrix *rows)
{
    base->rows = *rows;
    base->tiles = fla_size_parts(rows->rows, FLA_TILE);
    base->checked = false;
    base->coded = false;
    free_buckets(base); /* those of the rows before */
}

bool fla_base_can_code(size_t dim)
{
    return dim <= FLA_MAX_CODED_DIM;
}

static size_t tile_bytes(size_t steps)
{
    return steps * FLA_STEP * FLA_TILE;
}

static bool make_layer(fla_layer *layer, size_t tiles, size_t steps)
{
    layer->steps = steps;
    layer->codes = fla_alloc(tiles, tile_bytes(steps));
    layer->bias = fla_alloc(tiles, FLA_TILE * sizeof *layer->bias);
    return layer->codes != NULL && layer->bias != NULL;
}

/* Records are padded to whole cache lines where that adds little. */
static size_t full_steps(const fla_base *base)
{
    const size_t steps = base->quantizer.steps;
    if (!fla_base_has_prefix(base) || steps < 4 * LINE_STEPS)
        return steps;
    return fla_size_parts(steps, LINE_STEPS) * LINE_STEPS;
}

/* Room for the codes of the rows at hand. */
static bool make_codes(fla_base *base)
{
    free_codes(base);
    base->exceptions = fla_alloc(base->tiles, sizeof *base->exceptions);
    bool room = base->exceptions != NULL;
    if (fla_base_has_prefix(base)) {
        base->sample = fla_alloc_zeroed(fla_size_parts(base->tiles, FLA_SAMPLED),
                                        tile_bytes(full_steps(base)));
        room = room && base->sample != NULL &&
               make_layer(&base->brief, base->tiles, base->prefix.quantizer.steps);
    }
    room = room && make_layer(&base->full, base->tiles, full_steps(base));
    if (!room)
        free_codes(base);
    base->capacity = room ? base->tiles : 0;
    return room;
}

size_t fla_base_samples(const fla_base *base)
{
    return fla_base_has_prefix(base) ? fla_size_parts(base->tiles, FLA_SAMPLED)
                                     : base->tiles;
}

const uint8_t *fla_base_sample(const fla_base *base, size_t i, const int32_t **bias)
{
    const size_t tile = fla_base_has_prefix(base) ? i * FLA_SAMPLED : i;
    *bias = base->full.bias + tile * FLA_TILE;
    if (!fla_base_has_prefix(base))
        return fla_layer_tile(&base->full, tile);
    return base->sample + i * tile_bytes(base->full.steps);
}

/* What one worker has seen of the rows. */
typedef struct seen {
    float *group;   /* [dim x 16] to work in */
    float *form;    /* the same for short forms */
    uint8_t *codes; /* a coded group */
    fla_hasher hasher;
    double residual, brief_residual, length;
    size_t exceptions;
    bool far_bucket; /* one that a byte does not hold */
} seen;

/* Whether buckets may take a byte a function: up to 1.4 bytes a coordinate in all. */
static bool may_keep_buckets(const fla_base *base)
{
    const size_t functions = base->model != NULL ? base->model->functions : 0;
    return base->coded && functions > 0 &&
           (functions <= FEW_FUNCTIONS || functions + 6 <= base->rows.dim * 2 / 5);
}

/* Room for buckets, and the least of each function: a byte reaches as far above the
   buckets of some rows as below. */
static fla_status begin_buckets(fla_base *base, seen *mine)
{
    const size_t functions = base->model->functions;
    const void *rows[FLA_GROUP];
    base->buckets = fla_alloc(base->tiles * FLA_TILE, functions);
    base->bucket_low = fla_alloc(functions, sizeof *base->bucket_low);
    if (base->buckets == NULL || base->bucket_low == NULL)
        return FLA_ERR_MEMORY;
    for (size_t i = 0; i < FLA_GROUP; i++)
        rows[i] = fla_row(&base->rows, base->rows.rows / FLA_GROUP * i);
    const fla_status status = fla_hash_group(&mine->hasher, base->rows.dtype, rows);
    for (size_t f = 0; f < functions && status == FLA_OK; f++) {
        const int64_t *buckets = mine->hasher.buckets + f * FLA_GROUP;
        int64_t least = INT64_MAX, most = INT64_MIN;
        for (size_t i = 0; i < FLA_GROUP; i++) {
            least = buckets[i] < least ? buckets[i] : least;
            most = buckets[i] > most ? buckets[i] : most;
        }
        const int64_t middle = least / 2 + most / 2; /* the sum might not fit */
        base->bucket_low[f] =
            (middle > INT64_MIN + BUCKET_RANGE ? middle : 0) - BUCKET_RANGE / 2;
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
    const size_t functions = base->model->functions;
    for (size_t f = 0; f < functions; f++) {
        const uint64_t low = (uint64_t)base->bucket_low[f];
        uint8_t *out = base->buckets + first * functions + f;
        for (size_t i = 0; i < FLA_GROUP; i++) {
            const uint64_t above =
                (uint64_t)mine->hasher.buckets[f * FLA_GROUP + i] - low;
            mine->far_bucket |= above >= BUCKET_RANGE;
            out[i * functions] = (uint8_t)above;
        }
    }
}

/* Bucket 16 rows: to keep the buckets, and to see that none passes int64. */
static fla_status bucket_group(fla_base *base, seen *mine, size_t first,
                               const void *const rows[FLA_GROUP])
{
    const fla_status status = fla_hash_group(&mine->hasher, base->rows.dtype, rows);
    if (status == FLA_OK && base->buckets != NULL)
        keep_buckets(base, mine, first);
    return status;
}

/* Take what encoding says of row r of a tile. */
static void note_row(fla_base *base, seen *mine, size_t tile, size_t r,
                     const fla_encoded *encoded)
{
    const size_t i = r % FLA_GROUP, at = tile * FLA_TILE + r;
    const bool exists = at < base->rows.rows;
    const bool fits = encoded->residual[i] <= base->quantizer.cap; /* NaN does not */
    base->full.bias[at] =
        exists && fits ? fla_code_bias(encoded->squares[i]) : PADDING_BIAS;
    if (exists && !fits) {
        base->exceptions[tile] |= (uint64_t)1 << r;
        mine->exceptions++;
    } else if (exists) {
        mine->residual = fmax(mine->residual, encoded->residual[i]);
        mine->length = fmax(mine->length, encoded->length[i]);
    }
}

/* The same of its short form: one that does not fit always passes, and the row's own
   codes decide. */
static void note_brief(fla_base *base, seen *mine, size_t tile, size_t r,
                       const fla_encoded *brief)
{
    const size_t i = r % FLA_GROUP, at = tile * FLA_TILE + r;
    const bool fits = brief->residual[i] <= base->prefix.quantizer.cap;
    base->brief.bias[at] = fits ? fla_code_bias(brief->squares[i]) : ALWAYS_BIAS;
    if (base->full.bias[at] == PADDING_BIAS)
        base->brief.bias[at] = PADDING_BIAS;
    else if (fits)
        mine->brief_residual = fmax(mine->brief_residual, brief->residual[i]);
}

/* Lay a coded group's rows side by side. */
static void write_records(fla_base *base, const uint8_t *group, size_t first)
{
    const size_t steps = base->quantizer.steps, padded = base->full.steps;
    for (size_t i = 0; i < FLA_GROUP; i++) {
        uint8_t *record = base->full.codes + (first + i) * padded * FLA_STEP;
        for (size_t s = 0; s < steps; s++)
            memcpy(record + s * FLA_STEP, group + (s * FLA_GROUP + i) * FLA_STEP,
                   FLA_STEP);
        memset(record + steps * FLA_STEP, 0, (padded - steps) * FLA_STEP);
    }
}

/* Where group g of a tile is coded first. */
static uint8_t *group_codes(const fla_base *base, const seen *mine, size_t tile, size_t g)
{
    const size_t group_bytes = tile_bytes(base->full.steps) / FLA_TILE_GROUPS;
    if (!fla_base_has_prefix(base))
        return base->full.codes + (tile * FLA_TILE_GROUPS + g) * group_bytes;
    if (tile % FLA_SAMPLED == 0)
        return base->sample + (tile / FLA_SAMPLED * FLA_TILE_GROUPS + g) * group_bytes;
    return mine->codes;
}

/* Code 16 rows.  Returns their peak, infinity if any value is not finite. */
static double code_group(fla_base *base, seen *mine, size_t tile, size_t g,
                         const void *const rows[FLA_GROUP],
                         const void *const ahead[FLA_GROUP])
{
    const bool prefix = fla_base_has_prefix(base);
    uint8_t *codes = group_codes(base, mine, tile, g);
    fla_encoded encoded, brief;
    fla_quantizer_encode(&base->quantizer, base->rows.dtype, rows, ahead, mine->group,
                         codes, &encoded);
    if (prefix) {
        const size_t brief_bytes = tile_bytes(base->brief.steps) / FLA_TILE_GROUPS;
        write_records(base, codes, tile * FLA_TILE + g * FLA_GROUP);
        fla_prefix_encode(&base->prefix, mine->group, &encoded, mine->form,
                          base->brief.codes + (tile * FLA_TILE_GROUPS + g) * brief_bytes,
                          &brief);
    }
    for (size_t i = 0; i < FLA_GROUP; i++) {
        note_row(base, mine, tile, g * FLA_GROUP + i, &encoded);
        if (prefix)
            note_brief(base, mine, tile, g * FLA_GROUP + i, &brief);
    }
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
    if (fla_base_has_prefix(base)) {
        mine->form = fla_alloc(fla_prefix_padded(base->prefix.directions) + 1,
                               FLA_GROUP * sizeof *mine->form);
        mine->codes = fla_alloc(base->full.steps, FLA_STEP * FLA_GROUP);
        if (mine->form == NULL || mine->codes == NULL)
            return false;
    }
    return mine->group != NULL &&
           (base->model == NULL || fla_hasher_init(&mine->hasher, kernels, base->model));
}

/* Bring together what the workers have seen.  True: some bucket takes more than a byte.
 */
static bool gather_seen(fla_base *base, seen *workers, unsigned threads)
{
    bool far_bucket = false;
    base->full.residual = 0;
    base->brief.residual = 0;
    base->length = 0;
    base->n_exceptions = 0;
    for (unsigned i = 0; workers != NULL && i < threads; i++) {
        seen *worker = &workers[i];
        base->full.residual = fmax(base->full.residual, worker->residual);
        base->brief.residual = fmax(base->brief.residual, worker->brief_residual);
        base->length = fmax(base->length, worker->length);
        base->n_exceptions += worker->exceptions;
        far_bucket |= worker->far_bucket;
        fla_hasher_clear(&worker->hasher);
        fla_free(worker->group);
        fla_free(worker->form);
        fla_free(worker->codes);
    }
    return far_bucket;
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
    free_buckets(base); /* of an earlier fit */
    if (room && may_keep_buckets(base))
        status = begin_buckets(base, &work.workers[0]);
    else if (room)
        status = FLA_OK;
    if (status == FLA_OK)
        status = fla_pool_run(context->pool, run, tasks, prepare_task, &work);
    if (gather_seen(base, work.workers, threads) || status != FLA_OK)
        free_buckets(base);
    fla_free(work.workers);
    return status;
}

/* Quantizers for rows like these, and room for the codes of those at hand. */
static fla_status fit(fla_base *base, const fla_kernels *kernels, const fla_matrix *like,
                      bool reused)
{
    fla_status status = fla_quantizer_fit(&base->quantizer, like);
    if (status == FLA_OK && reused)
        status = fla_prefix_fit(&base->prefix, kernels, like, base->quantizer.centre);
    if (status == FLA_OK && (reused || base->capacity < base->tiles) && !make_codes(base))
        status = FLA_ERR_MEMORY;
    return status;
}

fla_status fla_base_prepare(fla_base *base, fla_context *context, fla_run *run,
                            const fla_matrix *rows, const fla_matrix *like,
                            uint64_t units, bool reused)
{
    bool new_fit = base->quantizer.centre == NULL;
    fla_status status = FLA_OK;
    fla_base_set(base, rows);
    if (new_fit && !fla_quantizer_init(&base->quantizer, context->kernels, rows->dim))
        return FLA_ERR_MEMORY;
    base->coded = fla_base_can_code(rows->dim);
    if (!new_fit && base->coded && base->capacity < base->tiles && !make_codes(base))
        return FLA_ERR_MEMORY;
    const uint64_t done = run->done;
    for (;; new_fit = true) {
        if (new_fit && base->coded)
            status = fit(base, context->kernels, like, reused);
        if (status == FLA_OK)
            status = prepare_rows(base, context, run, units);
        if (status != FLA_OK || new_fit ||
            base->n_exceptions <= rows->rows / EXCEPTIONS_IN)
            break;
        run->done = done; /* once more, with a quantizer of their own */
    }
    base->checked = status == FLA_OK;
    return status;
}
