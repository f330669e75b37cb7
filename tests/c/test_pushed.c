/*
 * Rows that are pushed without an index, by so many queries that coding them pays: the
 * first piece of a block is coded, and the rest too, or searched as it is where codes
 * tell rows apart too badly.  Either way the naive program's answers are found.
 *
 * Seen to fail with: buckets of the piece before left in fla_base_set; the rest of a
 * block left out or begun a row late; rows numbered from 0 in a piece.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "data.h"
#include "fast_lsh_ann.h"

enum { N = 3600, Q = 600, DIM = 24, TABLES = 3, K = 5, SMALL_IN = 3 };

typedef enum data_kind { FRIENDLY, HOSTILE, BOTH } data_kind;

static float base[N][DIM], asked[Q][DIM];

static double uniform(void)
{
    return (double)(data_next() % 2001) / 1000 - 1;
}

/* Grid points, whose distances tie; or small rows among large ones, by small queries. */
static void fill(float (*rows)[DIM], size_t n, data_kind kind, bool queries)
{
    for (size_t i = 0; i < n; i++) {
        const bool hostile = kind == HOSTILE || (kind == BOTH && i < n / 2);
        const double scale = queries || i % SMALL_IN == 0 ? 1e-3 : 1;
        for (size_t j = 0; j < DIM; j++)
            rows[i][j] = hostile
                             ? (float)(uniform() * scale)
                             : (float)(data_next() % 9) / 2 * (kind == BOTH ? 1e-3F : 1);
    }
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

/* The k nearest of a query by (distance, row), of those that candidates allows. */
static size_t naive(const float *query, const bool *candidates, int64_t *indices,
                    double *distances)
{
    size_t count = 0;
    for (size_t i = 0; i < N; i++) {
        const double d = distance(base[i], query);
        if (!candidates[i] || (count == K && d >= distances[K - 1]))
            continue;
        size_t place = count < K ? count++ : K - 1;
        for (; place > 0 && distances[place - 1] > d; place--) {
            distances[place] = distances[place - 1];
            indices[place] = indices[place - 1];
        }
        distances[place] = d;
        indices[place] = (int64_t)i;
    }
    return count;
}

static bool collide(const int64_t *a, const int64_t *b)
{
    for (size_t t = 0; t < TABLES; t++)
        if (a[t] == b[t])
            return true;
    return false;
}

static fla_matrix matrix(const float (*rows)[DIM], size_t n, int64_t first_row)
{
    return (fla_matrix){rows, n, DIM, sizeof rows[0], first_row, FLA_F32};
}

static void search(fla_context *context, const fla_model *model, size_t block,
                   int64_t *indices, double *distances, int64_t *counts)
{
    fla_knn *knn;
    fla_search_options options;
    const fla_matrix queries = matrix(asked, Q, 0);
    fla_search_options_init(&options);
    options.min_collisions = model != NULL;
    CHECK(
        fla_knn_create(context, NULL, model, &queries, K, &options, &knn, NULL) == FLA_OK,
        "create");
    for (size_t first = 0; first < N; first += block) {
        const size_t n = N - first < block ? N - first : block;
        const fla_matrix rows = matrix(base + first, n, (int64_t)first);
        CHECK(fla_knn_push(knn, NULL, &rows, NULL) == FLA_OK, "push");
    }
    CHECK(fla_knn_finish(knn, NULL, K, indices, distances, counts, NULL) == FLA_OK,
          "finish");
    fla_knn_free(knn);
}

/* Answers of every way to search. */
enum { THREADS = 2, BLOCKS = 3 };
static const unsigned threads[THREADS] = {1, 3};
static const size_t blocks[BLOCKS] = {N, 1500, 333};
static int64_t indices[THREADS][BLOCKS][Q * K], counts[THREADS][BLOCKS][Q];
static double distances[THREADS][BLOCKS][Q * K];
static int64_t row_buckets[N * TABLES], query_buckets[Q * TABLES];

static void search_every_way(const fla_model *model)
{
    for (int t = 0; t < THREADS; t++) {
        fla_context_options options;
        fla_context *context;
        fla_context_options_init(&options);
        options.threads = threads[t];
        CHECK(fla_context_create(&options, &context, NULL) == FLA_OK, "context");
        if (model != NULL) {
            const fla_matrix rows = matrix(base, N, 0), queries = matrix(asked, Q, 0);
            CHECK(fla_model_hash(model, context, NULL, &rows, row_buckets, N * TABLES,
                                 NULL) == FLA_OK &&
                      fla_model_hash(model, context, NULL, &queries, query_buckets,
                                     Q * TABLES, NULL) == FLA_OK,
                  "hash");
        }
        for (int b = 0; b < BLOCKS; b++)
            search(context, model, blocks[b], indices[t][b], distances[t][b],
                   counts[t][b]);
        fla_context_free(context);
    }
}

static void check(const fla_model *model, data_kind kind)
{
    static bool candidates[N];
    size_t found = 0;
    search_every_way(model);
    for (size_t q = 0; q < Q; q++) {
        int64_t want[K];
        double apart[K];
        for (size_t i = 0; i < N; i++)
            candidates[i] = model == NULL ||
                            collide(row_buckets + i * TABLES, query_buckets + q * TABLES);
        const size_t n = naive(asked[q], candidates, want, apart);
        for (int t = 0; t < THREADS; t++)
            for (int b = 0; b < BLOCKS; b++)
                CHECK(counts[t][b][q] == (int64_t)n &&
                          memcmp(indices[t][b] + q * K, want, n * sizeof *want) == 0 &&
                          memcmp(distances[t][b] + q * K, apart, n * sizeof *apart) == 0,
                      "kind %d, %u threads, blocks of %zu, query %zu", (int)kind,
                      threads[t], blocks[b], q);
        found += n;
    }
    CHECK(found > Q, "hardly anything was found: %zu", found);
}

static void pushed_rows_give_the_naive_answers(void)
{
    for (int kind = FRIENDLY; kind <= BOTH; kind += check_step() > 1 ? 2 : 1) {
        fla_model_options options;
        fla_model *model;
        fill(base, N, (data_kind)kind, false);
        fill(asked, Q, (data_kind)kind, true);
        fla_model_options_init(&options);
        options.bucket_length = kind == FRIENDLY ? 2 : 0.1;
        options.num_hash_tables = TABLES;
        CHECK(fla_model_create(&options, DIM, &model, NULL) == FLA_OK, "model");
        check(NULL, (data_kind)kind);
        check(model, (data_kind)kind);
        fla_model_free(model);
    }
}

int main(void)
{
    RUN(pushed_rows_give_the_naive_answers);
    return check_report();
}
