/*
 * Joins in order by every plan: pulled and pushed, of plain rows and of crowds that no
 * task can hold, against naive loops; the plan asked for is the one that ran.
 *
 * Seen to fail with: pairs of buckets left in the order they were found in; small tasks
 * by buckets too; a plan that is not honoured, or runs made for each wave.
 */
#include <string.h>

#include "base/alloc.h"
#include "check.h"
#include "naive_pairs.h"
#include "search/index.h"
#include "search/join.h"

enum { N = 500, M = 130, PLANS = FLA_PLAN_GATHER + 1 };

static double base[N][NAIVE_DIM], other[M][NAIVE_DIM];
static fla_context *context;
static fla_model *model;

static const naive_sides base_other = {base, other, N, M};
static const naive_sides base_base = {base, base, N, N};

/* Pairs of a join, compared with the naive ones as they come. */
typedef struct comparison {
    const fla_pairs *want;
    size_t taken, wrong;
} comparison;

static int compare(void *arg, const fla_pair *pairs, size_t n)
{
    comparison *with = arg;
    for (size_t i = 0; i < n; i++, with->taken++)
        with->wrong += with->taken >= with->want->n ||
                       pairs[i].left != with->want->left[with->taken] ||
                       pairs[i].right != with->want->right[with->taken] ||
                       pairs[i].distance != with->want->distances[with->taken];
    return 0;
}

static bool by_buckets(fla_plan plan)
{
    return plan == FLA_PLAN_BUCKET || plan == FLA_PLAN_GATHER;
}

static void check_pulled(const fla_index *left, const fla_index *right, naive_sides s,
                         double threshold, const fla_search_options *options)
{
    fla_pairs *want = naive_pairs(model, s, threshold, options);
    comparison with = {want, 0, 0};
    const fla_pair *pairs;
    fla_join *join;
    size_t n;
    CHECK(fla_join_open(left, context, right, threshold, options, &join, NULL) == FLA_OK,
          "open");
    do {
        CHECK(fla_join_next(join, NULL, 1000, &pairs, &n, NULL) == FLA_OK, "next");
        compare(&with, pairs, n);
        CHECK(n == 0 || join->wave.buckets == by_buckets(options->plan), "plan %d",
              (int)options->plan);
    } while (n > 0);
    CHECK(with.taken == want->n && with.wrong == 0, "plan %d: %zu pairs, want %zu; %zu",
          (int)options->plan, with.taken, want->n, with.wrong);
    fla_join_free(join);
    naive_free(want);
}

/* The left rows in two blocks. */
static void check_pushed(naive_sides s, double threshold,
                         const fla_search_options *options)
{
    enum { FIRST = N / 3 };
    fla_pairs *want = naive_pairs(model, s, threshold, options);
    comparison with = {want, 0, 0};
    const fla_matrix right = naive_matrix(s.right, s.n_right, 0);
    const fla_matrix blocks[2] = {naive_matrix(s.left, FIRST, 0),
                                  naive_matrix(s.left + FIRST, s.n_left - FIRST, FIRST)};
    const fla_runs *runs = NULL;
    fla_join *join;
    CHECK(fla_join_create(context, NULL, model, &right, threshold, options, &join,
                          NULL) == FLA_OK,
          "create");
    for (int i = 0; i < 2; i++) {
        CHECK(fla_join_push(join, NULL, &blocks[i], compare, &with, NULL) == FLA_OK,
              "push");
        CHECK((join->runs != NULL) == by_buckets(options->plan), "plan %d",
              (int)options->plan);
        CHECK(i == 0 || join->runs == runs, "other runs for the second block");
        runs = join->runs;
    }
    CHECK(with.taken == want->n && with.wrong == 0, "plan %d: %zu pairs, want %zu; %zu",
          (int)options->plan, with.taken, want->n, with.wrong);
    fla_join_free(join);
    naive_free(want);
}

static void every_plan_gives_the_naive_pairs_in_order(void)
{
    const fla_matrix rows = naive_matrix(base, N, 0), few = naive_matrix(other, M, 0);
    fla_index *left, *right;
    if (fla_index_create(context, NULL, model, &rows, &left, NULL) != FLA_OK ||
        fla_index_create(context, NULL, model, &few, &right, NULL) != FLA_OK)
        abort();
    for (int plan = 0; plan < PLANS; plan++) {
        for (int number = 1; number < NAIVE_CASES; number += 2) {
            fla_search_options options = naive_options(number);
            options.plan = (fla_plan)plan;
            check_pulled(left, right, base_other, 3, &options);
            check_pulled(left, NULL, base_base, INFINITY, &options);
            check_pushed(base_other, 3, &options);
            options.upper = true;
            check_pulled(left, NULL, base_base, 2.5, &options);
            check_pushed(base_base, 2.5, &options);
        }
    }
    fla_index_free(left);
    fla_index_free(right);
}

/* ---- crowds --------------------------------------------------------------------- */

/* Equal rows in the middle, which pair with one another, among rows of their own. */
static void a_crowd_in_one_bucket_leaves_in_order_and_in_bounds(void)
{
    enum { ROWS = 9000, CROWD = 5000, BEGIN = (ROWS - CROWD) / 2 };
    static float values[ROWS];
    const fla_matrix rows = {values, ROWS, 1, sizeof *values, 0, FLA_F32};
    fla_model_options of_model;
    fla_search_options options;
    fla_model *narrow;
    fla_index *index;
    fla_join *join;
    fla_pair last = {-1, -1, 0};
    const fla_pair *pairs;
    size_t n, total = 0, wrong = 0, waves[2] = {0};
    for (size_t i = 0; i < ROWS; i++)
        values[i] = i >= BEGIN && i < BEGIN + CROWD ? -1 : (float)i;
    fla_model_options_init(&of_model);
    of_model.bucket_length = 0.5;
    fla_search_options_init(&options);
    options.min_collisions = 1;
    if (fla_model_create(&of_model, 1, &narrow, NULL) != FLA_OK ||
        fla_index_create(context, NULL, narrow, &rows, &index, NULL) != FLA_OK)
        abort();
    CHECK(index->base.runs.tables == NULL, "a third of the pairs are candidates");
    const long live = fla_test_alloc_live();
    options.plan = FLA_PLAN_BUCKET;
    CHECK(fla_join_open(index, context, NULL, 0, &options, &join, NULL) == FLA_OK,
          "open");
    do {
        if (fla_join_next(join, NULL, SIZE_MAX, &pairs, &n, NULL) != FLA_OK)
            abort();
        waves[join->wave.buckets] += n > 0;
        for (size_t i = 0; i < n; i++) {
            const bool in_crowd = (size_t)pairs[i].left - BEGIN < CROWD &&
                                  (size_t)pairs[i].right - BEGIN < CROWD;
            wrong += pairs[i].left < last.left ||
                     (pairs[i].left == last.left && pairs[i].right <= last.right) ||
                     pairs[i].distance != 0 ||
                     !(in_crowd || pairs[i].left == pairs[i].right);
            last = pairs[i];
        }
        total += n;
    } while (n > 0);
    const size_t want = (size_t)CROWD * CROWD + ROWS - CROWD;
    CHECK(total == want && wrong == 0, "%zu pairs, want %zu; %zu wrong", total, want,
          wrong);
    CHECK(waves[false] > 0 && waves[true] > 0, "only one way was gone: %zu, %zu",
          waves[false], waves[true]);
    fla_join_free(join);
    CHECK(fla_test_alloc_live() == live, "blocks leaked");
    fla_index_free(index);
    fla_model_free(narrow);
}

/* ---- chosen, and without memory -------------------------------------------------- */

static void a_model_that_selects_little_is_joined_by_buckets(void)
{
    enum { MANY = 4000 };
    static float values[MANY];
    const fla_matrix rows = {values, MANY, 1, sizeof *values, 0, FLA_F32};
    fla_model_options of_model;
    fla_search_options options;
    fla_model *narrow;
    fla_join *join;
    comparison with = {&(fla_pairs){0}, 0, 0};
    for (size_t i = 0; i < MANY; i++)
        values[i] = (float)(i * 7919 % MANY);
    fla_model_options_init(&of_model);
    of_model.bucket_length = 0.5;
    fla_search_options_init(&options);
    options.min_collisions = 1;
    options.strict = true; /* no row is strictly within 0 of itself */
    if (fla_model_create(&of_model, 1, &narrow, NULL) != FLA_OK)
        abort();
    CHECK(
        fla_join_create(context, NULL, narrow, &rows, 0, &options, &join, NULL) == FLA_OK,
        "create");
    CHECK(fla_join_push(join, NULL, &rows, compare, &with, NULL) == FLA_OK, "push");
    CHECK(join->runs == &join->own.runs && with.taken == 0, "%zu pairs", with.taken);
    fla_join_free(join);
    fla_model_free(narrow);
}

static fla_status join_by_buckets(const fla_index *left, const fla_index *right,
                                  comparison *with)
{
    fla_search_options options = naive_options(1);
    options.plan = FLA_PLAN_BUCKET;
    with->taken = with->wrong = 0;
    return fla_similarity_join(left, context, NULL, right, 3, &options, compare, with,
                               NULL);
}

static void every_allocation_may_fail(void)
{
    const fla_matrix rows = naive_matrix(base, N, 0), few = naive_matrix(other, M, 0);
    const fla_search_options options = naive_options(1);
    fla_pairs *want = naive_pairs(model, base_other, 3, &options);
    comparison with = {want, 0, 0};
    fla_index *left, *right;
    fla_status status = FLA_ERR_MEMORY;
    long n = 0;
    if (fla_index_create(context, NULL, model, &rows, &left, NULL) != FLA_OK ||
        fla_index_create(context, NULL, model, &few, &right, NULL) != FLA_OK)
        abort();
    for (; status != FLA_OK; n += check_step()) {
        const long live = fla_test_alloc_live();
        fla_test_alloc_budget(n, n % 2 == 0);
        status = join_by_buckets(left, right, &with);
        fla_test_alloc_budget(-1, false);
        CHECK(status == FLA_OK || status == FLA_ERR_MEMORY, "allocation %ld: %s", n,
              fla_status_name(status));
        CHECK(fla_test_alloc_live() == live, "allocation %ld: blocks leaked", n);
        CHECK(with.wrong == 0, "allocation %ld: %zu pairs are wrong", n, with.wrong);
    }
    CHECK(n > 60 && with.taken == want->n, "%ld allocations, %zu pairs", n, with.taken);
    fla_index_free(left);
    fla_index_free(right);
    naive_free(want);
}

int main(void)
{
    if (fla_context_create(NULL, &context, NULL) != FLA_OK)
        return 1;
    naive_fill(base, N);
    naive_fill(other, M);
    model = naive_model();
    RUN(every_plan_gives_the_naive_pairs_in_order);
    RUN(a_crowd_in_one_bucket_leaves_in_order_and_in_bounds);
    RUN(a_model_that_selects_little_is_joined_by_buckets);
    RUN(every_allocation_may_fail);
    fla_model_free(model);
    fla_context_free(context);
    return check_report();
}
