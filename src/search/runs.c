/* Rows sorted by bucket, hash table by hash table. */
#include "search/runs.h"

#include <string.h>

#include "base/alloc.h"
#include "lsh/hash.h"
#include "lsh/model.h"

enum { HASH_ROWS = 128, DIGIT_BITS = 11, DIGITS = 1 << DIGIT_BITS };

bool fla_runs_can_hold(size_t rows)
{
    return rows > 0 && rows < UINT32_MAX;
}

void fla_runs_clear(fla_runs *runs)
{
    for (size_t t = 0; runs->tables != NULL && t < runs->n_tables; t++) {
        fla_free(runs->tables[t].buckets);
        fla_free(runs->tables[t].starts);
        fla_free(runs->tables[t].order);
    }
    fla_free(runs->tables);
    fla_free(runs->ranks);
    *runs = (fla_runs){0};
}

uint64_t fla_runs_bytes(const fla_runs *runs)
{
    uint64_t bytes = 0;
    for (size_t t = 0; runs->tables != NULL && t < runs->n_tables; t++)
        bytes += (uint64_t)runs->rows * 2 * sizeof(uint32_t) +
                 (uint64_t)runs->tables[t].n *
                     (runs->tables[t].hashes * sizeof(int64_t) + sizeof(uint32_t));
    return bytes;
}

/* Below 0, 0 or above, as a comes before b, is b, or comes after. */
static int compare(const int64_t *a, const int64_t *b, size_t hashes)
{
    size_t k = 0;
    while (k + 1 < hashes && a[k] == b[k])
        k++;
    return (a[k] > b[k]) - (a[k] < b[k]);
}

static uint32_t rank_of(const fla_run_table *table, const int64_t *bucket)
{
    const size_t hashes = table->hashes;
    size_t low = 0, high = table->n;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (compare(table->buckets + middle * hashes, bucket, hashes) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    const bool found =
        low < table->n && compare(table->buckets + low * hashes, bucket, hashes) == 0;
    return found ? (uint32_t)low : (uint32_t)table->n;
}

void fla_runs_rank(const fla_runs *runs, const int64_t *buckets, size_t n,
                   uint32_t *ranks)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t t = 0; t < runs->n_tables; t++) {
            *ranks++ = rank_of(&runs->tables[t], buckets);
            buckets += runs->tables[t].hashes;
        }
    }
}

size_t fla_runs_first(const uint32_t *rows, size_t n, uint32_t row)
{
    size_t low = 0, high = n;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (rows[middle] < row)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool fla_runs_total(const fla_run_table *table, const uint32_t *queries, uint64_t *total)
{
    for (size_t rank = 0; rank < table->n; rank++) {
        const uint64_t rows = table->starts[rank + 1] - table->starts[rank];
        if (rows * queries[rank] > INT64_MAX - *total)
            return false;
        *total += rows * queries[rank];
    }
    return true;
}

/* ---- building -------------------------------------------------------------------- */

typedef struct building {
    fla_runs *runs;
    const fla_matrix *matrix;
    size_t hashes, functions; /* of a table, of all tables */
    int64_t *buckets;         /* [rows x functions] */
    fla_hasher *hashers;      /* one a worker */
} building;

static void hash_task(fla_job *job, void *arg, size_t task, unsigned worker)
{
    const building *work = arg;
    const size_t first = task * HASH_ROWS, left = work->runs->rows - first;
    const fla_status status = fla_hash_rows(&work->hashers[worker], work->matrix, first,
                                            fla_size_min(left, HASH_ROWS),
                                            work->buckets + first * work->functions);
    if (status != FLA_OK)
        fla_job_fail(job, status);
}

/* One pass of a radix sort: rows into the order of a digit of a hash less the least. */
static void sort_digit(const building *work, size_t function, uint64_t least,
                       unsigned shift, const uint32_t *from, uint32_t *to)
{
    const size_t n = work->runs->rows, functions = work->functions;
    const int64_t *buckets = work->buckets + function;
    uint32_t starts[DIGITS + 1] = {0};
    for (size_t i = 0; i < n; i++)
        starts[(((uint64_t)buckets[i * functions] - least) >> shift) % DIGITS + 1]++;
    for (size_t digit = 0; digit < DIGITS; digit++)
        starts[digit + 1] += starts[digit];
    for (size_t i = 0; i < n; i++) {
        const uint64_t bucket = (uint64_t)buckets[from[i] * functions] - least;
        to[starts[(bucket >> shift) % DIGITS]++] = from[i];
    }
}

/* Order rows by one hash; those it does not tell apart stay as they are.  other is as
   much memory again. */
static void sort_rows(const building *work, size_t function, uint32_t **order,
                      uint32_t **other, fla_job *job, unsigned worker)
{
    const size_t n = work->runs->rows, functions = work->functions;
    int64_t least = work->buckets[function], most = least;
    for (size_t i = 0; i < n; i++) {
        const int64_t bucket = work->buckets[i * functions + function];
        least = bucket < least ? bucket : least;
        most = bucket > most ? bucket : most;
    }
    const uint64_t range = (uint64_t)most - (uint64_t)least;
    for (unsigned shift = 0; shift < 64 && range >> shift != 0; shift += DIGIT_BITS) {
        if (fla_job_stopped(job, worker))
            return;
        sort_digit(work, function, (uint64_t)least, shift, *order, *other);
        uint32_t *sorted = *other;
        *other = *order;
        *order = sorted;
    }
}

static inline bool same(const int64_t *a, const int64_t *b, size_t hashes)
{
    size_t k = 0;
    while (k < hashes && a[k] == b[k])
        k++;
    return k == hashes;
}

/* Number the distinct buckets, and note where their runs begin.  Inlined, so that tables
   of one hash compare numbers. */
static inline bool find_runs(const building *work, size_t t, size_t hashes,
                             fla_run_table *table)
{
    const size_t n = work->runs->rows, tables = work->runs->n_tables;
    const size_t functions = work->functions;
    const int64_t *buckets = work->buckets + t * hashes;
    const int64_t *last = buckets + table->order[0] * functions;
    size_t distinct = 1;
    for (size_t i = 1; i < n; i++) {
        const int64_t *bucket = buckets + table->order[i] * functions;
        distinct += !same(bucket, last, hashes);
        last = bucket;
    }
    table->hashes = hashes;
    table->buckets = fla_alloc(distinct, hashes * sizeof *table->buckets);
    table->starts = fla_alloc(distinct + 1, sizeof *table->starts);
    if (table->buckets == NULL || table->starts == NULL)
        return false;
    for (size_t i = 0; i < n; i++) {
        const size_t row = table->order[i];
        const int64_t *bucket = buckets + row * functions;
        if (i == 0 || !same(bucket, last, hashes)) {
            table->starts[table->n] = (uint32_t)i;
            memcpy(table->buckets + table->n * hashes, bucket, hashes * sizeof *bucket);
            table->n++;
        }
        last = bucket;
        work->runs->ranks[row * tables + t] = (uint32_t)(table->n - 1);
    }
    table->starts[table->n] = (uint32_t)n;
    return true;
}

static void sort_task(fla_job *job, void *arg, size_t task, unsigned worker)
{
    const building *work = arg;
    const size_t n = work->runs->rows;
    fla_run_table *table = &work->runs->tables[task];
    uint32_t *order = fla_alloc(n, sizeof *order), *other = fla_alloc(n, sizeof *other);
    bool room = order != NULL && other != NULL;
    for (size_t i = 0; room && i < n; i++)
        order[i] = (uint32_t)i;
    size_t left = work->hashes; /* the first hash decides, so it comes last */
    while (room && left > 0 && !fla_job_stopped(job, worker))
        sort_rows(work, task * work->hashes + --left, &order, &other, job, worker);
    if (room && left == 0) {
        table->order = order; /* ownership passes here */
        order = NULL;
        room = work->hashes == 1 ? find_runs(work, task, 1, table)
                                 : find_runs(work, task, work->hashes, table);
    }
    fla_free(order);
    fla_free(other);
    if (!room)
        fla_job_fail(job, FLA_ERR_MEMORY);
}

static fla_status build(building *work, fla_context *context, fla_run *run,
                        const fla_model *model, unsigned threads)
{
    const size_t n = work->runs->rows, tables = work->runs->n_tables;
    size_t values;
    if (!fla_size_mul(n, work->functions, &values))
        return FLA_ERR_MEMORY;
    work->buckets = fla_alloc(values, sizeof *work->buckets);
    work->hashers = fla_alloc_zeroed(threads, sizeof *work->hashers);
    work->runs->tables = fla_alloc_zeroed(tables, sizeof *work->runs->tables);
    work->runs->ranks = fla_alloc(n * tables, sizeof *work->runs->ranks);
    if (work->buckets == NULL || work->hashers == NULL || work->runs->tables == NULL ||
        work->runs->ranks == NULL)
        return FLA_ERR_MEMORY;
    for (unsigned i = 0; i < threads; i++)
        if (!fla_hasher_init(&work->hashers[i], context->kernels, model))
            return FLA_ERR_MEMORY;
    const fla_status status =
        fla_pool_run(context->pool, run, fla_size_parts(n, HASH_ROWS), hash_task, work);
    return status == FLA_OK ? fla_pool_run(context->pool, run, tables, sort_task, work)
                            : status;
}

fla_status fla_runs_build(fla_runs *runs, fla_context *context, fla_run *run,
                          const fla_model *model, const fla_matrix *rows)
{
    const unsigned threads = fla_call_threads(run->call, context->pool);
    *runs = (fla_runs){.rows = rows->rows, .n_tables = model->tables};
    building work = {.runs = runs,
                     .matrix = rows,
                     .hashes = model->hashes,
                     .functions = model->functions};
    const fla_status status = build(&work, context, run, model, threads);
    for (unsigned i = 0; work.hashers != NULL && i < threads; i++)
        fla_hasher_clear(&work.hashers[i]);
    fla_free(work.hashers);
    fla_free(work.buckets);
    return status;
}
