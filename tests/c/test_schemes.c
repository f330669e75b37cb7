/*
 * Models with several hashes a table and with Gaussian projections: what is drawn, the
 * buckets, and every way to search by them, against naive loops.
 */
#include <string.h>

#include "check.h"
#include "lsh/java_random.h"
#include "naive.h"

enum { N = 400, Q = 40, FEW = 5, MOST_HASHES = 4, SCHEMES = 2 * MOST_HASHES };

static double base[N][NAIVE_DIM], asked[Q][NAIVE_DIM];
static uint64_t common[Q][N]; /* tables in which a query and a row collide */

static fla_model *scheme(size_t number)
{
    const bool gaussian = number % 2 == 1;
    return naive_model_of(1 + number / 2,
                          gaussian ? FLA_PROJECTION_GAUSSIAN : FLA_PROJECTION_SPARK);
}

/* ---- what is drawn --------------------------------------------------------------- */

static fla_model *draw(uint64_t tables, uint64_t hashes, fla_projection projection)
{
    fla_model_options options;
    fla_model *model;
    fla_model_options_init(&options);
    options.bucket_length = 0.7;
    options.num_hash_tables = tables;
    options.num_hashes_per_table = hashes;
    options.projection = projection;
    options.seed = -3;
    if (fla_model_create(&options, NAIVE_DIM, &model, NULL) != FLA_OK)
        abort();
    return model;
}

/* Table by table, hash by hash: the Gaussians of a vector, then its offset. */
static void gaussian_functions_come_in_order(void)
{
    enum { TABLES = 3, HASHES = 2 };
    fla_model *model = draw(TABLES, HASHES, FLA_PROJECTION_GAUSSIAN);
    const double *vectors = fla_model_vectors(model);
    fla_java_random random;
    fla_java_random_init(&random, -3);
    CHECK(fla_model_tables(model) == TABLES && fla_model_hashes(model) == HASHES,
          "%zu x %zu", fla_model_tables(model), fla_model_hashes(model));
    for (size_t f = 0; f < TABLES * HASHES; f++) {
        for (size_t j = 0; j < NAIVE_DIM; j++)
            CHECK(vectors[f * NAIVE_DIM + j] == fla_java_random_gaussian(&random),
                  "function %zu, column %zu", f, j);
        const double offset = fla_model_offsets(model)[f];
        CHECK(offset == 0.7 * fla_java_random_double(&random) && offset >= 0 &&
                  offset < 0.7,
              "function %zu: offset %g", f, offset);
    }
    fla_model_free(model);
}

/* Six functions are the same six, as six tables, three or two. */
static void functions_do_not_depend_on_how_tables_share_them(void)
{
    for (int projection = 0; projection < 2; projection++) {
        fla_model *six = draw(6, 1, (fla_projection)projection);
        for (uint64_t tables = 1; tables <= 3; tables++) {
            const uint64_t hashes = 6 / tables;
            fla_model *model = draw(tables, hashes, (fla_projection)projection);
            CHECK(memcmp(fla_model_vectors(model), fla_model_vectors(six),
                         6 * NAIVE_DIM * sizeof(double)) == 0 &&
                      memcmp(fla_model_offsets(model), fla_model_offsets(six),
                             6 * sizeof(double)) == 0,
                  "%d tables", (int)tables);
            fla_model_free(model);
        }
        for (size_t f = 0; f < 6; f++)
            CHECK((fla_model_offsets(six)[f] != 0) == (projection == 1), "offset %zu", f);
        fla_model_free(six);
    }
}

static void check_refused(const fla_model_options *options, const char *argument,
                          const char *words)
{
    fla_model *model;
    fla_error err;
    CHECK(fla_model_create(options, 1 << 20, &model, &err) == FLA_ERR_ARGUMENT &&
              model == NULL,
          "%s was taken", argument);
    CHECK(strcmp(err.argument, argument) == 0 && strstr(err.message, words) != NULL,
          "%s: %s", err.argument, err.message);
}

static void options_out_of_range_are_refused(void)
{
    static const double given[1];
    fla_model_options options, usual;
    fla_model_options_init(&usual);
    CHECK(usual.num_hashes_per_table == 1 && usual.projection == FLA_PROJECTION_SPARK,
          "defaults");
    options = usual;
    options.num_hashes_per_table = 0;
    check_refused(&options, "num_hashes_per_table", "at least 1, got 0");
    options.num_hash_tables = 8; /* 8 x 8 x 2^20 is the most */
    options.num_hashes_per_table = 9;
    check_refused(&options, "num_hash_tables", "67108864, got 8 x 9 x 1048576");
    options.num_hashes_per_table = UINT64_MAX / 4; /* the product wraps to small */
    check_refused(&options, "num_hash_tables", "at most 67108864");
    options = usual;
    options.projection = (fla_projection)2;
    check_refused(&options, "projection", "from 0 to 1, got 2");
    options.projection = FLA_PROJECTION_GAUSSIAN;
    options.profile = FLA_PROFILE_JAVA8;
    check_refused(&options, "profile", "no profile");
    options.profile = FLA_PROFILE_JAVA11;
    options.vectors = given;
    check_refused(&options, "projection", "no offsets");
}

/* ---- buckets --------------------------------------------------------------------- */

static void buckets_are_the_naive_ones(void)
{
    fla_context *context;
    const fla_matrix rows = naive_matrix(base, N, 0);
    if (fla_context_create(NULL, &context, NULL) != FLA_OK)
        abort();
    for (size_t s = 0; s < SCHEMES; s++) {
        fla_model *model = scheme(s);
        const size_t functions = NAIVE_TABLES * fla_model_hashes(model);
        int64_t out[N * NAIVE_TABLES * MOST_HASHES];
        size_t wrong = 0;
        CHECK(fla_model_hash(model, context, NULL, &rows, out, N * functions, NULL) ==
                  FLA_OK,
              "scheme %zu", s);
        for (size_t i = 0; i < N * functions; i++)
            wrong += out[i] !=
                     (int64_t)naive_bucket(model, base[i / functions], i % functions);
        CHECK(wrong == 0, "scheme %zu: %zu buckets", s, wrong);
        CHECK(fla_model_hash(model, context, NULL, &rows, out, N * functions - 1, NULL) ==
                  FLA_ERR_SHAPE,
              "scheme %zu: too short an output", s);
        fla_model_free(model);
    }
    fla_context_free(context);
}

/* ---- searches -------------------------------------------------------------------- */

/* What is searched, how. */
typedef struct search {
    fla_context *context;
    const fla_model *model;
    const fla_index *index;
    fla_search_options options;
    const char *what;
    size_t queries;
} search;

static bool is_candidate(const search *s, size_t q, size_t row)
{
    return common[q][row] >= s->options.min_collisions;
}

/* All candidates of all queries. */
static size_t count_candidates(const search *s)
{
    size_t count = 0;
    for (size_t q = 0; q < s->queries; q++)
        for (size_t i = 0; i < N; i++)
            count += is_candidate(s, q, i);
    return count;
}

/* A list of rows that must be all candidates of a query, by (distance, row). */
static void check_list(const search *s, size_t q, const int64_t *rows,
                       const double *distances, size_t n)
{
    size_t want = 0, wrong = 0;
    for (size_t i = 0; i < N; i++)
        want += is_candidate(s, q, i);
    for (size_t p = 0; p < n; p++) {
        const size_t row = (size_t)rows[p];
        wrong +=
            row >= N || !is_candidate(s, q, row) ||
            distances[p] != naive_distance(base[row], asked[q]) ||
            (p > 0 && (distances[p - 1] > distances[p] ||
                       (distances[p - 1] == distances[p] && rows[p - 1] >= rows[p])));
    }
    CHECK(n == want && wrong == 0, "%s, query %zu: %zu rows, %zu wrong, want %zu",
          s->what, q, n, wrong, want);
}

static void check_radius(const search *s)
{
    const fla_matrix queries = naive_matrix(asked, s->queries, 0);
    const double all = INFINITY;
    fla_neighbor_lists *got;
    if (!CHECK(fla_radius_neighbors(s->index, s->context, NULL, &queries, &all, 1,
                                    &s->options, &got, NULL) == FLA_OK,
               "%s", s->what))
        return;
    for (size_t q = 0; q < s->queries; q++)
        check_list(s, q, got->indices + got->indptr[q], got->distances + got->indptr[q],
                   (size_t)(got->indptr[q + 1] - got->indptr[q]));
    fla_neighbor_lists_free(got);
}

static void check_neighbors(const search *s, bool pushed)
{
    static int64_t indices[Q * N], counts[Q];
    static double distances[Q * N];
    const fla_matrix queries = naive_matrix(asked, s->queries, 0);
    fla_status status = FLA_OK;
    if (pushed) {
        fla_knn *knn;
        status = fla_knn_create(s->context, NULL, s->model, &queries, N, &s->options,
                                &knn, NULL);
        for (size_t first = 0; first < N && status == FLA_OK; first += 70) {
            const size_t n = N - first < 70 ? N - first : 70;
            const fla_matrix rows = naive_matrix(base + first, n, (int64_t)first);
            status = fla_knn_push(knn, NULL, &rows, NULL);
        }
        if (status == FLA_OK)
            status = fla_knn_finish(knn, NULL, N, indices, distances, counts, NULL);
        fla_knn_free(knn);
    } else {
        status =
            fla_nearest_neighbors(s->index, s->context, NULL, &queries, N, &s->options,
                                  indices, distances, s->queries * N, counts, NULL);
    }
    if (!CHECK(status == FLA_OK, "%s", s->what))
        return;
    for (size_t q = 0; q < s->queries; q++)
        check_list(s, q, indices + q * N, distances + q * N, (size_t)counts[q]);
}

typedef struct sunk {
    const search *search;
    size_t n, wrong;
    fla_pair last;
} sunk;

static int take_pairs(void *arg, const fla_pair *pairs, size_t n)
{
    sunk *got = arg;
    for (size_t i = 0; i < n; i++) {
        const fla_pair p = pairs[i], last = got->last;
        got->wrong += !is_candidate(got->search, (size_t)p.left, (size_t)p.right) ||
                      (got->n > 0 && (p.left < last.left ||
                                      (p.left == last.left && p.right <= last.right)));
        got->last = p;
        got->n++;
    }
    return 0;
}

/* Queries pushed block by block against the rows; and their number alone. */
static void check_joins(const search *s)
{
    sunk got = {.search = s};
    const fla_matrix right = naive_matrix(base, N, 0);
    const fla_matrix queries = naive_matrix(asked, s->queries, 0);
    const size_t want = count_candidates(s);
    uint64_t count;
    fla_join *join;
    fla_status status = fla_join_create(s->context, NULL, s->model, &right, INFINITY,
                                        &s->options, &join, NULL);
    for (size_t first = 0; first < s->queries && status == FLA_OK; first += 17) {
        const size_t n = s->queries - first < 17 ? s->queries - first : 17;
        const fla_matrix left = naive_matrix(asked + first, n, (int64_t)first);
        status = fla_join_push(join, NULL, &left, take_pairs, &got, NULL);
    }
    fla_join_free(join);
    CHECK(status == FLA_OK && got.n == want && got.wrong == 0,
          "%s: %zu pairs, %zu wrong, want %zu", s->what, got.n, got.wrong, want);
    CHECK(fla_pairs_count(s->index, s->context, NULL, &queries, INFINITY, &s->options,
                          &count, NULL) == FLA_OK &&
              count == want,
          "%s: %zu counted, want %zu", s->what, (size_t)count, want);
}

/* Every number of collisions and every plan.  Returns the candidates of the first. */
static size_t search_in_all_ways(search s)
{
    size_t candidates = 0;
    fla_search_options_init(&s.options);
    for (uint64_t least = 1; least <= NAIVE_TABLES; least++) {
        s.options.min_collisions = least;
        for (int plan = 0; plan <= FLA_PLAN_GATHER; plan++) {
            s.options.plan = (fla_plan)plan;
            check_radius(&s);
            check_neighbors(&s, false);
            check_neighbors(&s, true);
        }
        s.options.plan = FLA_PLAN_AUTO;
        check_joins(&s);
        if (least == 1)
            candidates = count_candidates(&s);
    }
    return candidates;
}

static size_t search_scheme(const fla_model *model, const char *tier, unsigned threads)
{
    const fla_context_options with = {sizeof with, threads, tier};
    const fla_matrix rows = naive_matrix(base, N, 0);
    fla_index *index;
    search s = {.model = model, .what = tier};
    if (fla_context_create(&with, &s.context, NULL) != FLA_OK ||
        fla_index_create(s.context, NULL, model, &rows, &index, NULL) != FLA_OK)
        abort();
    s.index = index;
    s.queries = FEW; /* so few that rows are not coded for them */
    search_in_all_ways(s);
    s.queries = Q;
    const size_t candidates = search_in_all_ways(s);
    fla_index_free(index);
    fla_context_free(s.context);
    return candidates;
}

static void searches_are_the_naive_ones(void)
{
    const char *tiers[8];
    const size_t n_tiers = fla_simd_tiers(tiers, 8);
    size_t before[2] = {SIZE_MAX, SIZE_MAX};
    for (size_t number = 0; number < SCHEMES; number++) {
        fla_model *model = scheme(number);
        size_t candidates = 0;
        for (size_t q = 0; q < Q; q++)
            for (size_t i = 0; i < N; i++)
                common[q][i] = naive_collisions(model, base[i], asked[q]);
        for (size_t t = 0; t < n_tiers; t++)
            candidates = search_scheme(model, tiers[t], 1 + (unsigned)t % 3);
        printf("ran    scheme %zu: %zu of %d are candidates\n", number, candidates,
               Q * N);
        CHECK(candidates > Q && candidates < before[number % 2],
              "scheme %zu: %zu candidates, not fewer than with one hash less", number,
              candidates);
        before[number % 2] = candidates;
        fla_model_free(model);
    }
}

int main(void)
{
    naive_fill(base, N);
    naive_fill(asked, Q);
    RUN(gaussian_functions_come_in_order);
    RUN(functions_do_not_depend_on_how_tables_share_them);
    RUN(options_out_of_range_are_refused);
    RUN(buckets_are_the_naive_ones);
    RUN(searches_are_the_naive_ones);
    return check_report();
}
