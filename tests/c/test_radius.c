/* Neighbors within a radius, against naive loops. */
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "check.h"
#include "naive.h"

enum { N = 700, Q = 90 };

static double base[N][NAIVE_DIM], asked[Q][NAIVE_DIM];
static fla_context *context;
static fla_model *model;

static fla_index *make_index(fla_context *with, const fla_model *of, size_t n,
                             int64_t first_row)
{
    const fla_matrix rows = naive_matrix(base, n, first_row);
    fla_index *index;
    if (fla_index_create(with, NULL, of, &rows, &index, NULL) != FLA_OK)
        abort();
    return index;
}

/* ---- the naive answer ---------------------------------------------------------- */

/* Check one query's list: as many as there are, each within, in order. */
static void check_list(const fla_neighbor_lists *got, size_t q, size_t n,
                       int64_t first_row, double radius,
                       const fla_search_options *options)
{
    size_t want = 0;
    const int64_t start = got->indptr[q], end = got->indptr[q + 1];
    for (size_t i = 0; i < n; i++)
        want += naive_within(model, base[i], asked[q], radius, options);
    CHECK((size_t)(end - start) == want, "query %zu: %zu neighbors, want %zu", q,
          (size_t)(end - start), want);
    for (int64_t p = start; p < end; p++) {
        const int64_t row = got->indices[p] - first_row;
        const double d = got->distances[p];
        if (!CHECK(row >= 0 && (size_t)row < n, "row %d", (int)row))
            return;
        CHECK(d == naive_distance(base[row], asked[q]), "query %zu: distance %a", q, d);
        CHECK(naive_within(model, base[row], asked[q], radius, options), "not within");
        CHECK(p == start || got->distances[p - 1] < d ||
                  (got->distances[p - 1] == d && got->indices[p - 1] < got->indices[p]),
              "query %zu: out of order at %d", q, (int)(p - start));
    }
}

static void lists_are_the_naive_ones(void)
{
    static const double radii[] = {0, 1.5, 3, 4.5, INFINITY};
    const fla_matrix queries = naive_matrix(asked, Q, 5);
    fla_index *index = make_index(context, model, N, 1000);
    size_t found = 0;
    for (size_t r = 0; r < 5; r++) {
        for (int number = 0; number < NAIVE_CASES; number++) {
            const fla_search_options options = naive_options(number);
            fla_neighbor_lists *got;
            fla_error err;
            if (!CHECK(fla_radius_neighbors(index, context, NULL, &queries, &radii[r], 1,
                                            &options, &got, &err) == FLA_OK,
                       "%s", err.message))
                continue;
            CHECK(got->queries == Q && got->indptr[0] == 0, "%zu queries", got->queries);
            for (size_t q = 0; q < Q; q++)
                check_list(got, q, N, 1000, radii[r], &options);
            found += (size_t)got->indptr[Q];
            fla_neighbor_lists_free(got);
        }
    }
    CHECK(found > 10000, "only %zu found", found);
    fla_index_free(index);
}

static void every_query_may_have_a_radius_of_its_own(void)
{
    double radii[Q];
    const fla_matrix queries = naive_matrix(asked, Q, 0);
    const fla_search_options options = naive_options(2);
    fla_index *index = make_index(context, NULL, N, 0);
    fla_neighbor_lists *got;
    for (size_t q = 0; q < Q; q++)
        radii[q] = q % 7 == 0 ? INFINITY : (double)(q % 11) / 2;
    CHECK(fla_radius_neighbors(index, context, NULL, &queries, radii, Q, &options, &got,
                               NULL) == FLA_OK,
          "search");
    for (size_t q = 0; q < Q; q++)
        check_list(got, q, N, 0, radii[q], &options);
    fla_neighbor_lists_free(got);
    fla_index_free(index);
}

static bool same(const fla_neighbor_lists *a, const fla_neighbor_lists *b)
{
    const size_t n = (size_t)a->indptr[Q];
    return memcmp(a->indptr, b->indptr, (Q + 1) * sizeof *a->indptr) == 0 &&
           memcmp(a->indices, b->indices, n * sizeof *a->indices) == 0 &&
           memcmp(a->distances, b->distances, n * sizeof *a->distances) == 0;
}

static void threads_and_tiers_change_no_byte(void)
{
    const char *tiers[8];
    const size_t n_tiers = fla_simd_tiers(tiers, 8);
    const fla_matrix queries = naive_matrix(asked, Q, 0);
    const double radius = 4;
    fla_neighbor_lists *first = NULL;
    size_t ran = 0;
    for (unsigned threads = 1; threads <= 7; threads += 2) {
        for (size_t t = 0; t < n_tiers; t++, ran++) {
            const fla_context_options options = {sizeof options, threads, tiers[t]};
            fla_context *with;
            fla_neighbor_lists *got;
            if (fla_context_create(&options, &with, NULL) != FLA_OK)
                abort();
            fla_index *index = make_index(with, model, N, 0);
            if (fla_radius_neighbors(index, with, NULL, &queries, &radius, 1, NULL, &got,
                                     NULL) != FLA_OK)
                abort();
            if (first == NULL)
                first = got;
            CHECK(same(first, got), "%s, %u threads", tiers[t], threads);
            if (first != got)
                fla_neighbor_lists_free(got);
            fla_index_free(index);
            fla_context_free(with);
        }
    }
    CHECK(ran == 4 * n_tiers, "%zu runs", ran);
    fla_neighbor_lists_free(first);
}

/* ---- long lists, many queries --------------------------------------------------- */

/* Lists long enough to be merged, and more queries than a batch of codes has. */
static void long_lists_are_sorted_and_many_queries_come_in_batches(void)
{
    enum { LONG = 5000, MANY = 3000, WIDE = 12000 };
    float *values = calloc((size_t)MANY * WIDE, sizeof *values);
    double *line = malloc(LONG * sizeof *line);
    const fla_matrix wide = {values, MANY, WIDE, WIDE * sizeof *values, 0, FLA_F32};
    const fla_matrix few = {values, 70, WIDE, WIDE * sizeof *values, 0, FLA_F32};
    const fla_matrix on_a_line = {line, LONG, 1, sizeof *line, 0, FLA_F64};
    const fla_matrix one = {line, 1, 1, sizeof *line, 0, FLA_F64};
    fla_search_options exact = naive_options(0);
    const double all = INFINITY, zero = 0;
    fla_neighbor_lists *got;
    fla_index *index;
    for (size_t i = 0; i < LONG; i++)
        line[i] = (double)(data_next() % 1000);
    for (size_t i = 0; i < MANY; i++)
        values[i * WIDE] = (float)(i % 100);
    CHECK(fla_index_create(context, NULL, NULL, &on_a_line, &index, NULL) == FLA_OK &&
              fla_radius_neighbors(index, context, NULL, &one, &all, 1, &exact, &got,
                                   NULL) == FLA_OK,
          "a long list");
    CHECK(got->indptr[1] == LONG, "%d neighbors", (int)got->indptr[1]);
    for (size_t i = 1; i < LONG; i++)
        CHECK(got->distances[i - 1] < got->distances[i] ||
                  (got->distances[i - 1] == got->distances[i] &&
                   got->indices[i - 1] < got->indices[i]),
              "out of order at %zu", i);
    fla_neighbor_lists_free(got);
    fla_index_free(index);
    CHECK(fla_index_create(context, NULL, NULL, &few, &index, NULL) == FLA_OK &&
              fla_radius_neighbors(index, context, NULL, &wide, &zero, 1, &exact, &got,
                                   NULL) == FLA_OK,
          "many queries");
    for (size_t q = 0; q < MANY; q++) {
        const bool met = q % 100 < 70;
        CHECK(got->indptr[q + 1] - got->indptr[q] == met, "query %zu", q);
        CHECK(!met || got->indices[got->indptr[q]] == (int64_t)(q % 100), "row of %zu",
              q);
    }
    fla_neighbor_lists_free(got);
    fla_index_free(index);
    free(line);
    free(values);
}

/* ---- empty sides, faults -------------------------------------------------------- */

static void empty_sides_give_empty_lists(void)
{
    const fla_matrix none = {NULL, 0, NAIVE_DIM, 0, 0, FLA_F64};
    const fla_matrix queries = naive_matrix(asked, Q, 0);
    fla_index *index = make_index(context, model, N, 0), *empty;
    fla_neighbor_lists *got;
    const double radius = 3;
    CHECK(fla_radius_neighbors(index, context, NULL, &none, &radius, 1, NULL, &got,
                               NULL) == FLA_OK,
          "no queries");
    CHECK(got->queries == 0 && got->indptr[0] == 0, "no lists");
    fla_neighbor_lists_free(got);
    CHECK(fla_radius_neighbors(index, context, NULL, &none, NULL, 0, NULL, &got, NULL) ==
              FLA_OK,
          "no queries, no radii");
    fla_neighbor_lists_free(got);
    CHECK(fla_index_create(context, NULL, model, &none, &empty, NULL) == FLA_OK, "index");
    CHECK(fla_radius_neighbors(empty, context, NULL, &queries, &radius, 1, NULL, &got,
                               NULL) == FLA_OK,
          "no rows");
    for (size_t q = 0; q <= Q; q++)
        CHECK(got->indptr[q] == 0, "list %zu", q);
    fla_neighbor_lists_free(got);
    fla_neighbor_lists_free(NULL);
    fla_index_free(empty);
    fla_index_free(index);
}

static void faults_are_named(void)
{
    double radii[Q], bad[Q][NAIVE_DIM];
    const fla_matrix queries = naive_matrix(asked, Q, 0);
    const fla_matrix narrow = {asked, Q, 2, sizeof asked[0], 0, FLA_F64};
    fla_index *index = make_index(context, model, N, 0);
    fla_index *exact_only = make_index(context, NULL, N, 0);
    fla_neighbor_lists *got;
    fla_error err;
    for (size_t q = 0; q < Q; q++)
        radii[q] = 1;
    CHECK(fla_radius_neighbors(index, context, NULL, &queries, radii, 3, NULL, &got,
                               &err) == FLA_ERR_SHAPE,
          "three radii");
    CHECK(strcmp(err.argument, "radius") == 0 && got == NULL, "%s", err.message);
    radii[40] = NAN;
    CHECK(fla_radius_neighbors(index, context, NULL, &queries, radii, Q, NULL, &got,
                               &err) == FLA_ERR_ARGUMENT,
          "NaN");
    CHECK(err.row == 40, "%s", err.message);
    radii[0] = -1;
    CHECK(fla_radius_neighbors(index, context, NULL, &queries, radii, 1, NULL, &got,
                               &err) == FLA_ERR_ARGUMENT,
          "negative");
    radii[0] = 1;
    CHECK(fla_radius_neighbors(index, context, NULL, &narrow, radii, 1, NULL, &got,
                               &err) == FLA_ERR_SHAPE,
          "another dimension");
    CHECK(fla_radius_neighbors(exact_only, context, NULL, &queries, radii, 1, NULL, &got,
                               &err) == FLA_ERR_ARGUMENT,
          "candidates without a model");
    memcpy(bad, asked, sizeof bad);
    bad[77][3] = -INFINITY;
    const fla_matrix infinite = naive_matrix(bad, Q, 100);
    CHECK(fla_radius_neighbors(index, context, NULL, &infinite, radii, 1, NULL, &got,
                               &err) == FLA_ERR_NONFINITE,
          "infinity");
    CHECK(err.row == 177 && err.column == 3 && strcmp(err.argument, "queries") == 0, "%s",
          err.message);
    bad[77][3] = 1e300;
    CHECK(fla_radius_neighbors(index, context, NULL, &infinite, radii, 1, NULL, &got,
                               &err) == FLA_ERR_RANGE,
          "far buckets");
    CHECK(err.row == 177, "%s", err.message);
    fla_index_free(exact_only);
    fla_index_free(index);
}

static bool cancel_at_once(void *arg)
{
    ++*(int *)arg;
    return true;
}

static void a_search_can_be_cancelled(void)
{
    enum { LARGE = 100000, WIDTH = 64 };
    float *values = calloc((size_t)LARGE * WIDTH, sizeof *values);
    const fla_matrix rows = {values, LARGE, WIDTH, WIDTH * sizeof *values, 0, FLA_F32};
    const fla_search_options exact = naive_options(0);
    fla_neighbor_lists *got;
    const double radius = -0.0;
    fla_index *index;
    int asked_calls = 0;
    fla_error err;
    fla_call call;
    struct timespec start, end;
    fla_call_init(&call);
    call.cancelled = cancel_at_once;
    call.arg = &asked_calls;
    for (size_t i = 0; i < LARGE; i++)
        values[i * WIDTH] = (float)i;
    CHECK(fla_index_create(context, NULL, NULL, &rows, &index, NULL) == FLA_OK, "index");
    clock_gettime(CLOCK_MONOTONIC, &start);
    CHECK(fla_radius_neighbors(index, context, &call, &rows, &radius, 1, &exact, &got,
                               &err) == FLA_ERR_CANCELLED,
          "search");
    clock_gettime(CLOCK_MONOTONIC, &end);
    CHECK(end.tv_sec - start.tv_sec <= 1 && got == NULL, "late");
    CHECK(asked_calls == 1, "asked %d times", asked_calls);
    fla_index_free(index);
    free(values);
}

/* ---- memory -------------------------------------------------------------------- */

static void every_allocation_may_fail(void)
{
    const fla_matrix queries = naive_matrix(asked, Q, 0);
    fla_index *index = make_index(context, model, N, 0);
    fla_neighbor_lists *want, *got;
    const double radius = 6; /* enough to fill several chunks */
    fla_error err;
    CHECK(fla_radius_neighbors(index, context, NULL, &queries, &radius, 1, NULL, &want,
                               &err) == FLA_OK,
          "with memory");
    for (int persistent = 0; persistent <= 1; persistent++) {
        fla_status status = FLA_ERR_MEMORY;
        long n = 0;
        for (; status != FLA_OK && n < 10000; n++) {
            const long live = fla_test_alloc_live();
            fla_test_alloc_budget(n, persistent != 0);
            status = fla_radius_neighbors(index, context, NULL, &queries, &radius, 1,
                                          NULL, &got, &err);
            fla_test_alloc_budget(-1, false);
            CHECK(status == FLA_OK || (status == FLA_ERR_MEMORY && got == NULL),
                  "allocation %ld: %s", n, fla_status_name(status));
            if (status == FLA_OK) {
                CHECK(same(want, got), "allocation %ld: another answer", n);
                fla_neighbor_lists_free(got);
            }
            CHECK(fla_test_alloc_live() == live, "allocation %ld: blocks leaked", n);
        }
        CHECK(n > 30, "only %ld allocations were failed", n);
    }
    fla_neighbor_lists_free(want);
    fla_index_free(index);
}

int main(void)
{
    naive_fill(base, N);
    naive_fill(asked, Q);
    model = naive_model();
    if (fla_context_create(NULL, &context, NULL) != FLA_OK)
        abort();
    RUN(lists_are_the_naive_ones);
    RUN(every_query_may_have_a_radius_of_its_own);
    RUN(threads_and_tiers_change_no_byte);
    RUN(long_lists_are_sorted_and_many_queries_come_in_batches);
    RUN(empty_sides_give_empty_lists);
    RUN(faults_are_named);
    RUN(a_search_can_be_cancelled);
    RUN(every_allocation_may_fail);
    fla_model_free(model);
    fla_context_free(context);
    return check_report();
}
