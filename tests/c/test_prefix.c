/*
 * Short forms: directions against a spectrum that is known, distances that never grow, on
 * every tier, and memory that may run out while an index with short forms and runs is
 * made.
 */
#include <math.h>

#include "base/alloc.h"
#include "base/cpu.h"
#include "check.h"
#include "data.h"
#include "fast_lsh_ann.h"
#include "search/directions.h"
#include "search/index.h"
#include "search/prefix_fit.h"

enum { DIM = 136, N = 16400, K = 5, QUERIES = 20 };

/* Uniform in [-1, 1). */
static double even(void)
{
    return (double)(int64_t)data_next() * 0x1p-63;
}

/* Rows whose coordinate j has a size that falls by a quarter from one to the next, after
   a turn that mixes neighbors; every 1,000th far out. */
static float (*make_rows(void)) [DIM] {
    float (*rows)[DIM] = fla_alloc(N, sizeof *rows);
    for (size_t i = 0; i < N; i++) {
        double size = i % 1000 == 7 ? 30 : 1;
        for (size_t j = 0; j < DIM; j++) {
            rows[i][j] = (float)(size * even());
            size *= 0.75;
        }
        for (size_t j = 0; j + 1 < DIM; j++) {
            const float a = rows[i][j], b = rows[i][j + 1];
            rows[i][j] = 0.8F * a + 0.6F * b;
            rows[i][j + 1] = 0.8F * b - 0.6F * a;
        }
    }
    return rows;
}

static fla_matrix matrix_of(float (*rows)[DIM], size_t n)
{
    return (fla_matrix){rows, n, DIM, DIM * sizeof(float), 0, FLA_F32};
}

/* ---- directions ------------------------------------------------------------------ */

static double product(const float *a, const float *b)
{
    double sum = 0;
    for (size_t j = 0; j < DIM; j++)
        sum += (double)a[j] * (double)b[j];
    return sum;
}

/* A sample of independent coordinates: coordinate j has the size weight[j]. */
static fla_sample sample_of(const double *weight)
{
    const size_t n = 512, wide = fla_size_parts(DIM, FLA_GROUP) * FLA_GROUP;
    fla_sample s = {n, DIM, fla_alloc(n, DIM * sizeof(float)),
                    fla_alloc_zeroed(n, wide * sizeof(float))};
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < DIM; j++) {
            const float value = (float)(weight[j] * even());
            s.groups[(i / FLA_GROUP * DIM + j) * FLA_GROUP + i % FLA_GROUP] = value;
            s.columns[(j / FLA_GROUP * n + i) * FLA_GROUP + j % FLA_GROUP] = value;
        }
    }
    return s;
}

static void directions_are_the_leading_ones(void)
{
    enum { M = 16, LARGE = 5 };
    double weight[DIM];
    float directions[M * DIM], mixed[M * DIM];
    for (size_t j = 0; j < DIM; j++)
        weight[j] = j % 27 == 3 ? 10 + (double)j : 0.1; /* 3, 30, 57, 84, 111 stand out */
    fla_sample s = sample_of(weight);
    for (size_t t = 0; fla_kernels_at(t) != NULL; t++) {
        const fla_kernels *k = fla_kernels_at(t);
        if ((k->needs & ~fla_cpu_detect()) != 0)
            continue;
        CHECK(fla_directions_find(k, &s, M, directions), "memory");
        for (size_t a = 0; a < M; a++)
            for (size_t b = 0; b <= a; b++)
                CHECK(fabs(product(directions + a * DIM, directions + b * DIM) -
                           (a == b)) < 1e-5,
                      "%s: directions %zu and %zu", k->name, a, b);
        for (size_t j = 3; j < DIM; j += 27) {
            double inside = 0; /* of axis j, in the span of the first five */
            for (size_t a = 0; a < LARGE; a++)
                inside +=
                    (double)directions[a * DIM + j] * (double)directions[a * DIM + j];
            CHECK(inside > 0.999, "%s: axis %zu, %g inside", k->name, j, inside);
        }
        fla_directions_mix(directions, M, DIM, mixed);
        for (size_t a = 0; a < M; a++)
            CHECK(fabs(product(mixed + a * DIM, mixed + a * DIM) - 1) < 1e-5 &&
                      fabs(product(mixed + a * DIM, directions)) <= sqrt(1.0 / M) + 1e-5,
                  "%s: mixture %zu", k->name, a);
    }
    fla_free(s.groups);
    fla_free(s.columns);
}

static void rows_without_directions_get_some(void)
{
    enum { M = 16 };
    double weight[DIM] = {1}; /* all but one coordinate are 0 */
    float directions[M * DIM];
    fla_sample s = sample_of(weight);
    CHECK(fla_directions_find(fla_kernels_pick(0, NULL), &s, M, directions), "memory");
    for (size_t a = 0; a < M; a++)
        CHECK(fabs(product(directions + a * DIM, directions + a * DIM) - 1) < 1e-5,
              "direction %zu", a);
    fla_free(s.groups);
    fla_free(s.columns);
}

/* ---- short forms ----------------------------------------------------------------- */

/* What the filter stands on: codes of short forms are no farther apart than rows, but for
   their residuals. */
static void no_short_form_is_farther_than_its_row(void)
{
    float (*rows)[DIM] = make_rows();
    const fla_matrix matrix = matrix_of(rows, N);
    for (size_t t = 0; fla_kernels_at(t) != NULL; t++) {
        const fla_kernels *k = fla_kernels_at(t);
        fla_prefix prefix = {0};
        fla_quantizer quantizer;
        if ((k->needs & ~fla_cpu_detect()) != 0)
            continue;
        CHECK(fla_quantizer_init(&quantizer, k, DIM), "memory");
        CHECK(fla_quantizer_fit(&quantizer, &matrix) == FLA_OK, "fit");
        CHECK(fla_prefix_fit(&prefix, k, &matrix, quantizer.centre) == FLA_OK, "fit");
        CHECK(prefix.directions > 0, "%s: short forms do not pay", k->name);
        float *group = fla_alloc(DIM, FLA_GROUP * sizeof *group);
        float *form =
            fla_alloc(fla_prefix_padded(prefix.directions) + 1, FLA_GROUP * sizeof *form);
        uint8_t *codes = fla_alloc(quantizer.steps, FLA_GROUP * FLA_STEP);
        for (size_t first = 0; first + FLA_GROUP <= N; first += 997) {
            const void *pointers[FLA_GROUP];
            fla_encoded full;
            double wrong[FLA_GROUP];
            for (size_t i = 0; i < FLA_GROUP; i++)
                pointers[i] = rows[first + i];
            fla_quantizer_encode(&quantizer, FLA_F32, pointers, pointers, group, codes,
                                 &full);
            fla_prefix_shorten(&prefix, group, &full, form, wrong);
            for (size_t a = 0; a < FLA_GROUP; a++) {
                for (size_t b = 0; b < a; b++) {
                    double real = 0, brief = 0;
                    for (size_t j = 0; j < DIM; j++) {
                        const double d =
                            (double)rows[first + a][j] - (double)rows[first + b][j];
                        real += d * d;
                    }
                    for (size_t v = 0; v <= prefix.directions; v++) {
                        const double d = (double)form[v * FLA_GROUP + a] -
                                         (double)form[v * FLA_GROUP + b];
                        brief += d * d;
                    }
                    const double slack = wrong[a] + wrong[b] + full.length[a] * 0x1p-22 +
                                         full.length[b] * 0x1p-22;
                    CHECK(sqrt(brief) <= sqrt(real) * (1 + 1e-12) + slack,
                          "%s: rows %zu and %zu: %g beyond %g", k->name, first + a,
                          first + b, sqrt(brief), sqrt(real));
                    CHECK(sqrt(brief) > 0.3 * sqrt(real), "%s: hardly a filter", k->name);
                }
            }
        }
        fla_free(group);
        fla_free(form);
        fla_free(codes);
        fla_prefix_clear(&prefix);
        fla_quantizer_clear(&quantizer);
        printf("ran    short forms on %s\n", k->name);
    }
    fla_free(rows);
}

/* ---- memory ---------------------------------------------------------------------- */

/* An index with short forms and runs, and a search of it. */
static fla_status everything(const fla_matrix *rows, int64_t *indices, bool *complete)
{
    fla_error err;
    fla_context *context = NULL;
    fla_model *model = NULL;
    fla_index *index = NULL;
    fla_model_options options;
    double distances[QUERIES * K];
    const fla_context_options one = {sizeof one, 1, NULL};
    const fla_matrix queries = {rows->data, QUERIES, DIM, rows->row_stride_bytes * 100,
                                0,          FLA_F32};
    fla_model_options_init(&options);
    options.bucket_length = 1e-4;
    options.num_hash_tables = 3;
    *complete = false;
    fla_status status = fla_context_create(&one, &context, &err);
    if (status == FLA_OK)
        status = fla_model_create(&options, DIM, &model, &err);
    if (status == FLA_OK)
        status = fla_index_create(context, NULL, model, rows, &index, &err);
    if (status == FLA_OK) {
        *complete = index->base.prefix.directions > 0 && index->base.runs.tables != NULL;
        status = fla_nearest_neighbors(index, context, NULL, &queries, K, NULL, indices,
                                       distances, QUERIES * K, NULL, &err);
    }
    if (status == FLA_OK) {
        fla_search_options exact;
        fla_search_options_init(&exact);
        exact.min_collisions = 0;
        status = fla_nearest_neighbors(index, context, NULL, &queries, K, &exact,
                                       indices + QUERIES * K, distances, QUERIES * K,
                                       NULL, &err);
    }
    if (status == FLA_OK) {
        const double radius = 1.5;
        fla_neighbor_lists *lists;
        status = fla_radius_neighbors(index, context, NULL, &queries, &radius, 1, NULL,
                                      &lists, &err);
        if (status == FLA_OK) /* each query is a row of the base */
            CHECK(lists->indptr[QUERIES] >= QUERIES, "a query did not find itself");
        if (status == FLA_OK)
            fla_neighbor_lists_free(lists);
    }
    fla_index_free(index);
    fla_model_free(model);
    fla_context_free(context);
    return status;
}

static void every_allocation_of_a_large_index_may_fail(void)
{
    static int64_t want[2 * QUERIES * K], got[2 * QUERIES * K];
    float (*rows)[DIM] = make_rows();
    const fla_matrix matrix = matrix_of(rows, N);
    bool complete;
    const long step = check_step();
    CHECK(everything(&matrix, want, &complete) == FLA_OK, "with memory");
    CHECK(complete, "the index has no short forms or no runs");
    for (long n = 0;; n += step) {
        const long live = fla_test_alloc_live();
        fla_test_alloc_budget(n, n % 2 == 0);
        const fla_status status = everything(&matrix, got, &complete);
        fla_test_alloc_budget(-1, false);
        CHECK(fla_test_alloc_live() == live, "allocation %ld: blocks leaked", n);
        CHECK(status == FLA_OK || status == FLA_ERR_MEMORY, "allocation %ld: %s", n,
              fla_status_name(status));
        if (status != FLA_OK)
            continue;
        CHECK(memcmp(got, want, sizeof got) == 0, "allocation %ld: other answers", n);
        CHECK(n > 60, "only %ld allocations were failed", n);
        break;
    }
    fla_free(rows);
}

int main(void)
{
    RUN(directions_are_the_leading_ones);
    RUN(rows_without_directions_get_some);
    RUN(no_short_form_is_farther_than_its_row);
    RUN(every_allocation_of_a_large_index_may_fail);
    return check_report();
}
