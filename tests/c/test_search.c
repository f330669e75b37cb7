/* Hashing, neighbors and joins through the public functions, against naive loops here. */
#include <fenv.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "check.h"
#include "data.h"
#include "fast_lsh_ann.h"

enum { N = 300, Q = 23, DIM = 7, TABLES = 4, K = 5 };

static double base[N][DIM], asked[Q][DIM];
static fla_context *context;
static fla_model *model;

static fla_matrix matrix(const double (*rows)[DIM], size_t n, int64_t first_row)
{
    return (fla_matrix){rows, n, DIM, sizeof rows[0], first_row, FLA_F64};
}

static void make_data(void)
{
    fla_model_options options;
    fla_error err;
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < DIM; j++)
            base[i][j] = (double)(int)(data_next() % 9) / 2; /* a grid: many ties */
    for (size_t i = 0; i < Q; i++)
        for (size_t j = 0; j < DIM; j++)
            asked[i][j] = (double)(int)(data_next() % 9) / 2;
    fla_model_options_init(&options);
    options.num_hash_tables = TABLES;
    if (fla_context_create(NULL, &context, &err) != FLA_OK ||
        fla_model_create(&options, DIM, &model, &err) != FLA_OK)
        abort();
}

/* ---- the naive answers --------------------------------------------------------- */

static double distance(const double *x, const double *y)
{
    double sum = 0;
    for (size_t j = 0; j < DIM; j++) {
        const double difference = x[j] - y[j];
        const double square = difference * difference;
        sum += square;
    }
    return sqrt(sum);
}

static uint64_t collisions(const double *x, const double *y)
{
    uint64_t count = 0;
    const double *vectors = fla_model_vectors(model);
    for (size_t t = 0; t < TABLES; t++) {
        double a = 0, b = 0;
        for (size_t j = 0; j < DIM; j++) {
            a = fma(x[j], vectors[t * DIM + j], a);
            b = fma(y[j], vectors[t * DIM + j], b);
        }
        count += floor(0.5 * a) == floor(0.5 * b); /* bucket_length 2 */
    }
    return count;
}

typedef struct answer {
    int64_t indices[Q][K], counts[Q];
    double distances[Q][K];
} answer;

static void naive_neighbors(uint64_t min_collisions, answer *out)
{
    for (size_t q = 0; q < Q; q++) {
        int64_t n = 0;
        for (size_t i = 0; i < K; i++) {
            out->indices[q][i] = -1;
            out->distances[q][i] = INFINITY;
        }
        for (int64_t i = 0; i < N; i++) {
            if (min_collisions > 0 && collisions(base[i], asked[q]) < min_collisions)
                continue;
            const double d = distance(base[i], asked[q]);
            size_t place = 0; /* rows ascend, so a tie stays behind */
            while (place < K && out->indices[q][place] >= 0 &&
                   out->distances[q][place] <= d)
                place++;
            for (size_t p = K - 1; p > place && place < K; p--) {
                out->distances[q][p] = out->distances[q][p - 1];
                out->indices[q][p] = out->indices[q][p - 1];
            }
            if (place < K) {
                out->distances[q][place] = d;
                out->indices[q][place] = i;
            }
            n++;
        }
        out->counts[q] = n < K ? n : K;
    }
}

/* ---- neighbors ----------------------------------------------------------------- */

static fla_status search_in_blocks(fla_context *with, uint64_t min_collisions,
                                   fla_plan plan, size_t block, bool backwards,
                                   answer *out, fla_error *err)
{
    fla_search_options options;
    fla_knn *knn;
    const fla_matrix queries = matrix(asked, Q, 0);
    fla_search_options_init(&options);
    options.min_collisions = min_collisions;
    options.plan = plan;
    fla_status status =
        fla_knn_create(with, NULL, model, &queries, K, &options, &knn, err);
    if (status != FLA_OK)
        return status;
    const size_t blocks = (N + block - 1) / block;
    for (size_t b = 0; b < blocks && status == FLA_OK; b++) {
        const size_t first = (backwards ? blocks - 1 - b : b) * block;
        const size_t n = N - first < block ? N - first : block;
        const fla_matrix rows = matrix(base + first, n, (int64_t)first);
        status = fla_knn_push(knn, NULL, &rows, err);
    }
    if (status == FLA_OK)
        status = fla_knn_finish(knn, NULL, K, out->indices[0], out->distances[0],
                                out->counts, err);
    CHECK(fla_knn_push(knn, NULL, &queries, NULL) == FLA_ERR_ARGUMENT,
          "rows were taken after the end");
    fla_knn_free(knn);
    return status;
}

/* In blocks of several sizes, by every plan there is. */
static void every_block_and_plan_finds(fla_context *with, uint64_t min_collisions,
                                       const answer *want)
{
    static const size_t blocks[] = {1, 7, 64, 100, N};
    const int plans = min_collisions == 0 ? FLA_PLAN_DENSE : FLA_PLAN_GATHER;
    for (int plan = FLA_PLAN_AUTO; plan <= plans; plan++) {
        for (size_t b = 0; b < 5; b++) {
            answer got;
            fla_error err;
            CHECK(search_in_blocks(with, min_collisions, (fla_plan)plan, blocks[b],
                                   b % 2 == 0, &got, &err) == FLA_OK,
                  "%s", err.message);
            CHECK(memcmp(&got, want, sizeof got) == 0,
                  "%s, %u threads, blocks of %zu, min_collisions %d, plan %d",
                  fla_context_simd(with), fla_context_threads(with), blocks[b],
                  (int)min_collisions, plan);
        }
    }
}

static void neighbors_are_the_naive_ones_in_any_blocks_plans_threads_and_tiers(void)
{
    const char *tiers[8];
    const size_t n_tiers = fla_simd_tiers(tiers, 8);
    for (uint64_t m = 0; m <= TABLES; m++) {
        answer want;
        naive_neighbors(m, &want);
        for (unsigned threads = 1; threads <= 7; threads += threads == 3 ? 4 : 1) {
            for (size_t t = 0; t < n_tiers; t++) {
                const fla_context_options options = {sizeof options, threads, tiers[t]};
                fla_context *with;
                fla_error err;
                CHECK(fla_context_create(&options, &with, &err) == FLA_OK, "context");
                every_block_and_plan_finds(with, m, &want);
                fla_context_free(with);
            }
        }
    }
}

/* Codes of one tier mean nothing to the kernels of another. */
static void an_index_serves_contexts_of_any_tier(void)
{
    const char *tiers[16];
    const size_t n_tiers = fla_simd_tiers(tiers, 16);
    const fla_matrix rows = matrix(base, N, 0), queries = matrix(asked, Q, 0);
    fla_context *with[16];
    fla_error err;
    answer want, got;
    naive_neighbors(1, &want);
    for (size_t t = 0; t < n_tiers; t++) {
        const fla_context_options options = {sizeof options, 1, tiers[t]};
        CHECK(fla_context_create(&options, &with[t], &err) == FLA_OK, "context");
    }
    for (size_t made = 0; made < n_tiers; made++) {
        fla_index *index;
        CHECK(fla_index_create(with[made], NULL, model, &rows, &index, &err) == FLA_OK,
              "index");
        for (size_t t = 0; t < n_tiers; t++) {
            CHECK(fla_nearest_neighbors(index, with[t], NULL, &queries, K, NULL,
                                        got.indices[0], got.distances[0], Q * K,
                                        got.counts, &err) == FLA_OK,
                  "search");
            CHECK(memcmp(&got, &want, sizeof got) == 0, "made by %s, searched by %s",
                  tiers[made], tiers[t]);
        }
        fla_index_free(index);
    }
    for (size_t t = 0; t < n_tiers; t++)
        fla_context_free(with[t]);
}

static void k_beyond_the_rows_pads(void)
{
    enum { MANY = 400 };
    static int64_t indices[Q * N], counts[Q];
    static double distances[Q * N];
    fla_index *index;
    fla_error err;
    const fla_matrix rows = matrix(base, N, 0), queries = matrix(asked, Q, 0);
    CHECK(fla_index_create(context, NULL, model, &rows, &index, &err) == FLA_OK, "index");
    CHECK(fla_nearest_neighbors(index, context, NULL, &queries, MANY, NULL, indices,
                                distances, Q * N, counts, &err) == FLA_OK,
          "search");
    for (size_t q = 0; q < Q; q++) {
        int64_t candidates = 0;
        for (size_t i = 0; i < N; i++)
            candidates += collisions(base[i], asked[q]) > 0;
        CHECK(counts[q] == candidates, "query %zu: %d", q, (int)counts[q]);
        for (size_t i = 0; i < N; i++) {
            const bool padded = (int64_t)i >= counts[q];
            CHECK((indices[q * N + i] == -1) == padded, "index %zu of query %zu", i, q);
            CHECK(isinf(distances[q * N + i]) == padded, "distance %zu", i);
        }
    }
    fla_index_free(index);
}

/* ---- joins --------------------------------------------------------------------- */

typedef struct collected {
    fla_pair *pairs;
    size_t n, capacity, calls, stop_after;
    bool out_of_order;
} collected;

static int collect(void *arg, const fla_pair *pairs, size_t n)
{
    collected *c = arg;
    if (++c->calls == c->stop_after)
        return 1;
    if (c->n + n > c->capacity) {
        c->capacity = 2 * (c->n + n);
        c->pairs = realloc(c->pairs, c->capacity * sizeof *pairs);
        if (c->pairs == NULL)
            abort();
    }
    for (size_t i = 0; i < n; i++) {
        if (c->n > 0) {
            const fla_pair last = c->pairs[c->n - 1];
            c->out_of_order |=
                pairs[i].left < last.left ||
                (pairs[i].left == last.left && pairs[i].right <= last.right);
        }
        c->pairs[c->n++] = pairs[i];
    }
    return 0;
}

static size_t naive_pairs(const double (*left)[DIM], size_t n_left, uint64_t m,
                          double threshold, bool strict, bool upper)
{
    size_t n = 0;
    for (size_t i = 0; i < n_left; i++) {
        for (size_t j = upper ? i + 1 : 0; j < N; j++) {
            const double d = distance(left[i], base[j]);
            n += (strict ? d < threshold : d <= threshold) &&
                 (m == 0 || collisions(left[i], base[j]) >= m);
        }
    }
    return n;
}

static void check_pairs(const collected *c, const double (*left)[DIM], uint64_t m,
                        double threshold, const char *what)
{
    for (size_t i = 0; i < c->n; i++) {
        const fla_pair p = c->pairs[i];
        const double d = distance(left[p.left], base[p.right]);
        CHECK(d == p.distance && d <= threshold, "%s: distance %a, want %a", what,
              p.distance, d);
        CHECK(m == 0 || collisions(left[p.left], base[p.right]) >= m, "%s: no candidate",
              what);
    }
    CHECK(!c->out_of_order, "%s: pairs out of order", what);
}

static void joins_are_the_naive_ones(void)
{
    static const double thresholds[] = {0, 1.5, 3, INFINITY};
    fla_error err;
    fla_index *left, *right;
    const fla_matrix rows = matrix(base, N, 0), others = matrix(asked, Q, 0);
    CHECK(fla_index_create(context, NULL, model, &rows, &right, &err) == FLA_OK, "right");
    CHECK(fla_index_create(context, NULL, model, &others, &left, &err) == FLA_OK, "left");
    for (size_t t = 0; t < 4; t++) {
        for (uint64_t m = 0; m <= 2; m++) {
            for (int kind = 0; kind < 4; kind++) {
                collected c = {0};
                fla_search_options options;
                const bool self = kind >= 2;
                fla_search_options_init(&options);
                options.min_collisions = m;
                options.strict = kind == 1;
                options.upper = kind == 3;
                CHECK(fla_similarity_join(self ? right : left, context, NULL,
                                          self ? NULL : right, thresholds[t], &options,
                                          collect, &c, &err) == FLA_OK,
                      "join");
                const double (*rows_of)[DIM] = self ? base : asked;
                const size_t want = naive_pairs(rows_of, self ? N : Q, m, thresholds[t],
                                                options.strict, options.upper);
                CHECK(c.n == want, "%zu pairs, want %zu (threshold %g, m %d, kind %d)",
                      c.n, want, thresholds[t], (int)m, kind);
                check_pairs(&c, rows_of, m, thresholds[t], "join");
                free(c.pairs);
            }
        }
    }
    fla_index_free(left);
    fla_index_free(right);
}

static void left_blocks_join_like_one(void)
{
    fla_error err;
    fla_join *join;
    collected c = {0};
    fla_search_options options;
    const fla_matrix right = matrix(base, N, 0);
    fla_search_options_init(&options);
    options.upper = true;
    CHECK(
        fla_join_create(context, NULL, model, &right, 2, &options, &join, &err) == FLA_OK,
        "create");
    for (size_t first = 0; first < N; first += 13) {
        const size_t n = N - first < 13 ? N - first : 13;
        const fla_matrix left = matrix(base + first, n, (int64_t)first);
        CHECK(fla_join_push(join, NULL, &left, collect, &c, &err) == FLA_OK, "push");
    }
    const size_t want = naive_pairs(base, N, 1, 2, false, true);
    CHECK(c.n == want && want > 0, "%zu pairs, want %zu", c.n, want);
    check_pairs(&c, base, 1, 2, "blocks");
    fla_join_free(join);
    free(c.pairs);
}

/* More pairs than a task's buffer holds, for many left rows and for a single one. */
static void a_flood_of_pairs_leaves_in_order_and_in_bounds(void)
{
    enum { WIDE = 600000, FEW = 3 };
    const fla_context_options one_thread = {sizeof one_thread, 1, NULL};
    fla_context *one; /* so that a single row takes more than one wave */
    float *values = calloc(WIDE, sizeof *values);
    collected c = {0};
    fla_index *left, *right;
    fla_error err;
    fla_search_options exact;
    const fla_matrix wide = {values, WIDE, 1, sizeof *values, 0, FLA_F32};
    const fla_matrix few = {values, FEW, 1, sizeof *values, 0, FLA_F32};
    fla_search_options_init(&exact);
    exact.min_collisions = 0;
    CHECK(fla_context_create(&one_thread, &one, &err) == FLA_OK, "context");
    CHECK(fla_index_create(context, NULL, NULL, &wide, &right, &err) == FLA_OK, "right");
    CHECK(fla_index_create(context, NULL, NULL, &few, &left, &err) == FLA_OK, "left");
    CHECK(fla_similarity_join(left, one, NULL, right, 0, &exact, collect, &c, &err) ==
              FLA_OK,
          "few x wide");
    CHECK(c.n == (size_t)FEW * WIDE && !c.out_of_order, "%zu pairs", c.n);
    c.n = 0;
    CHECK(fla_similarity_join(right, context, NULL, left, 0, &exact, collect, &c, &err) ==
              FLA_OK,
          "wide x few");
    CHECK(c.n == (size_t)FEW * WIDE && !c.out_of_order, "%zu pairs", c.n);
    c.stop_after = c.calls + 2;
    CHECK(fla_similarity_join(left, one, NULL, right, 0, &exact, collect, &c, &err) ==
              FLA_ERR_SINK,
          "a sink that stops");
    fla_index_free(left);
    fla_index_free(right);
    free(c.pairs);
    fla_context_free(one);
    free(values);
}

/* ---- faults -------------------------------------------------------------------- */

static void faults_are_named_by_argument_row_and_column(void)
{
    static double bad[N][DIM];
    fla_error err;
    fla_index *index;
    fla_knn *knn;
    memcpy(bad, base, sizeof bad);
    bad[200][3] = NAN;
    bad[250][0] = INFINITY;
    const fla_matrix rows = matrix(bad, N, 1000), queries = matrix(bad + 200, 1, 0);
    const fla_matrix good = matrix(asked, Q, 0);
    CHECK(
        fla_index_create(context, NULL, model, &rows, &index, &err) == FLA_ERR_NONFINITE,
        "index");
    CHECK(err.row == 1200 && err.column == 3 && err.bad_rows == 2, "%s", err.message);
    CHECK(index == NULL, "a failed index is NULL");
    int64_t buckets[N * TABLES];
    CHECK(fla_model_hash(model, context, NULL, &rows, buckets, N * TABLES, &err) ==
              FLA_ERR_NONFINITE,
          "hash");
    CHECK(err.row == 1200 && strcmp(err.argument, "rows") == 0, "%s", err.message);
    CHECK(fla_knn_create(context, NULL, model, &queries, K, NULL, &knn, &err) ==
              FLA_ERR_NONFINITE,
          "queries");
    CHECK(err.row == 0 && strcmp(err.argument, "queries") == 0, "%s", err.message);
    CHECK(fla_knn_create(context, NULL, model, &good, K, NULL, &knn, &err) == FLA_OK,
          "knn");
    CHECK(fla_knn_push(knn, NULL, &rows, &err) == FLA_ERR_NONFINITE, "push");
    CHECK(err.row == 1200 && strcmp(err.argument, "rows") == 0, "%s", err.message);
    CHECK(fla_knn_push(knn, NULL, &good, &err) == FLA_ERR_ARGUMENT, "after a failure");
    fla_knn_free(knn);
}

static void buckets_beyond_int64_are_refused(void)
{
    static double far[3][DIM];
    fla_error err;
    fla_index *index;
    int64_t buckets[3 * TABLES];
    far[2][0] = 1e300;
    const fla_matrix rows = matrix(far, 3, 0);
    CHECK(fla_model_hash(model, context, NULL, &rows, buckets, 3 * TABLES, &err) ==
              FLA_ERR_RANGE,
          "hash");
    CHECK(err.row == 2, "%s", err.message);
    CHECK(fla_index_create(context, NULL, model, &rows, &index, &err) == FLA_ERR_RANGE,
          "index");
    CHECK(err.row == 2, "%s", err.message);
    CHECK(fla_index_create(context, NULL, NULL, &rows, &index, &err) == FLA_OK,
          "exact search needs no bucket");
    fla_index_free(index);
}

static void arguments_out_of_range_are_refused(void)
{
    fla_error err;
    fla_knn *knn;
    fla_model *m;
    fla_index *index;
    fla_join *join;
    fla_context *c;
    fla_model_options options;
    fla_search_options search;
    const fla_matrix rows = matrix(base, N, 0),
                     narrow = {base, N, DIM - 1, 8, 0, FLA_F64};
    int64_t out[N * TABLES];
    static const double widths[] = {0, -1, NAN, INFINITY, 5e-324};
    for (size_t i = 0; i < 5; i++) {
        fla_model_options_init(&options);
        options.bucket_length = widths[i];
        CHECK(fla_model_create(&options, 3, &m, &err) == FLA_ERR_ARGUMENT && m == NULL,
              "bucket_length %g", widths[i]);
    }
    fla_model_options_init(&options);
    CHECK(fla_model_create(&options, 0, &m, &err) == FLA_ERR_SHAPE, "dim 0");
    options.num_hash_tables = 0;
    CHECK(fla_model_create(&options, 3, &m, &err) == FLA_ERR_ARGUMENT, "no tables");
    options.num_hash_tables = UINT64_MAX;
    CHECK(fla_model_create(&options, 3, &m, &err) == FLA_ERR_ARGUMENT, "too many tables");
    CHECK(fla_knn_create(context, NULL, model, &rows, 0, NULL, &knn, &err) ==
              FLA_ERR_ARGUMENT,
          "k 0");
    CHECK(fla_knn_create(context, NULL, NULL, &rows, 1, NULL, &knn, &err) ==
              FLA_ERR_ARGUMENT,
          "no model");
    CHECK(fla_knn_create(context, NULL, model, &narrow, 1, NULL, &knn, &err) ==
              FLA_ERR_SHAPE,
          "dimension");
    fla_search_options_init(&search);
    search.min_collisions = TABLES + 1;
    CHECK(fla_knn_create(context, NULL, model, &rows, 1, &search, &knn, &err) ==
              FLA_ERR_ARGUMENT,
          "min_collisions");
    CHECK(fla_join_create(context, NULL, model, &rows, -1, NULL, &join, &err) ==
              FLA_ERR_ARGUMENT,
          "threshold -1");
    CHECK(fla_join_create(context, NULL, model, &rows, NAN, NULL, &join, &err) ==
              FLA_ERR_ARGUMENT,
          "threshold NaN");
    CHECK(fla_model_hash(model, context, NULL, &rows, out, 5, &err) == FLA_ERR_SHAPE,
          "out_len");
    fla_call unready = {0};
    CHECK(fla_index_create(context, &unready, model, &rows, &index, &err) ==
                  FLA_ERR_ARGUMENT &&
              strstr(err.message, "fla_call_init") != NULL,
          "%s", err.message);
    options.struct_size = 0;
    CHECK(fla_model_create(&options, 3, &m, &err) == FLA_ERR_ARGUMENT &&
              strstr(err.message, "fla_model_options_init") != NULL,
          "%s", err.message);
    search.struct_size = 8;
    CHECK(fla_knn_create(context, NULL, model, &rows, 1, &search, &knn, &err) ==
                  FLA_ERR_ARGUMENT &&
              strstr(err.message, "fla_search_options_init") != NULL,
          "%s", err.message);
    const fla_context_options bad_tier = {sizeof bad_tier, 0, "mmx"};
    CHECK(fla_context_create(&bad_tier, &c, &err) == FLA_ERR_SIMD &&
              strstr(err.message, "scalar") != NULL,
          "%s", err.message);
    const fla_context_options threads = {sizeof threads, 5000, NULL};
    CHECK(fla_context_create(&threads, &c, &err) == FLA_ERR_ARGUMENT, "threads");
}

/* ---- the caller's world -------------------------------------------------------- */

static void the_callers_rounding_mode_changes_nothing_and_stays(void)
{
    int64_t want[N * TABLES], got[N * TABLES];
    answer plain, rounded;
    fla_error err;
    const fla_matrix rows = matrix(base, N, 0);
    CHECK(fla_model_hash(model, context, NULL, &rows, want, N * TABLES, &err) == FLA_OK,
          "hash");
    CHECK(search_in_blocks(context, 1, FLA_PLAN_AUTO, 64, false, &plain, &err) == FLA_OK,
          "search");
    fesetround(FE_UPWARD);
    feclearexcept(FE_ALL_EXCEPT);
    const fla_status hashed =
        fla_model_hash(model, context, NULL, &rows, got, N * TABLES, &err);
    const fla_status searched =
        search_in_blocks(context, 1, FLA_PLAN_AUTO, 64, false, &rounded, &err);
    const int mode = fegetround(), raised = fetestexcept(FE_ALL_EXCEPT);
    fesetround(FE_TONEAREST);
    CHECK(hashed == FLA_OK && searched == FLA_OK, "failed under FE_UPWARD");
    CHECK(mode == FE_UPWARD && raised == 0, "the caller's environment was changed");
    CHECK(memcmp(want, got, sizeof got) == 0, "hashes changed");
    CHECK(memcmp(&plain, &rounded, sizeof plain) == 0, "neighbors changed");
}

static bool cancel_at_once(void *arg)
{
    ++*(int *)arg;
    return true;
}

static void every_long_call_can_be_cancelled(void)
{
    enum { LARGE = 200000, WIDTH = 64 };
    float *values = calloc((size_t)LARGE * WIDTH, sizeof *values);
    const fla_matrix rows = {values, LARGE, WIDTH, WIDTH * sizeof *values, 0, FLA_F32};
    fla_model_options options;
    fla_search_options exact;
    fla_model *wide;
    fla_index *index;
    fla_error err;
    int asked_calls = 0;
    fla_call call;
    struct timespec start, end;
    fla_call_init(&call);
    call.cancelled = cancel_at_once;
    call.arg = &asked_calls;
    fla_model_options_init(&options);
    options.num_hash_tables = 200;
    fla_search_options_init(&exact);
    exact.min_collisions = 0;
    int64_t *out = malloc((size_t)LARGE * 200 * sizeof *out);
    CHECK(fla_model_create(&options, WIDTH, &wide, &err) == FLA_OK, "model");
    CHECK(fla_index_create(context, NULL, NULL, &rows, &index, &err) == FLA_OK, "index");
    clock_gettime(CLOCK_MONOTONIC, &start);
    CHECK(fla_model_hash(wide, context, &call, &rows, out, (size_t)LARGE * 200, &err) ==
              FLA_ERR_CANCELLED,
          "hash");
    CHECK(fla_nearest_neighbors(index, context, &call, &rows, 1, &exact, out,
                                (double *)(out + LARGE), LARGE, NULL,
                                &err) == FLA_ERR_CANCELLED,
          "neighbors");
    collected c = {0};
    CHECK(fla_similarity_join(index, context, &call, NULL, 0, &exact, collect, &c,
                              &err) == FLA_ERR_CANCELLED,
          "join");
    clock_gettime(CLOCK_MONOTONIC, &end);
    CHECK(end.tv_sec - start.tv_sec <= 1, "took %ld s",
          (long)(end.tv_sec - start.tv_sec));
    CHECK(asked_calls == 3, "asked %d times", asked_calls);
    free(c.pairs);
    free(out);
    free(values);
    fla_index_free(index);
    fla_model_free(wide);
}

/* ---- memory -------------------------------------------------------------------- */

/* Everything once, from context to join; the status of the first call that fails. */
static fla_status everything(answer *out, collected *pairs, int64_t *buckets)
{
    fla_error err;
    fla_context *with = NULL;
    fla_model *m = NULL;
    fla_index *index = NULL;
    fla_model_options options;
    const fla_context_options two = {sizeof two, 2, NULL};
    const fla_matrix rows = matrix(base, N, 0), queries = matrix(asked, Q, 0);
    fla_model_options_init(&options);
    options.num_hash_tables = TABLES;
    fla_status status = fla_context_create(&two, &with, &err);
    if (status == FLA_OK)
        status = fla_model_create(&options, DIM, &m, &err);
    if (status == FLA_OK)
        status = fla_model_hash(m, with, NULL, &rows, buckets, N * TABLES, &err);
    if (status == FLA_OK)
        status = fla_index_create(with, NULL, m, &rows, &index, &err);
    if (status == FLA_OK)
        status =
            fla_nearest_neighbors(index, with, NULL, &queries, K, NULL, out->indices[0],
                                  out->distances[0], Q * K, out->counts, &err);
    if (status == FLA_OK)
        status =
            fla_similarity_join(index, with, NULL, NULL, 3, NULL, collect, pairs, &err);
    fla_index_free(index);
    fla_model_free(m);
    fla_context_free(with);
    return status;
}

static void every_allocation_may_fail(void)
{
    answer want, got;
    static int64_t want_buckets[N * TABLES], buckets[N * TABLES];
    collected all = {0};
    CHECK(everything(&want, &all, want_buckets) == FLA_OK, "with memory");
    for (int persistent = 0; persistent <= 1; persistent++) {
        long n = 0;
        for (;; n++) {
            const long live = fla_test_alloc_live();
            collected some = {0};
            fla_test_alloc_budget(n, persistent != 0);
            const fla_status status = everything(&got, &some, buckets);
            fla_test_alloc_budget(-1, false);
            CHECK(fla_test_alloc_live() == live, "allocation %ld: blocks leaked", n);
            CHECK(status == FLA_OK || status == FLA_ERR_MEMORY, "allocation %ld: %s", n,
                  fla_status_name(status));
            if (status == FLA_OK) {
                CHECK(memcmp(&got, &want, sizeof got) == 0 && some.n == all.n,
                      "allocation %ld: other answers", n);
                /* A crew of threads is a comfort: without one the call is serial. */
                if (n > 500) {
                    free(some.pairs);
                    break;
                }
            }
            free(some.pairs);
        }
        CHECK(n > 100, "only %ld allocations were failed", n);
    }
    free(all.pairs);
}

int main(void)
{
    make_data();
    RUN(neighbors_are_the_naive_ones_in_any_blocks_plans_threads_and_tiers);
    RUN(an_index_serves_contexts_of_any_tier);
    RUN(k_beyond_the_rows_pads);
    RUN(joins_are_the_naive_ones);
    RUN(left_blocks_join_like_one);
    RUN(a_flood_of_pairs_leaves_in_order_and_in_bounds);
    RUN(faults_are_named_by_argument_row_and_column);
    RUN(buckets_beyond_int64_are_refused);
    RUN(arguments_out_of_range_are_refused);
    RUN(the_callers_rounding_mode_changes_nothing_and_stays);
    RUN(every_long_call_can_be_cancelled);
    RUN(every_allocation_may_fail);
    fla_model_free(model);
    fla_context_free(context);
    return check_report();
}
