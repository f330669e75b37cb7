/* Joins collected, counted, and taken a few pairs at a time, against naive loops. */
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "check.h"
#include "naive_pairs.h"

enum { N = 500, M = 130 };

static double base[N][NAIVE_DIM], other[M][NAIVE_DIM];
static fla_context *context;
static fla_model *model;
static fla_index *index_of_base, *index_of_other;

static const naive_sides base_other = {base, other, N, M},
                         other_base = {other, base, M, N};
static const naive_sides base_base = {base, base, N, N};

/* ---- collected and counted ------------------------------------------------------ */

static void check_joined(const fla_index *index, const fla_matrix *left,
                         const fla_matrix *right, naive_sides s, double threshold,
                         const fla_search_options *options, const char *what)
{
    fla_pairs *want = naive_pairs(model, s, threshold, options), *got;
    uint64_t count = 0;
    fla_error err;
    if (CHECK(fla_pairs_collect(index, context, NULL, left, right, threshold, options,
                                &got, &err) == FLA_OK,
              "%s", err.message)) {
        CHECK(naive_same(want, got), "%s: %zu pairs, want %zu (threshold %g)", what,
              got->n, want->n, threshold);
        fla_pairs_free(got);
    }
    if (left == NULL) {
        CHECK(fla_pairs_count(index, context, NULL, right, threshold, options, &count,
                              &err) == FLA_OK,
              "%s", err.message);
        CHECK(count == want->n, "%s: counted %d, want %zu", what, (int)count, want->n);
    }
    naive_free(want);
}

static void collected_and_counted_pairs_are_the_naive_ones(void)
{
    static const double thresholds[] = {0, 2, 3.5, INFINITY};
    const fla_matrix rows = naive_matrix(other, M, 0);
    for (size_t t = 0; t < 4; t++) {
        for (int number = 0; number < NAIVE_CASES; number++) {
            fla_search_options options = naive_options(number);
            check_joined(index_of_base, NULL, &rows, base_other, thresholds[t], &options,
                         "the index on the left");
            check_joined(index_of_base, &rows, NULL, other_base, thresholds[t], &options,
                         "the index on the right");
            check_joined(index_of_base, NULL, NULL, base_base, thresholds[t], &options,
                         "with itself");
            options.upper = true;
            check_joined(index_of_base, NULL, NULL, base_base, thresholds[t], &options,
                         "upper");
        }
    }
}

static void threads_and_tiers_change_no_byte(void)
{
    const char *tiers[8];
    const size_t n_tiers = fla_simd_tiers(tiers, 8);
    const fla_search_options options = naive_options(1);
    const fla_matrix rows = naive_matrix(base, N, 0), few = naive_matrix(other, M, 0);
    fla_pairs *itself = naive_pairs(model, base_base, 3, &options);
    fla_pairs *two = naive_pairs(model, base_other, 3, &options);
    size_t ran = 0;
    for (unsigned threads = 1; threads <= 5; threads += 2) {
        for (size_t t = 0; t < n_tiers; t++, ran++) {
            const fla_context_options with_options = {sizeof with_options, threads,
                                                      tiers[t]};
            fla_context *with;
            fla_index *index;
            fla_pairs *got[2];
            if (fla_context_create(&with_options, &with, NULL) != FLA_OK ||
                fla_index_create(with, NULL, model, &rows, &index, NULL) != FLA_OK ||
                fla_pairs_collect(index, with, NULL, NULL, NULL, 3, &options, &got[0],
                                  NULL) != FLA_OK ||
                fla_pairs_collect(index, with, NULL, NULL, &few, 3, &options, &got[1],
                                  NULL) != FLA_OK)
                abort();
            CHECK(naive_same(itself, got[0]), "itself: %s, %u threads", tiers[t],
                  threads);
            CHECK(naive_same(two, got[1]), "two sides: %s, %u threads", tiers[t],
                  threads);
            fla_pairs_free(got[0]);
            fla_pairs_free(got[1]);
            fla_index_free(index);
            fla_context_free(with);
        }
    }
    CHECK(ran == 3 * n_tiers, "%zu runs", ran);
    naive_free(itself);
    naive_free(two);
}

/* ---- taken a few at a time ------------------------------------------------------ */

static void check_taken(const fla_index *left, const fla_index *right, naive_sides s,
                        size_t most, double threshold, const fla_search_options *options)
{
    fla_pairs *want = naive_pairs(model, s, threshold, options);
    const fla_pair *pairs;
    size_t n, taken = 0;
    fla_join *join;
    fla_error err;
    CHECK(fla_join_open(left, context, right, threshold, options, &join, &err) == FLA_OK,
          "%s", err.message);
    do {
        CHECK(fla_join_next(join, NULL, most, &pairs, &n, &err) == FLA_OK, "%s",
              err.message);
        CHECK(n <= most, "%zu pairs at once", n);
        for (size_t i = 0; i < n; i++, taken++)
            CHECK(taken < want->n && pairs[i].left == want->left[taken] &&
                      pairs[i].right == want->right[taken] &&
                      pairs[i].distance == want->distances[taken],
                  "pair %zu is (%d, %d)", taken, (int)pairs[i].left, (int)pairs[i].right);
    } while (n > 0);
    CHECK(taken == want->n, "%zu pairs, want %zu", taken, want->n);
    CHECK(fla_join_next(join, NULL, most, &pairs, &n, &err) == FLA_OK && n == 0,
          "after the end");
    fla_join_free(join);
    naive_free(want);
}

static void pairs_are_taken_in_order_as_many_as_are_asked_for(void)
{
    static const size_t most[] = {1, 7, 1000, SIZE_MAX};
    for (size_t i = 0; i < 4; i++) {
        fla_search_options options = naive_options((int)i);
        check_taken(index_of_base, index_of_other, base_other, most[i], 3, &options);
        check_taken(index_of_base, NULL, base_base, most[i], 2.5, &options);
        options.upper = true;
        check_taken(index_of_base, NULL, base_base, most[i], INFINITY, &options);
    }
}

static void a_join_is_pushed_or_pulled(void)
{
    const fla_matrix rows = naive_matrix(other, M, 0);
    const fla_search_options exact = naive_options(0);
    const fla_pair *pairs;
    fla_join *pulled, *pushed;
    fla_error err;
    size_t n;
    CHECK(fla_join_open(index_of_base, context, NULL, 1, &exact, &pulled, &err) == FLA_OK,
          "open");
    CHECK(fla_join_push(pulled, NULL, &rows, NULL, NULL, &err) == FLA_ERR_ARGUMENT,
          "rows were pushed");
    CHECK(fla_join_next(pulled, NULL, 0, &pairs, &n, &err) == FLA_ERR_ARGUMENT,
          "no pairs were asked for");
    CHECK(fla_join_next(pulled, NULL, 1, &pairs, &n, &err) == FLA_OK && n == 1,
          "refusals leave a join as it was");
    CHECK(fla_join_create(context, NULL, NULL, &rows, 1, &exact, &pushed, &err) == FLA_OK,
          "create");
    CHECK(fla_join_next(pushed, NULL, 1, &pairs, &n, &err) == FLA_ERR_ARGUMENT && n == 0,
          "pairs were pulled");
    fla_join_free(pulled);
    fla_join_free(pushed);
}

/* ---- floods --------------------------------------------------------------------- */

/* Rows of one coordinate: crowd equal ones in the middle, which pair with one another. */
static float *crowded(size_t n, size_t crowd)
{
    float *values = malloc(n * sizeof *values);
    for (size_t i = 0; i < n; i++)
        values[i] = i >= (n - crowd) / 2 && i < (n + crowd) / 2 ? -1 : (float)i;
    return values;
}

static void a_crowd_among_others_leaves_in_order_and_in_bounds(void)
{
    enum { ROWS = 20000, CROWD = 5000 };
    float *values = crowded(ROWS, CROWD);
    const fla_matrix rows = {values, ROWS, 1, sizeof *values, 0, FLA_F32};
    const fla_search_options exact = naive_options(0);
    const size_t begin = (ROWS - CROWD) / 2;
    const fla_pair *pairs;
    fla_index *index;
    fla_join *join;
    fla_pair last = {-1, -1, 0};
    size_t n, total = 0, wrong = 0;
    uint64_t count;
    CHECK(fla_index_create(context, NULL, NULL, &rows, &index, NULL) == FLA_OK, "index");
    const long live = fla_test_alloc_live();
    CHECK(fla_join_open(index, context, NULL, 0, &exact, &join, NULL) == FLA_OK, "open");
    do {
        if (fla_join_next(join, NULL, SIZE_MAX, &pairs, &n, NULL) != FLA_OK)
            abort();
        for (size_t i = 0; i < n; i++) {
            const bool in_crowd = (size_t)pairs[i].left - begin < CROWD &&
                                  (size_t)pairs[i].right - begin < CROWD;
            wrong += pairs[i].left < last.left ||
                     (pairs[i].left == last.left && pairs[i].right <= last.right) ||
                     pairs[i].distance != 0 ||
                     !(in_crowd || pairs[i].left == pairs[i].right);
            last = pairs[i];
        }
        total += n;
    } while (n > 0);
    fla_join_free(join);
    const size_t want = (size_t)CROWD * CROWD + ROWS - CROWD;
    CHECK(total == want && wrong == 0, "%zu pairs, want %zu; %zu wrong", total, want,
          wrong);
    CHECK(fla_test_alloc_live() == live, "blocks leaked");
    CHECK(fla_pairs_count(index, context, NULL, NULL, 0, &exact, &count, NULL) == FLA_OK,
          "count");
    CHECK(count == want, "counted %d", (int)count);
    fla_index_free(index);
    free(values);
}

/* So many equal right rows that a single left row fills more than a wave. */
static void a_left_row_may_need_several_waves(void)
{
    enum { WIDE = 1300000, FEW = 3 };
    const fla_context_options one_thread = {sizeof one_thread, 1, NULL};
    const fla_search_options exact = naive_options(0);
    float *values = calloc(WIDE, sizeof *values);
    const fla_matrix wide = {values, WIDE, 1, sizeof *values, 0, FLA_F32};
    const fla_matrix few = {values, FEW, 1, sizeof *values, 0, FLA_F32};
    const fla_pair *pairs;
    fla_context *one;
    fla_index *left, *right;
    fla_join *join;
    size_t n, taken = 0, wrong = 0;
    if (fla_context_create(&one_thread, &one, NULL) != FLA_OK ||
        fla_index_create(one, NULL, NULL, &few, &left, NULL) != FLA_OK ||
        fla_index_create(one, NULL, NULL, &wide, &right, NULL) != FLA_OK ||
        fla_join_open(left, one, right, 0, &exact, &join, NULL) != FLA_OK)
        abort();
    do {
        if (fla_join_next(join, NULL, SIZE_MAX, &pairs, &n, NULL) != FLA_OK)
            abort();
        for (size_t i = 0; i < n; i++, taken++)
            wrong += (size_t)pairs[i].left != taken / WIDE ||
                     (size_t)pairs[i].right != taken % WIDE;
    } while (n > 0);
    CHECK(taken == (size_t)FEW * WIDE && wrong == 0, "%zu pairs, %zu wrong", taken,
          wrong);
    fla_join_free(join);
    fla_index_free(left);
    fla_index_free(right);
    fla_context_free(one);
    free(values);
}

/* More rows than a batch of codes has, joined with an index on either side. */
static void many_rows_come_in_batches(void)
{
    enum { MANY = 3000, WIDE = 12000, FEW = 70 };
    float *values = calloc((size_t)MANY * WIDE, sizeof *values);
    const fla_matrix many = {values, MANY, WIDE, WIDE * sizeof *values, 0, FLA_F32};
    const fla_matrix few = {values, FEW, WIDE, WIDE * sizeof *values, 0, FLA_F32};
    const fla_search_options exact = naive_options(0);
    fla_pairs *got;
    fla_index *index;
    for (size_t i = 0; i < MANY; i++)
        values[i * WIDE] = (float)(i % FEW);
    CHECK(fla_index_create(context, NULL, NULL, &few, &index, NULL) == FLA_OK, "index");
    for (int on_right = 0; on_right <= 1; on_right++) {
        if (fla_pairs_collect(index, context, NULL, on_right ? &many : NULL,
                              on_right ? NULL : &many, 0, &exact, &got, NULL) != FLA_OK)
            abort();
        CHECK(got->n == MANY, "%zu pairs", got->n);
        size_t p = 0, wrong = 0;
        for (size_t i = 0; i < FEW && !on_right; i++)
            for (size_t j = i; j < MANY; j += FEW, p++)
                wrong += got->left[p] != (int64_t)i || got->right[p] != (int64_t)j;
        for (size_t i = 0; i < MANY && on_right; i++, p++)
            wrong += got->left[p] != (int64_t)i || got->right[p] != (int64_t)(i % FEW);
        CHECK(p == MANY && wrong == 0, "%zu of %zu wrong", wrong, p);
        fla_pairs_free(got);
    }
    fla_index_free(index);
    free(values);
}

/* ---- edges ---------------------------------------------------------------------- */

static void numbers_count_from_the_first_row_of_their_side(void)
{
    const fla_matrix left = naive_matrix(base, N, 40), right = naive_matrix(other, M, 7);
    const fla_search_options exact = naive_options(0);
    fla_pairs *plain = naive_pairs(model, base_other, 3, &exact), *got;
    fla_pairs *itself = naive_pairs(model, base_base, 3, &exact);
    fla_index *index;
    CHECK(fla_index_create(context, NULL, NULL, &left, &index, NULL) == FLA_OK, "index");
    CHECK(fla_pairs_collect(index, context, NULL, NULL, &right, 3, &exact, &got, NULL) ==
              FLA_OK,
          "join");
    for (size_t i = 0; i < plain->n; i++) {
        plain->left[i] += 40;
        plain->right[i] += 7;
    }
    CHECK(naive_same(plain, got), "two sides");
    fla_pairs_free(got);
    CHECK(fla_pairs_collect(index, context, NULL, NULL, NULL, 3, &exact, &got, NULL) ==
              FLA_OK,
          "self-join");
    for (size_t i = 0; i < itself->n; i++) {
        itself->left[i] += 40;
        itself->right[i] += 40;
    }
    CHECK(naive_same(itself, got), "itself");
    fla_pairs_free(got);
    naive_free(plain);
    naive_free(itself);
    fla_index_free(index);
}

static void empty_sides_have_no_pairs(void)
{
    const fla_matrix none = {NULL, 0, NAIVE_DIM, 0, 0, FLA_F64};
    const fla_matrix rows = naive_matrix(other, M, 0);
    const fla_search_options options = naive_options(1);
    fla_index *empty;
    fla_pairs *got;
    uint64_t count = 1;
    CHECK(fla_index_create(context, NULL, model, &none, &empty, NULL) == FLA_OK, "index");
    const struct {
        const fla_index *index;
        const fla_matrix *left, *right;
    } joins[] = {{empty, NULL, &rows},
                 {empty, &rows, NULL},
                 {empty, NULL, NULL},
                 {index_of_base, NULL, &none},
                 {index_of_base, &none, NULL}};
    for (size_t i = 0; i < 5; i++) {
        CHECK(fla_pairs_collect(joins[i].index, context, NULL, joins[i].left,
                                joins[i].right, INFINITY, &options, &got, NULL) == FLA_OK,
              "join %zu", i);
        CHECK(got->n == 0, "join %zu: %zu pairs", i, got->n);
        fla_pairs_free(got);
    }
    CHECK(fla_pairs_count(empty, context, NULL, NULL, 1, &options, &count, NULL) ==
                  FLA_OK &&
              count == 0,
          "count");
    fla_pairs_free(NULL);
    fla_join_free(NULL);
    fla_index_free(empty);
}

static void bad_arguments_are_named(void)
{
    const fla_matrix rows = naive_matrix(other, M, 0);
    fla_search_options options = naive_options(0);
    double bad[2][NAIVE_DIM] = {{0}};
    const fla_matrix infinite = naive_matrix(bad, 2, 30);
    fla_pairs *got;
    fla_join *join;
    fla_error err;
    uint64_t count;
    bad[1][2] = NAN;
    CHECK(fla_pairs_collect(index_of_base, context, NULL, &rows, &rows, 1, &options, &got,
                            &err) == FLA_ERR_ARGUMENT &&
              got == NULL,
          "both sides");
    CHECK(fla_pairs_collect(index_of_base, context, NULL, NULL, &rows, NAN, &options,
                            &got, &err) == FLA_ERR_ARGUMENT,
          "threshold");
    CHECK(strcmp(err.argument, "threshold") == 0, "%s", err.message);
    CHECK(fla_join_open(index_of_base, context, NULL, -1, &options, &join, &err) ==
                  FLA_ERR_ARGUMENT &&
              join == NULL,
          "threshold");
    CHECK(fla_pairs_collect(index_of_base, context, NULL, &infinite, NULL, 1, &options,
                            &got, &err) == FLA_ERR_NONFINITE,
          "NaN");
    CHECK(err.row == 31 && err.column == 2 && strcmp(err.argument, "left") == 0, "%s",
          err.message);
    options.upper = true;
    CHECK(fla_pairs_count(index_of_base, context, NULL, &rows, 1, &options, &count,
                          &err) == FLA_ERR_ARGUMENT &&
              count == 0,
          "upper of two sides");
    CHECK(strcmp(err.argument, "upper") == 0, "%s", err.message);
    CHECK(fla_join_open(index_of_base, context, index_of_other, 1, &options, &join,
                        &err) == FLA_ERR_ARGUMENT,
          "upper of two sides");
}

static bool cancel_at_once(void *arg)
{
    ++*(int *)arg;
    return true;
}

static void every_way_to_join_can_be_cancelled(void)
{
    enum { LARGE = 200000, WIDTH = 64 };
    float *values = calloc((size_t)LARGE * WIDTH, sizeof *values);
    const fla_matrix rows = {values, LARGE, WIDTH, WIDTH * sizeof *values, 0, FLA_F32};
    const fla_search_options exact = naive_options(0);
    const fla_pair *pairs;
    fla_pairs *got;
    fla_index *index;
    fla_join *join;
    uint64_t count;
    int asked_calls = 0;
    size_t n;
    fla_error err;
    fla_call call;
    struct timespec start, end;
    fla_call_init(&call);
    call.cancelled = cancel_at_once;
    call.arg = &asked_calls;
    CHECK(fla_index_create(context, NULL, NULL, &rows, &index, NULL) == FLA_OK, "index");
    clock_gettime(CLOCK_MONOTONIC, &start);
    CHECK(fla_pairs_collect(index, context, &call, NULL, NULL, 0, &exact, &got, &err) ==
              FLA_ERR_CANCELLED,
          "collect");
    CHECK(fla_pairs_count(index, context, &call, NULL, 0, &exact, &count, &err) ==
              FLA_ERR_CANCELLED,
          "count");
    CHECK(fla_join_open(index, context, NULL, 0, &exact, &join, &err) == FLA_OK, "open");
    CHECK(fla_join_next(join, &call, 1, &pairs, &n, &err) == FLA_ERR_CANCELLED && n == 0,
          "next");
    CHECK(fla_join_next(join, NULL, 1, &pairs, &n, &err) == FLA_ERR_ARGUMENT,
          "after a failure");
    clock_gettime(CLOCK_MONOTONIC, &end);
    CHECK(end.tv_sec - start.tv_sec <= 1, "took %ld s",
          (long)(end.tv_sec - start.tv_sec));
    CHECK(asked_calls == 3, "asked %d times", asked_calls);
    fla_join_free(join);
    fla_index_free(index);
    free(values);
}

/* ---- memory -------------------------------------------------------------------- */

/* All ways to join, once; what the first one that fails says. */
static fla_status join_all(fla_pairs *const want[2])
{
    const fla_search_options options = naive_options(1);
    const fla_matrix rows = naive_matrix(other, M, 0);
    const fla_pair *pairs;
    fla_pairs *got = NULL;
    fla_join *join = NULL;
    uint64_t count = 0;
    size_t n = 1, taken = 0;
    fla_status status = fla_pairs_collect(index_of_base, context, NULL, NULL, NULL, 3,
                                          &options, &got, NULL);
    CHECK(status != FLA_OK || naive_same(want[0], got), "itself");
    fla_pairs_free(got);
    if (status == FLA_OK) {
        status = fla_pairs_collect(index_of_base, context, NULL, NULL, &rows, 3, &options,
                                   &got, NULL);
        CHECK(status != FLA_OK || naive_same(want[1], got), "two sides");
        fla_pairs_free(got);
    }
    if (status == FLA_OK) {
        status = fla_pairs_count(index_of_base, context, NULL, &rows, 3, &options, &count,
                                 NULL);
        CHECK(count == (status == FLA_OK ? want[1]->n : 0), "count");
    }
    if (status == FLA_OK)
        status = fla_join_open(index_of_base, context, NULL, 3, &options, &join, NULL);
    while (status == FLA_OK && n > 0) {
        status = fla_join_next(join, NULL, 1000, &pairs, &n, NULL);
        taken += n;
    }
    CHECK(status != FLA_OK || taken == want[0]->n, "%zu pairs were taken", taken);
    fla_join_free(join);
    return status;
}

static void every_allocation_may_fail(void)
{
    const fla_search_options options = naive_options(1);
    fla_pairs *want[2] = {naive_pairs(model, base_base, 3, &options),
                          naive_pairs(model, base_other, 3, &options)};
    CHECK(join_all(want) == FLA_OK, "with memory");
    for (int persistent = 0; persistent <= 1; persistent++) {
        fla_status status = FLA_ERR_MEMORY;
        long n = 0;
        for (; status != FLA_OK && n < 10000; n++) {
            const long live = fla_test_alloc_live();
            fla_test_alloc_budget(n, persistent != 0);
            status = join_all(want);
            fla_test_alloc_budget(-1, false);
            CHECK(status == FLA_OK || status == FLA_ERR_MEMORY, "allocation %ld: %s", n,
                  fla_status_name(status));
            CHECK(fla_test_alloc_live() == live, "allocation %ld: blocks leaked", n);
        }
        CHECK(n > 60, "only %ld allocations were failed", n);
    }
    naive_free(want[0]);
    naive_free(want[1]);
}

int main(void)
{
    naive_fill(base, N);
    naive_fill(other, M);
    model = naive_model();
    const fla_matrix rows = naive_matrix(base, N, 0), others = naive_matrix(other, M, 0);
    if (fla_context_create(NULL, &context, NULL) != FLA_OK ||
        fla_index_create(context, NULL, model, &rows, &index_of_base, NULL) != FLA_OK ||
        fla_index_create(context, NULL, model, &others, &index_of_other, NULL) != FLA_OK)
        abort();
    RUN(collected_and_counted_pairs_are_the_naive_ones);
    RUN(threads_and_tiers_change_no_byte);
    RUN(pairs_are_taken_in_order_as_many_as_are_asked_for);
    RUN(a_join_is_pushed_or_pulled);
    RUN(a_crowd_among_others_leaves_in_order_and_in_bounds);
    RUN(a_left_row_may_need_several_waves);
    RUN(many_rows_come_in_batches);
    RUN(numbers_count_from_the_first_row_of_their_side);
    RUN(empty_sides_have_no_pairs);
    RUN(bad_arguments_are_named);
    RUN(every_way_to_join_can_be_cancelled);
    RUN(every_allocation_may_fail);
    fla_index_free(index_of_base);
    fla_index_free(index_of_other);
    fla_model_free(model);
    fla_context_free(context);
    return check_report();
}
