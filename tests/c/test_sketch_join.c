/*
 * The join by a sketch, and how often rows collide, against naive loops.
 *
 * Seen to fail: sketches of other threads not merged, or leaked; a part of the queries
 * not counted; pairs counted by place instead of number, or admitted by it; the next row
 * left out of a self-join, in the sketch or among the gathered; a sketch that is not
 * asked; sides or their names taken for each other; plan, min_collisions or width not
 * checked, nor the number of rows; progress of one pass, or rounded; no look at the stop
 * flag; queries of one hash table counted to the next; ranks that leak.
 */
#include <time.h>

#include "base/alloc.h"
#include "check.h"
#include "naive_pairs.h"
#include "search/meeting.h"
#include "search/pairs.h"
#include "search/sketch.h"

enum { N = 500, M = 130 };

static double base[N][NAIVE_DIM], other[M][NAIVE_DIM];
static fla_context *context;
static fla_model *model;

static const naive_sides ways[] = {{base, other, N, M}, {other, base, M, N}};
static const naive_sides itself = {base, base, N, N};

/* Joins two sides, or with right NULL the left one with itself. */
static fla_status join(fla_context *with, naive_sides s, bool alone, uint64_t width,
                       double threshold, const fla_search_options *options,
                       fla_pairs **out, fla_error *err)
{
    const fla_matrix left = naive_matrix(s.left, s.n_left, 0);
    const fla_matrix right = naive_matrix(s.right, s.n_right, 0);
    return fla_sketch_join(model, with, NULL, &left, alone ? NULL : &right, threshold,
                           width, options, out, err);
}

static void check_joined(fla_context *with, naive_sides s, bool alone, uint64_t width,
                         double threshold, const fla_search_options *options,
                         const fla_pairs *want)
{
    fla_pairs *got;
    fla_error err;
    if (!CHECK(join(with, s, alone, width, threshold, options, &got, &err) == FLA_OK,
               "%s", err.message))
        return;
    CHECK(naive_same(want, got),
          "%zu with %zu, width %d, %d collisions: %zu pairs, want %zu", s.n_left,
          s.n_right, (int)width, (int)options->min_collisions, got->n, want->n);
    fla_pairs_free(got);
}

static fla_search_options needing(uint64_t min_collisions)
{
    fla_search_options options;
    fla_search_options_init(&options);
    options.min_collisions = min_collisions;
    return options;
}

/* ---- the join --------------------------------------------------------------------- */

/* Width 1 admits all pairs, 500,000 hardly any that it should not. */
static void check_widths(naive_sides s, bool alone, double threshold,
                         const fla_search_options *options)
{
    static const uint64_t widths[] = {1, 900, FLA_SKETCH_WIDTH};
    fla_pairs *want = naive_pairs(model, s, threshold, options);
    for (size_t w = 0; w < 3; w++)
        check_joined(context, s, alone, widths[w], threshold, options, want);
    naive_free(want);
}

static void pairs_are_the_naive_ones_whatever_the_width(void)
{
    static const double thresholds[] = {0, 3.5, INFINITY};
    for (size_t i = 0; i < 3; i++) {
        for (uint64_t c = 1; c <= NAIVE_TABLES; c++) {
            fla_search_options options = needing(c);
            options.strict = c % 2 == 0;
            check_widths(ways[0], false, thresholds[i], &options);
            check_widths(ways[1], false, thresholds[i], &options);
            check_widths(itself, true, thresholds[i], &options);
            options.upper = true;
            check_widths(itself, true, thresholds[i], &options);
        }
    }
}

/* From 5 threads on there are several sketches, which are merged. */
static void threads_and_tiers_change_no_byte(void)
{
    const char *tiers[8];
    const size_t n_tiers = fla_simd_tiers(tiers, 8);
    const fla_search_options options = needing(2);
    fla_pairs *want[2] = {naive_pairs(model, ways[0], 3, &options),
                          naive_pairs(model, itself, 3, &options)};
    size_t ran = 0;
    for (unsigned threads = 1; threads <= 9; threads += 4) {
        for (size_t t = 0; t < n_tiers; t++, ran++) {
            const fla_context_options with_options = {sizeof with_options, threads,
                                                      tiers[t]};
            fla_context *with;
            if (fla_context_create(&with_options, &with, NULL) != FLA_OK)
                abort();
            check_joined(with, ways[0], false, 70000, 3, &options, want[0]);
            check_joined(with, itself, true, 70000, 3, &options, want[1]);
            fla_context_free(with);
        }
    }
    CHECK(ran == 3 * n_tiers, "%zu runs", ran);
    naive_free(want[0]);
    naive_free(want[1]);
}

static void numbers_count_from_the_first_row_of_their_side(void)
{
    const int64_t firsts[] = {40, INT64_MAX / 2}; /* these are cut to 32 bits */
    const fla_search_options options = needing(2);
    for (size_t way = 0; way < 2; way++) {
        const naive_sides s = ways[way];
        const fla_matrix left = naive_matrix(s.left, s.n_left, firsts[way]);
        const fla_matrix right = naive_matrix(s.right, s.n_right, firsts[1 - way]);
        fla_pairs *want = naive_pairs(model, s, 3, &options), *got;
        for (size_t i = 0; i < want->n; i++) {
            want->left[i] += firsts[way];
            want->right[i] += firsts[1 - way];
        }
        if (CHECK(fla_sketch_join(model, context, NULL, &left, &right, 3, 5000, &options,
                                  &got, NULL) == FLA_OK,
                  "join")) {
            CHECK(naive_same(want, got), "way %zu", way);
            fla_pairs_free(got);
        }
        naive_free(want);
    }
    const fla_matrix rows = naive_matrix(base, N, firsts[1]);
    fla_pairs *want = naive_pairs(model, itself, 3, &options), *got;
    for (size_t i = 0; i < want->n; i++) {
        want->left[i] += firsts[1];
        want->right[i] += firsts[1];
    }
    if (CHECK(fla_sketch_join(model, context, NULL, &rows, NULL, 3, 5000, &options, &got,
                              NULL) == FLA_OK,
              "self-join")) {
        CHECK(naive_same(want, got), "itself");
        fla_pairs_free(got);
    }
    naive_free(want);
}

/* With a sketch that has seen no pair there is nothing left to find: it is asked. */
static void pairs_that_the_sketch_does_not_admit_are_left(void)
{
    const fla_matrix left = naive_matrix(base, N, 0), right = naive_matrix(other, M, 0);
    const fla_search_options options = needing(1);
    for (size_t with_sketch = 0; with_sketch <= 1; with_sketch++) {
        fla_run run = fla_run_begin(NULL, 0);
        fla_meeting meeting;
        fla_sketch *sketch;
        fla_joining joining;
        fla_pairs *got;
        uint64_t total;
        if (fla_sketch_create(1000, &sketch, NULL) != FLA_OK ||
            fla_meeting_arrange(&meeting, context, &run, model, &left, &right, NULL) !=
                FLA_OK)
            abort();
        fla_joining_init(&joining, context, model, &meeting.base, meeting.queries, false,
                         INFINITY, &options);
        joining.within.plan = FLA_PLAN_GATHER;
        joining.within.sketch = with_sketch ? sketch : NULL;
        CHECK(fla_joining_run(&joining, NULL, &run, &got, &total, NULL) == FLA_OK,
              "join");
        CHECK(with_sketch ? total == 0 : total > N, "%d pairs", (int)total);
        fla_pairs_free(got);
        fla_meeting_clear(&meeting);
        fla_sketch_free(sketch);
    }
}

/* ---- how often rows collide ------------------------------------------------------- */

static uint64_t naive_total(naive_sides s)
{
    uint64_t total = 0;
    for (size_t i = 0; i < s.n_left; i++)
        for (size_t j = 0; j < s.n_right; j++)
            total += naive_collisions(model, s.left[i], s.right[j]);
    return total;
}

static void collisions_are_counted_as_the_naive_loops_do(void)
{
    for (size_t way = 0; way < 3; way++) {
        const naive_sides s = way < 2 ? ways[way] : itself;
        const fla_matrix left = naive_matrix(s.left, s.n_left, 7);
        const fla_matrix right = naive_matrix(s.right, s.n_right, 0);
        const uint64_t want = naive_total(s);
        uint64_t got = 1;
        CHECK(fla_collisions_count(model, context, NULL, &left, way < 2 ? &right : NULL,
                                   &got, NULL) == FLA_OK,
              "count");
        CHECK(got == want && want > N, "way %zu: %.0f, want %.0f", way, (double)got,
              (double)want);
    }
}

/* ---- edges ------------------------------------------------------------------------ */

static void empty_sides_have_no_pairs_and_no_collisions(void)
{
    const fla_matrix none = {NULL, 0, NAIVE_DIM, 0, 0, FLA_F64};
    const fla_matrix rows = naive_matrix(other, M, 0);
    const struct {
        const fla_matrix *left, *right;
    } sides[] = {{&none, &rows}, {&rows, &none}, {&none, &none}, {&none, NULL}};
    const fla_search_options options = needing(1);
    for (size_t i = 0; i < 4; i++) {
        fla_pairs *got;
        uint64_t count = 1;
        CHECK(fla_sketch_join(model, context, NULL, sides[i].left, sides[i].right,
                              INFINITY, 10, &options, &got, NULL) == FLA_OK &&
                  got->n == 0,
              "join %zu", i);
        fla_pairs_free(got);
        CHECK(fla_collisions_count(model, context, NULL, sides[i].left, sides[i].right,
                                   &count, NULL) == FLA_OK &&
                  count == 0,
              "count %zu", i);
    }
}

/* What a join and a count say of two sides, one of them bad. */
static void check_bad_side(const fla_matrix *left, const fla_matrix *right,
                           fla_status want, const char *argument, int64_t row)
{
    const fla_search_options options = needing(1);
    fla_pairs *got;
    fla_error err;
    uint64_t count;
    CHECK(fla_sketch_join(model, context, NULL, left, right, 1, 10, &options, &got,
                          &err) == want &&
              got == NULL,
          "%s", err.message);
    CHECK(strcmp(err.argument, argument) == 0 && err.row == row, "%s: %s, row %d",
          argument, err.message, (int)err.row);
    CHECK(fla_collisions_count(model, context, NULL, left, right, &count, &err) == want &&
              count == 0,
          "%s", err.message);
    CHECK(strcmp(err.argument, argument) == 0 && err.row == row, "%s: %s, row %d",
          argument, err.message, (int)err.row);
}

static void bad_rows_are_named_on_either_side(void)
{
    double few[2][NAIVE_DIM] = {{0}}, far[2][NAIVE_DIM] = {{0}};
    const fla_matrix rows = naive_matrix(base, N, 0), none = {NULL, 0, 0, 0, 0, FLA_F64};
    const fla_matrix nan = naive_matrix(few, 2, 30), beyond = naive_matrix(far, 2, 50);
    const fla_matrix narrow = {few, 2, NAIVE_DIM - 1, sizeof few[0], 0, FLA_F64};
    /* The same row again and again: not a byte of it would be read. */
    const fla_matrix many = {few, UINT32_MAX, NAIVE_DIM, 0, 0, FLA_F64};
    few[1][2] = NAN;
    far[1][3] = 1e300;
    check_bad_side(&nan, &rows, FLA_ERR_NONFINITE, "left", 31);
    check_bad_side(&rows, &nan, FLA_ERR_NONFINITE, "right", 31);
    check_bad_side(&none, &nan, FLA_ERR_NONFINITE, "right", 31);
    check_bad_side(&nan, NULL, FLA_ERR_NONFINITE, "left", 31);
    check_bad_side(&beyond, &rows, FLA_ERR_RANGE, "left", 51);
    check_bad_side(&rows, &beyond, FLA_ERR_RANGE, "right", 51);
    check_bad_side(&rows, &narrow, FLA_ERR_SHAPE, "right", -1);
    check_bad_side(&narrow, &rows, FLA_ERR_SHAPE, "left", -1);
    check_bad_side(&many, &rows, FLA_ERR_ARGUMENT, "left", -1);
    check_bad_side(&rows, &many, FLA_ERR_ARGUMENT, "right", -1);
}

static void check_refused(double threshold, uint64_t width, fla_search_options options,
                          bool alone, const char *argument)
{
    fla_pairs *got;
    fla_error err;
    CHECK(join(context, alone ? itself : ways[0], alone, width, threshold, &options, &got,
               &err) == FLA_ERR_ARGUMENT &&
              got == NULL,
          "%s", argument);
    CHECK(strcmp(err.argument, argument) == 0, "%s: %s", argument, err.message);
}

static void bad_arguments_are_named(void)
{
    fla_search_options dense = needing(1), upper = needing(1);
    dense.plan = FLA_PLAN_DENSE;
    upper.upper = true;
    check_refused(1, 0, needing(1), true, "width");
    check_refused(1, UINT64_C(1) << 60, needing(1), false, "width");
    check_refused(NAN, 10, needing(1), false, "threshold");
    check_refused(-1, 10, needing(1), true, "threshold");
    check_refused(1, 10, needing(0), false, "min_collisions");
    check_refused(1, 10, needing(NAIVE_TABLES + 1), false, "min_collisions");
    check_refused(1, 10, dense, false, "plan");
    check_refused(1, 10, upper, false, "upper");
    const double kept = base[0][0];
    base[0][0] = NAN; /* a bad width is refused before any row is looked at */
    check_refused(1, 0, needing(1), true, "width");
    base[0][0] = kept;
}

/* ---- calls ------------------------------------------------------------------------ */

typedef struct watch {
    uint64_t done, total, calls;
    bool fell;
    uint64_t stop_after; /* units; 0: at once */
    struct timespec stopped;
} watch;

static void note(void *arg, uint64_t done, uint64_t total)
{
    watch *w = arg;
    w->fell |= done < w->done || (w->calls > 0 && total != w->total);
    w->done = done;
    w->total = total;
    w->calls++;
}

static bool stop_later(void *arg)
{
    watch *w = arg;
    clock_gettime(CLOCK_MONOTONIC, &w->stopped);
    return w->done >= w->stop_after;
}

/* Rows that all share one bucket: the most work there can be. */
static fla_matrix crowd(double (*rows)[NAIVE_DIM], size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < NAIVE_DIM; j++)
            rows[i][j] = 0.001 * (double)(i % 997);
    return naive_matrix(rows, n, 0);
}

static void progress_rises_to_its_total(void)
{
    enum { LARGE = 4000 };
    double (*rows)[NAIVE_DIM] = malloc(LARGE * sizeof *rows);
    const fla_matrix left = crowd(rows, LARGE), few = naive_matrix(rows, 1501, 0);
    const fla_search_options options = needing(1);
    for (size_t alone = 0; alone <= 1; alone++) {
        fla_pairs *got;
        fla_call call;
        watch w = {0};
        fla_call_init(&call);
        call.progress = note;
        call.arg = &w;
        CHECK(fla_sketch_join(model, context, &call, &left, alone ? NULL : &few, 0, 1000,
                              &options, &got, NULL) == FLA_OK,
              "join");
        const uint64_t total = 2u * LARGE * (alone ? LARGE : 1501u);
        CHECK(!w.fell && w.calls > 0 && w.done == total && w.total == total,
              "%.0f of %.0f", (double)w.done, (double)w.total);
        fla_pairs_free(got);
    }
    free(rows);
}

static double seconds_since(const struct timespec *start)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - start->tv_sec) +
           1e-9 * (double)(now.tv_nsec - start->tv_nsec);
}

/* At once; while the sketch counts pairs, 10^10 and, in runs that are not cut, 4 x 10^9
   of them; and while they are checked. */
static void a_join_can_be_cancelled_in_every_phase(void)
{
    enum { LARGE = 100000, RUNS = 60000, FEW = 50 };
    static const struct {
        size_t left, right; /* right 0: the left side with itself */
        uint64_t stop_after;
    } phases[] = {{LARGE, 0, 0},
                  {LARGE, 0, 1},
                  {RUNS, 0, 1},
                  {LARGE, FEW, (uint64_t)LARGE * FEW + 1}};
    double (*rows)[NAIVE_DIM] = malloc(LARGE * sizeof *rows);
    const fla_search_options options = needing(1);
    const long live = fla_test_alloc_live();
    crowd(rows, LARGE);
    for (size_t phase = 0; phase < 4; phase++) {
        const fla_matrix left = naive_matrix(rows, phases[phase].left, 0);
        const fla_matrix right = naive_matrix(rows, phases[phase].right, 0);
        watch w = {.stop_after = phases[phase].stop_after};
        fla_pairs *got;
        fla_error err;
        fla_call call;
        fla_call_init(&call);
        call.progress = note;
        call.cancelled = stop_later;
        call.arg = &w;
        CHECK(
            fla_sketch_join(model, context, &call, &left, right.rows > 0 ? &right : NULL,
                            0, 1000, &options, &got, &err) == FLA_ERR_CANCELLED &&
                got == NULL,
            "phase %zu was not cancelled", phase);
        const double late = seconds_since(&w.stopped);
        CHECK(late < 1, "phase %zu: %g s", phase, late);
        CHECK(strstr(err.message, "cancelled") != NULL, "%s", err.message);
        CHECK(fla_test_alloc_live() == live, "phase %zu: blocks leaked", phase);
    }
    free(rows);
}

/* ---- memory ----------------------------------------------------------------------- */

/* Both functions, once; what the first that fails says. */
static fla_status run_all(fla_context *with, const fla_pairs *want, uint64_t collisions)
{
    const fla_search_options options = needing(2);
    const fla_matrix left = naive_matrix(other, M, 0), right = naive_matrix(base, N, 0);
    fla_pairs *got = NULL;
    uint64_t count = 1;
    fla_error err;
    fla_status status = join(with, ways[1], false, 300, 3, &options, &got, &err);
    CHECK(status != FLA_OK || naive_same(want, got), "pairs");
    CHECK((status == FLA_OK) == (got != NULL), "pairs of a failed join");
    fla_pairs_free(got);
    if (status != FLA_OK)
        return status;
    status = fla_collisions_count(model, with, NULL, &left, &right, &count, &err);
    CHECK(count == (status == FLA_OK ? collisions : 0), "count");
    return status;
}

static void every_allocation_may_fail(void)
{
    const fla_search_options options = needing(2);
    const fla_context_options five_threads = {sizeof five_threads, 5, NULL};
    fla_pairs *want = naive_pairs(model, ways[1], 3, &options);
    const uint64_t collisions = naive_total(ways[1]);
    fla_context *with;
    if (fla_context_create(&five_threads, &with, NULL) != FLA_OK)
        abort();
    CHECK(run_all(with, want, collisions) == FLA_OK, "with memory");
    for (int persistent = 0; persistent <= 1; persistent++) {
        fla_status status = FLA_ERR_MEMORY;
        long n = 0;
        for (; status != FLA_OK && n < 10000; n++) {
            const long live = fla_test_alloc_live();
            fla_test_alloc_budget(n, persistent != 0);
            status = run_all(with, want, collisions);
            fla_test_alloc_budget(-1, false);
            CHECK(status == FLA_OK || status == FLA_ERR_MEMORY, "allocation %ld: %s", n,
                  fla_status_name(status));
            CHECK(fla_test_alloc_live() == live, "allocation %ld: blocks leaked", n);
        }
        CHECK(n > 60, "only %ld allocations were failed", n);
    }
    fla_context_free(with);
    naive_free(want);
}

int main(void)
{
    naive_fill(base, N);
    naive_fill(other, M);
    model = naive_model();
    if (fla_context_create(NULL, &context, NULL) != FLA_OK)
        abort();
    RUN(pairs_are_the_naive_ones_whatever_the_width);
    RUN(threads_and_tiers_change_no_byte);
    RUN(pairs_that_the_sketch_does_not_admit_are_left);
    RUN(numbers_count_from_the_first_row_of_their_side);
    RUN(collisions_are_counted_as_the_naive_loops_do);
    RUN(empty_sides_have_no_pairs_and_no_collisions);
    RUN(bad_rows_are_named_on_either_side);
    RUN(bad_arguments_are_named);
    RUN(progress_rises_to_its_total);
    RUN(a_join_can_be_cancelled_in_every_phase);
    RUN(every_allocation_may_fail);
    fla_model_free(model);
    fla_context_free(context);
    return check_report();
}
