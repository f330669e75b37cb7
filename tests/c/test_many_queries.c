/*
 * Rows pushed to so many queries that more is done for a row than coding it: short forms,
 * or sorted runs where the model selects little.  Both were chosen, and the naive
 * program's answers are found.
 *
 * Seen to fail with: short forms never or always made, or fitted to the first piece of a
 * block alone; models taken for selective the wrong way round or by few queries.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "data.h"
#include "fast_lsh_ann.h"
#include "search/knn.h"

enum { N = 18000, FIRST = 16500, Q = 2100, DIM = 136, TABLES = 3, K = 5, EVERY = 61 };

static float base[N][DIM], asked[Q][DIM];
static int64_t indices[Q * K], counts[Q];
static double distances[Q * K];
static int64_t row_buckets[N * TABLES], query_buckets[Q * TABLES];

/* Rows that vary most along few directions, none of them an axis. */
static void fill(float (*rows)[DIM], size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double size = 1;
        for (size_t j = 0; j < DIM; j++, size *= 0.8)
            rows[i][j] = (float)(size * (double)(int64_t)data_next() * 0x1p-63);
        for (size_t j = 0; j + 1 < DIM; j++) {
            const float a = rows[i][j], b = rows[i][j + 1];
            rows[i][j] = 0.8F * a + 0.6F * b;
            rows[i][j + 1] = 0.8F * b - 0.6F * a;
        }
    }
}

static fla_matrix matrix(const float (*rows)[DIM], size_t n, size_t first)
{
    return (fla_matrix){rows + first,   n,      DIM, (ptrdiff_t)sizeof rows[0],
                        (int64_t)first, FLA_F32};
}

static bool collide(const fla_model *model, size_t row, size_t query)
{
    bool any = model == NULL;
    for (size_t t = 0; t < TABLES; t++)
        any |= row_buckets[row * TABLES + t] == query_buckets[query * TABLES + t];
    return any;
}

static double distance(const float *x, const float *y)
{
    double sum = 0;
    for (size_t j = 0; j < DIM; j++) {
        const double difference = (double)x[j] - (double)y[j];
        const double square = difference * difference;
        sum += square;
    }
    return sqrt(sum);
}

/* The K nearest of a query by (distance, row), of those that collide. */
static size_t naive(const fla_model *model, size_t query, int64_t *rows, double *apart)
{
    size_t count = 0;
    for (size_t i = 0; i < N; i++) {
        const double d = collide(model, i, query) ? distance(base[i], asked[query]) : 0;
        if (!collide(model, i, query) || (count == K && d >= apart[K - 1]))
            continue;
        size_t place = count < K ? count++ : K - 1;
        for (; place > 0 && apart[place - 1] > d; place--) {
            apart[place] = apart[place - 1];
            rows[place] = rows[place - 1];
        }
        apart[place] = d;
        rows[place] = (int64_t)i;
    }
    return count;
}

typedef enum way { CODES, FORMS, RUNS } way;

/* How a search went about the blocks it got. */
static way way_of(const fla_knn *knn)
{
    if (knn->selective)
        return RUNS;
    return knn->pushed.coded && fla_base_has_prefix(&knn->pushed) ? FORMS : CODES;
}

/* Push the larger block first or last, and the other one. */
static way search(fla_context *context, const fla_model *model, size_t n_queries,
                  bool larger_first)
{
    fla_knn *knn;
    fla_search_options options;
    const fla_matrix queries = matrix(asked, n_queries, 0);
    const fla_matrix blocks[2] = {matrix(base, FIRST, 0), matrix(base, N - FIRST, FIRST)};
    fla_search_options_init(&options);
    options.min_collisions = model != NULL;
    CHECK(
        fla_knn_create(context, NULL, model, &queries, K, &options, &knn, NULL) == FLA_OK,
        "create");
    for (int i = 0; i < 2; i++)
        CHECK(fla_knn_push(knn, NULL, &blocks[larger_first ? i : 1 - i], NULL) == FLA_OK,
              "push");
    const way went = way_of(knn);
    CHECK(fla_knn_finish(knn, NULL, K, indices, distances, counts, NULL) == FLA_OK,
          "finish");
    fla_knn_free(knn);
    return went;
}

static void check_answers(const fla_model *model, size_t n_queries)
{
    size_t found = 0;
    for (size_t q = 0; q < n_queries; q += EVERY) {
        int64_t rows[K];
        double apart[K];
        const size_t n = naive(model, q, rows, apart);
        CHECK(counts[q] == (int64_t)n &&
                  memcmp(indices + q * K, rows, n * sizeof *rows) == 0 &&
                  memcmp(distances + q * K, apart, n * sizeof *apart) == 0,
              "query %zu", q);
        found += n;
    }
    CHECK(found > n_queries / EVERY, "hardly anything was found: %zu", found);
}

static fla_model *model_of(double bucket_length)
{
    fla_model_options options;
    fla_model *model;
    fla_model_options_init(&options);
    options.bucket_length = bucket_length;
    options.num_hash_tables = TABLES;
    CHECK(fla_model_create(&options, DIM, &model, NULL) == FLA_OK, "model");
    return model;
}

static void hash(fla_context *context, const fla_model *model)
{
    const fla_matrix rows = matrix(base, N, 0), queries = matrix(asked, Q, 0);
    CHECK(fla_model_hash(model, context, NULL, &rows, row_buckets, N * TABLES, NULL) ==
                  FLA_OK &&
              fla_model_hash(model, context, NULL, &queries, query_buckets, Q * TABLES,
                             NULL) == FLA_OK,
          "hash");
}

static void many_queries_repay_short_forms_and_runs(void)
{
    fla_context *context;
    CHECK(fla_context_create(NULL, &context, NULL) == FLA_OK, "context");
    /* Where codes have no vectors, other ways may be faster: then answers alone count. */
    const bool vectors = strcmp(fla_context_simd(context), "scalar") != 0;
    fla_model *wide = model_of(1), *narrow = model_of(0.001);
    const struct {
        const char *name;
        const fla_model *model;
        size_t queries;
        bool larger_first;
        way expected;
    } cases[] = {
        {"the larger block first", NULL, Q, true, FORMS},
        {"the smaller block first", NULL, Q, false, CODES},
        {"few queries", NULL, FLA_MANY_QUERIES - 1, true, CODES},
        {"a model that selects much", wide, Q, true, FORMS},
        {"a model that selects little", narrow, Q, true, RUNS},
        {"few queries of it", narrow, FLA_MANY_QUERIES - 1, true, CODES},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (cases[i].model != NULL)
            hash(context, cases[i].model);
        const way went =
            search(context, cases[i].model, cases[i].queries, cases[i].larger_first);
        CHECK(went == cases[i].expected || !vectors, "%s", cases[i].name);
        check_answers(cases[i].model, cases[i].queries);
    }
    fla_model_free(wide);
    fla_model_free(narrow);
    fla_context_free(context);
}

int main(void)
{
    fill(base, N);
    fill(asked, Q);
    RUN(many_queries_repay_short_forms_and_runs);
    return check_report();
}
