/*
 * What a pushed search takes of the machine's memory: the sizes of what knn.c and
 * knn_push.c ask for, and what the allocator adds.
 */
#include "base/alloc.h"
#include "base/error.h"
#include "lsh/model.h"
#include "search/knn.h"
#include "search/options.h"
#include "search/prefix_fit.h"
#include "search/seed.h"

/* Numbers of a search; as doubles, since none of their products may overflow. */
typedef struct sizes {
    double queries, dim, rows, threads;
    double block;             /* queries of a task */
    double slots;             /* lists of a query */
    double room;              /* rows a list holds */
    double tables, functions; /* of the model; 0 without one */
    double form;              /* coordinates of short forms; 0: there are none */
    size_t k;
} sizes;

static double least(double a, double b)
{
    return a < b ? a : b;
}

static double of(double count, double size)
{
    return fla_alloc_takes(count * size);
}

/* Codes of so many queries or rows, and their short forms. */
static double codes(const sizes *s, double n)
{
    const double padded = s->dim + (s->form > 0 ? FLA_ALIGNMENT : FLA_STEP);
    return of(n, padded) + (s->form > 0 ? of(n, s->form + FLA_STEP) : 0);
}

static double queries(const sizes *s)
{
    const double lists = s->slots * s->queries;
    return of(s->queries, sizeof(double)) + of(lists, sizeof(fla_topk)) +
           lists * (of(s->room, sizeof(double)) + of(s->room, sizeof(int64_t))) +
           of(s->queries, s->functions * sizeof(int64_t)) + codes(s, s->queries) +
           2 * of(s->queries, sizeof(fla_coded));
}

static double hasher(const sizes *s)
{
    const double floats = FLA_HASH_GROUPS * sizeof(float) + sizeof(double);
    const double buckets = FLA_HASH_GROUPS * sizeof(int64_t) + sizeof(uint16_t);
    return s->functions > 0 ? FLA_GROUP * (s->dim * floats + s->functions * buckets) : 0;
}

/* What a worker scans with. */
static double worker(const sizes *s)
{
    const double numbers = 3 * sizeof(double) + 3 * sizeof(int32_t) + sizeof(fla_hit);
    return sizeof(fla_knn_worker) + of(s->block, numbers) +
           of(s->block, s->dim * sizeof(float)) + of(FLA_TILE, s->dim * sizeof(float)) +
           of(FLA_TILE, s->functions * sizeof(int64_t)) + hasher(s);
}

/* Rows that are coded together, and directions. */
static double piece(const sizes *s)
{
    const double n =
        least(s->rows, (double)fla_knn_piece_rows((size_t)s->dim)) + FLA_TILE;
    const double sample = s->form > 0 ? of(n / FLA_SAMPLED, s->dim + FLA_ALIGNMENT) : 0;
    return codes(s, n) + sample + of(n, 2 * sizeof(int32_t) + 1) + of(n, s->functions) +
           of(s->form, s->dim * sizeof(float));
}

/* A block that is sorted into runs, the worst case being buckets of one row each. */
static double runs(const sizes *s)
{
    const double of_table = 3 * sizeof(uint32_t);
    return of(s->rows, s->functions * sizeof(int64_t)) +
           of(s->rows, s->tables * of_table + s->functions * sizeof(int64_t)) +
           s->threads * (of(s->rows, sizeof(uint32_t)) +
                         of(s->block, s->tables * sizeof(uint32_t) + sizeof(uint64_t)) +
                         of(FLA_TILE, s->dim * sizeof(float)));
}

/* What fitting, preparing and first radii take, one after the other. */
static double preparing(const sizes *s)
{
    const double form = s->form > 0 ? fla_prefix_fit_takes((size_t)s->dim) : 0;
    const double group = FLA_GROUP * sizeof(float) * (2 * s->dim + FLA_ALIGNMENT);
    return form + s->threads *
                      (of(1, group) + hasher(s) + fla_seed_takes(FLA_SEED_QUERIES, s->k));
}

static sizes sizes_of(const fla_context *context, const fla_model *model,
                      size_t n_queries, size_t dim, size_t k, size_t n_rows)
{
    const unsigned threads = fla_pool_threads(context->pool);
    const fla_knn_split split = fla_knn_split_queries(n_queries, threads);
    const bool many = n_queries >= FLA_MANY_QUERIES;
    return (sizes){
        .queries = (double)n_queries,
        .dim = (double)dim,
        .rows = (double)n_rows,
        .threads = threads,
        .k = k,
        .block = (double)split.block,
        .slots = split.share_rows ? threads : 1,
        .room = (double)fla_topk_most(k),
        .tables = model != NULL ? (double)model->tables : 0,
        .functions = model != NULL ? (double)model->functions : 0,
        .form = many ? (double)fla_prefix_longest(dim) : 0,
    };
}

static uint64_t whole(double bytes)
{
    return bytes < 0x1p63 ? (uint64_t)bytes : UINT64_MAX;
}

fla_status fla_knn_measure(const fla_context *context, const fla_model *model,
                           size_t n_queries, size_t dim, size_t k,
                           const fla_search_options *options, size_t n_rows,
                           fla_knn_memory *out, fla_error *err)
{
    fla_search_options read;
    if (out->struct_size != sizeof *out)
        return fla_fail_argument(err, FLA_ERR_ARGUMENT, "out",
                                 "out->struct_size must be %zu, got %zu", sizeof *out,
                                 out->struct_size);
    const fla_status status = fla_search_options_read(options, &model, &read, err);
    if (status != FLA_OK)
        return status;
    if (k < 1 || dim < 1)
        return fla_fail_argument(err, FLA_ERR_ARGUMENT, k < 1 ? "k" : "dim",
                                 "%s must be at least 1, got 0", k < 1 ? "k" : "dim");
    const sizes s = sizes_of(context, model, n_queries, dim, k, n_rows);
    const bool coded = read.plan == FLA_PLAN_AUTO || read.plan == FLA_PLAN_DENSE;
    const bool sorted = model != NULL && read.plan != FLA_PLAN_DENSE;
    out->held = whole(queries(&s) + s.threads * worker(&s) + (coded ? piece(&s) : 0));
    out->passing = whole(preparing(&s) + (sorted ? runs(&s) : 0));
    return FLA_OK;
}
