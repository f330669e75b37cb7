/* Rows sorted by bucket, hash table by hash table. */
#include "search/runs.h"

#include "base/alloc.h"
#include "lsh/hash.h"
#include "lsh/model.h"

enum { HASH_ROWS = 1024, DIGIT_BITS = 11, DIGITS = 1 << DIGIT_BITS };

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
                 (uint64_t)runs->tables[t].n * (sizeof(int64_t) + sizeof(uint32_t));
    return bytes;
}

uint32_t fla_runs_rank(const fla_run_table *table, int64_t bucket)
{
    size_t low = 0, high = table->n;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (table->buckets[middle] < bucket)
            low = middle + 1;
        else
            high = middle;
    }
    return low < table->n && table->buckets[low] == bucket ? (uint32_t)low
                                                           : (uint32_t)table->n;
}

/* ---- building -------------------------------------------------------------------- */

typedef struct building {
    fla_runs *runs;
    const fla_matrix *matrix;
    int64_t *hashes;     /* [rows x tables] */
    fla_hasher *hashers; /* one a worker */
} building;

static void hash_task(fla_job *job, void *arg, size_t task, unsigned worker)
{
    const building *work = arg;
    const size_t first = task * HASH_ROWS, left = work->runs->rows - first;
    const fla_status status = fla_hash_rows(&work->hashers[worker], work->matrix, first,
                                            fla_size_min(left, HASH_ROWS),
                                            work->hashes + first * work->runs->n_tables);
    if (status != FLA_OK)
        fla_job_fail(job, status);
}

/* One pass of a radix sort: rows into the order of a digit of their bucket less least. */
static void sort_digit(const building *work, size_t table, uint64_t least, unsigned shift,
                       const uint32_t *from, uint32_t *to)
{
    const size_t n = work->runs->rows, tables = work->runs->n_tables;
    const int64_t *hashes = work->hashes + table;
    uint32_t starts[DIGITS + 1] = {0};
    for (size_t i = 0; i < n; i++)
        starts[(((uint64_t)hashes[i * tables] - least) >> shift) % DIGITS + 1]++;
    for (size_t digit = 0; digit < DIGITS; digit++)
        starts[digit + 1] += starts[digit];
    for (size_t i = 0; i < n; i++) {
        const uint64_t bucket = (uint64_t)hashes[from[i] * tables] - least;
        to[starts[(bucket >> shift) % DIGITS]++] = from[i];
    }
}

/* Order the rows of a table by bucket; other is as much memory again. */
static void sort_rows(const building *work, size_t table, uint32_t **order,
                      uint32_t **other)
{
    const size_t n = work->runs->rows, tables = work->runs->n_tables;
    int64_t least = work->hashes[table], most = least;
    for (size_t i = 0; i < n; i++) {
        const int64_t bucket = work->hashes[i * tables + table];
        least = bucket < least ? bucket : least;
        most = bucket > most ? bucket : most;
        (*order)[i] = (uint32_t)i;
    }
    const uint64_t range = (uint64_t)most - (uint64_t)least;
    for (unsigned shift = 0; shift < 64 && range >> shift != 0; shift += DIGIT_BITS) {
        sort_digit(work, table, (uint64_t)least, shift, *order, *other);
        uint32_t *sorted = *other;
        *other = *order;
        *order = sorted;
    }
}

/* Number the distinct buckets, and note where their runs begin. */
static bool find_runs(const building *work, size_t t, fla_run_table *table)
{
    const size_t n = work->runs->rows, tables = work->runs->n_tables;
    size_t distinct = 0;
    for (size_t i = 0; i < n; i++) {
        const int64_t bucket = work->hashes[table->order[i] * tables + t];
        distinct += i == 0 || bucket != work->hashes[table->order[i - 1] * tables + t];
    }
    table->buckets = fla_alloc(distinct, sizeof *table->buckets);
    table->starts = fla_alloc(distinct + 1, sizeof *table->starts);
    if (table->buckets == NULL || table->starts == NULL)
        return false;
    for (size_t i = 0; i < n; i++) {
        const size_t row = table->order[i];
        const int64_t bucket = work->hashes[row * tables + t];
        if (table->n == 0 || bucket != table->buckets[table->n - 1]) {
            table->starts[table->n] = (uint32_t)i;
            table->buckets[table->n++] = bucket;
        }
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
    if (room && !fla_job_stopped(job, worker)) {
        sort_rows(work, task, &order, &other);
        table->order = order; /* ownership passes here */
        order = NULL;
        room = find_runs(work, task, table);
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
    if (!fla_size_mul(n, tables, &values))
        return FLA_ERR_MEMORY;
    work->hashes = fla_alloc(values, sizeof *work->hashes);
    work->hashers = fla_alloc_zeroed(threads, sizeof *work->hashers);
    work->runs->tables = fla_alloc_zeroed(tables, sizeof *work->runs->tables);
    work->runs->ranks = fla_alloc(values, sizeof *work->runs->ranks);
    if (work->hashes == NULL || work->hashers == NULL || work->runs->tables == NULL ||
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
    building work = {.runs = runs, .matrix = rows};
    const fla_status status = build(&work, context, run, model, threads);
    for (unsigned i = 0; work.hashers != NULL && i < threads; i++)
        fla_hasher_clear(&work.hashers[i]);
    fla_free(work.hashers);
    fla_free(work.hashes);
    return status;
}
