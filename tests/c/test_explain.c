/* What an index says of itself: bytes of its parts, and how a search would go about. */
#include <stdlib.h>

#include "check.h"
#include "data.h"
#include "fast_lsh_ann.h"

enum { N = 1000, DIM = 6, TABLES = 3, TILE = 64 };

static float base[N][DIM];
static fla_context *context;

static fla_index *index_of(double bucket_length, fla_model **model)
{
    const fla_matrix rows = {base, N, DIM, sizeof base[0], 0, FLA_F32};
    fla_model_options options;
    fla_index *index;
    fla_model_options_init(&options);
    options.bucket_length = bucket_length;
    options.num_hash_tables = TABLES;
    if (fla_model_create(&options, DIM, model, NULL) != FLA_OK ||
        fla_index_create(context, NULL, *model, &rows, &index, NULL) != FLA_OK)
        abort();
    return index;
}

static void every_part_is_measured(void)
{
    /* Whole tiles of 64 rows: coordinates padded to 4 bytes, 4 a row and 8 a tile. */
    const uint64_t tiles = (N + TILE - 1) / TILE;
    fla_index_memory memory = {.struct_size = sizeof memory};
    fla_model *model;
    fla_index *index = index_of(1000, &model);
    CHECK(fla_index_measure(index, &memory, NULL) == FLA_OK, "measure");
    CHECK(memory.rows == sizeof base, "rows: %d", (int)memory.rows);
    CHECK(memory.codes == tiles * (TILE * (8 + 4) + 8), "codes: %d", (int)memory.codes);
    CHECK(memory.short_forms == 0 && memory.runs == 0, "parts it does without");
    CHECK(memory.buckets == 0 || memory.buckets == tiles * TILE * TABLES, "buckets: %d",
          (int)memory.buckets);
    memory.struct_size = 3;
    CHECK(fla_index_measure(index, &memory, NULL) == FLA_ERR_ARGUMENT, "another struct");
    fla_index_free(index);
    fla_model_free(model);
}

static void a_narrow_model_goes_by_buckets(void)
{
    fla_index_memory memory = {.struct_size = sizeof memory};
    fla_explanation told = {.struct_size = sizeof told};
    fla_model *model;
    fla_index *index = index_of(1e-3, &model);
    CHECK(fla_index_measure(index, &memory, NULL) == FLA_OK, "measure");
    CHECK(memory.runs >= (uint64_t)8 * N * TABLES, "runs: %d", (int)memory.runs);
    CHECK(fla_index_explain(index, context, 10, NULL, &told, NULL) == FLA_OK, "explain");
    CHECK(told.plan == FLA_PLAN_BUCKET, "plan %d", (int)told.plan);
    CHECK(told.candidate_share < 0.05, "share %g", told.candidate_share);
    CHECK(told.bucket_seconds < told.dense_seconds, "the plan that costs more");
    fla_index_free(index);
    fla_model_free(model);
}

static void a_wide_model_is_scanned(void)
{
    fla_explanation one = {.struct_size = sizeof one}, ten = one;
    fla_search_options options;
    fla_model *model;
    fla_index *index = index_of(1e9, &model);
    CHECK(fla_index_explain(index, context, 1, NULL, &one, NULL) == FLA_OK, "explain");
    CHECK(fla_index_explain(index, context, 10, NULL, &ten, NULL) == FLA_OK, "explain");
    CHECK(one.plan == FLA_PLAN_DENSE && one.candidate_share > 0.1, "plan %d, share %g",
          (int)one.plan, one.candidate_share);
    CHECK(one.dense_seconds > 0 && ten.dense_seconds > 9.99 * one.dense_seconds,
          "seconds %g and %g", one.dense_seconds, ten.dense_seconds);
    CHECK(one.row_bytes == 8 && one.short_form == 0, "bytes of a row: %d",
          (int)one.row_bytes);
    fla_search_options_init(&options);
    options.plan = FLA_PLAN_BUCKET;
    CHECK(fla_index_explain(index, context, 1, &options, &one, NULL) == FLA_OK &&
              one.plan == FLA_PLAN_BUCKET,
          "a plan that is forced");
    options.plan = (fla_plan)9;
    CHECK(fla_index_explain(index, context, 1, &options, &one, NULL) == FLA_ERR_ARGUMENT,
          "no plan");
    one.struct_size = 1;
    CHECK(fla_index_explain(index, context, 1, NULL, &one, NULL) == FLA_ERR_ARGUMENT,
          "another struct");
    fla_index_free(index);
    fla_model_free(model);
}

static void rows_that_are_none_are_refused(void)
{
    fla_matrix rows = {NULL, 2, DIM, sizeof base[0], 0, FLA_F32};
    fla_index *index;
    CHECK(
        fla_index_create(context, NULL, NULL, &rows, &index, NULL) == FLA_ERR_ARGUMENT &&
            index == NULL,
        "no data");
    rows.data = base;
    rows.dtype = (fla_dtype)7;
    CHECK(fla_index_create(context, NULL, NULL, &rows, &index, NULL) == FLA_ERR_ARGUMENT,
          "no type");
    rows.dtype = FLA_F32;
    rows.dim = SIZE_MAX / 2;
    CHECK(fla_index_create(context, NULL, NULL, &rows, &index, NULL) == FLA_ERR_SHAPE,
          "too long");
}

int main(void)
{
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < DIM; j++)
            base[i][j] = (float)data_value();
    if (fla_context_create(NULL, &context, NULL) != FLA_OK)
        abort();
    RUN(every_part_is_measured);
    RUN(a_narrow_model_goes_by_buckets);
    RUN(a_wide_model_is_scanned);
    RUN(rows_that_are_none_are_refused);
    fla_context_free(context);
    return check_report();
}
