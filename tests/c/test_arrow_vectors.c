/* Spark's vectors, dense and sparse, by hand-made structs. */
#include "arrow_made.h"
#include "base/alloc.h"
#include "check.h"

#include <stdint.h>
#include <string.h>

#define N(array) (sizeof(array) / sizeof(array)[0])
#define FIRST_ROW 100

/* A struct of vectors and its fields; the data may be changed before it is imported. */
typedef struct vectors {
    node rows, type, size, indices, index, values, value;
    int8_t types[4];
    int32_t sizes[4], index_offsets[5], value_offsets[5], index_data[8];
    double value_data[12];
} vectors;

/*
 * Four rows of three: dense (1, 2, 3), sparse (0, 5, 0), sparse (7, 0, 8), dense
 * (4, 5, 6).
 */
static const vectors four = {
    .types = {1, 0, 0, 1},
    .sizes = {-99, 3, 3, -99},
    .index_offsets = {0, 0, 1, 3, 3},
    .value_offsets = {0, 3, 4, 6, 9},
    .index_data = {1, 0, 2},
    .value_data = {1, 2, 3, 5, 7, 8, 4, 5, 6},
};
static const double want_four[] = {1, 2, 3, 0, 5, 0, 7, 0, 8, 4, 5, 6};

static void make_vectors(vectors *v)
{
    *v = four;
    make_node(&v->rows, "+s", 4, 1, NULL, NULL);
    make_node(&v->type, "c", 4, 2, v->types, NULL);
    make_node(&v->size, "i", 4, 2, v->sizes, NULL);
    make_node(&v->indices, "+l", 4, 2, v->index_offsets, NULL);
    make_node(&v->index, "i", 3, 2, v->index_data, NULL);
    make_node(&v->values, "+l", 4, 2, v->value_offsets, NULL);
    make_node(&v->value, "g", 9, 2, v->value_data, NULL);
    add_child(&v->indices, "element", &v->index);
    add_child(&v->values, "element", &v->value);
    add_child(&v->rows, "type", &v->type);
    add_child(&v->rows, "size", &v->size);
    add_child(&v->rows, "indices", &v->indices);
    add_child(&v->rows, "values", &v->values);
}

static fla_status import(vectors *v, fla_arrow_memory **memory, fla_matrix *view,
                         fla_error *err)
{
    return fla_arrow_import_rows(&v->rows.schema, &v->rows.array, FIRST_ROW, memory, view,
                                 err);
}

static void check_rows(vectors *v, size_t n, const double *want)
{
    fla_arrow_memory *memory = NULL;
    fla_matrix view = {0};
    fla_error err = {0};
    if (!CHECK(import(v, &memory, &view, &err) == FLA_OK, "refused: %s", err.message))
        return;
    CHECK(view.rows == n && view.dim == (n > 0 ? 3 : 0) && view.dtype == FLA_F64,
          "%zu x %zu", view.rows, view.dim);
    const double *got = view.data;
    for (size_t i = 0; i < 3 * n; i++)
        CHECK(got[i] == want[i], "value %zu is %g, want %g", i, got[i], want[i]);
    fla_arrow_memory_free(memory);
    CHECK(v->rows.released == 1 && v->value.released == 1 && fla_test_alloc_live() == 0,
          "released %d and %d times", v->rows.released, v->value.released);
}

static void check_refused(vectors *v, fla_status want, int64_t row, const char *text)
{
    fla_arrow_memory *memory = NULL;
    fla_matrix view;
    fla_error err = {0};
    const fla_status status = import(v, &memory, &view, &err);
    CHECK(status == want, "want %s, got %s: %s", fla_status_name(want),
          fla_status_name(status), err.message);
    CHECK(strstr(err.message, text) != NULL, "want \"%s\" in \"%s\"", text, err.message);
    CHECK(err.row == (row < 0 ? -1 : FIRST_ROW + row), "row %lld", (long long)err.row);
    CHECK(memory == NULL && v->rows.released == 0 && fla_test_alloc_live() == 0,
          "something is left, or the column was released");
}

static void dense_and_sparse_vectors_become_rows(void)
{
    vectors v;
    make_vectors(&v);
    check_rows(&v, 4, want_four);
    make_vectors(&v);
    v.rows.array.length = 0;
    check_rows(&v, 0, NULL);
}

static void offsets_apply_at_every_level(void)
{
    const double values[] = {9, 9, 1, 2, 3, 5, 7, 8, 4, 5, 6};
    const int32_t index[] = {9, 1, 0, 2}, offsets[] = {0, 0, 3, 4, 6, 9};
    const int8_t types[] = {9, 9, 1, 0, 0, 1};
    vectors v;
    make_vectors(&v);
    v.rows.array.offset = 1;
    v.rows.array.length = 3;
    check_rows(&v, 3, want_four + 3);
    make_vectors(&v);
    v.value.buffers[1] = values;
    v.value.array.offset = 2;
    v.index.buffers[1] = index;
    v.index.array.offset = 1;
    v.values.buffers[1] = offsets;
    v.values.array.offset = 1;
    v.type.buffers[1] = types;
    v.type.array.offset = 2;
    check_rows(&v, 4, want_four);
}

static void large_lists_and_views_of_fields_are_read(void)
{
    const int64_t offsets[] = {0, 3, 4, 6, 9};
    const int32_t starts[] = {0, 3, 4, 6}, sizes[] = {3, 1, 2, 3};
    vectors v;
    make_vectors(&v);
    v.values.schema.format = "+L";
    v.values.buffers[1] = offsets;
    check_rows(&v, 4, want_four);
    make_vectors(&v);
    v.values.schema.format = "+vl";
    v.values.array.n_buffers = 3;
    v.values.buffers[1] = starts;
    v.values.buffers[2] = sizes;
    check_rows(&v, 4, want_four);
}

static void rows_at_fault_are_named(void)
{
    static const uint8_t without_row_2[] = {0xb}, without_4[] = {0xef, 0xff};
    vectors v;
    make_vectors(&v);
    v.rows.buffers[0] = without_row_2;
    check_refused(&v, FLA_ERR_ROW, 2, "row 102 is null; 1 of 4");
    make_vectors(&v);
    v.type.buffers[0] = without_row_2;
    check_refused(&v, FLA_ERR_ROW, 2, "row 102 is null");
    make_vectors(&v);
    v.size.buffers[0] = without_row_2;
    check_refused(&v, FLA_ERR_ROW, 2, "row 102 is sparse without a size");
    make_vectors(&v);
    v.sizes[2] = -1;
    check_refused(&v, FLA_ERR_ROW, 2, "row 102 is sparse without a size");
    make_vectors(&v);
    v.indices.buffers[0] = without_row_2;
    check_refused(&v, FLA_ERR_ROW, 2, "row 102 has no indices");
    make_vectors(&v);
    v.values.buffers[0] = without_row_2;
    check_refused(&v, FLA_ERR_ROW, 2, "row 102 has no values");
    make_vectors(&v);
    v.types[2] = 7;
    check_refused(&v, FLA_ERR_ROW, 2, "row 102 is of type 7, neither sparse (0) nor");
    make_vectors(&v);
    v.value.buffers[0] = without_4;
    check_refused(&v, FLA_ERR_ROW, 2, "row 102 holds a null at position 0");
    make_vectors(&v);
    v.index.buffers[0] = (const uint8_t[]){0x5};
    check_refused(&v, FLA_ERR_ROW, 2, "row 102 has a null index");
}

static void sizes_must_agree_and_indices_ascend(void)
{
    vectors v;
    make_vectors(&v);
    v.sizes[1] = 4;
    check_refused(&v, FLA_ERR_ROW, 1, "has 4 elements, the rows before have 3");
    make_vectors(&v);
    v.value_offsets[3] = 7;
    check_refused(&v, FLA_ERR_ROW, 2, "has 2 indices and 3 values; 2 of 4");
    make_vectors(&v);
    v.value_offsets[3] = 5;
    check_refused(&v, FLA_ERR_ROW, 2, "has 2 indices and 1 values; 2 of 4");
    make_vectors(&v);
    v.value_offsets[1] = 0;
    v.sizes[1] = v.sizes[2] = 3;
    check_refused(&v, FLA_ERR_ROW, 0, "row 100 is empty");
    const int32_t wrong[][2] = {{0, 3}, {-1, 2},        {2, 0},
                                {1, 1}, {INT32_MIN, 1}, {0, INT32_MAX}};
    for (size_t i = 0; i < N(wrong); i++) {
        make_vectors(&v);
        memcpy(v.index_data + 1, wrong[i], sizeof wrong[i]);
        check_refused(&v, FLA_ERR_ROW, 2, "they must ascend within 3");
    }
}

static void structures_at_fault_are_refused(void)
{
    vectors v;
    make_vectors(&v);
    v.value_offsets[4] = 10;
    check_refused(&v, FLA_ERR_ARROW, -1, "must ascend within 9 values");
    make_vectors(&v);
    v.index_offsets[2] = -1;
    check_refused(&v, FLA_ERR_ARROW, -1, "must ascend within 3 values");
    node *const fields[] = {&v.type, &v.size, &v.indices, &v.values};
    for (size_t i = 0; i < N(fields); i++) {
        make_vectors(&v);
        fields[i]->array.length = 3;
        check_refused(&v, FLA_ERR_ARROW, -1, "has 3 elements, its struct needs 4");
        make_vectors(&v);
        v.rows.array.offset = 1;
        check_refused(&v, FLA_ERR_ARROW, -1, "needs 5");
        make_vectors(&v);
        fields[i]->buffers[1] = NULL;
        check_refused(&v, FLA_ERR_ARROW, -1, "no");
        make_vectors(&v);
        fields[i]->array.n_buffers = 1;
        check_refused(&v, FLA_ERR_ARROW, -1, "must have 2 buffers");
        make_vectors(&v);
        v.rows.child[i] = NULL;
        check_refused(&v, FLA_ERR_ARROW, -1, "missing");
    }
    node *const data[] = {&v.index, &v.value};
    for (size_t i = 0; i < N(data); i++) {
        make_vectors(&v);
        data[i]->buffers[1] = NULL;
        check_refused(&v, FLA_ERR_ARROW, -1, "have no buffer");
    }
    make_vectors(&v);
    v.rows.array.n_children = 3;
    check_refused(&v, FLA_ERR_ARROW, -1, "4 children");
}

static void other_structs_are_no_vectors(void)
{
    vectors v;
    node *const fields[] = {&v.type, &v.size, &v.indices, &v.values};
    for (size_t i = 0; i < N(fields); i++) {
        make_vectors(&v);
        fields[i]->schema.name = "x";
        check_refused(&v, FLA_ERR_TYPE, -1, "Spark's vectors");
        make_vectors(&v);
        fields[i]->schema.name = NULL;
        check_refused(&v, FLA_ERR_TYPE, -1, "Spark's vectors");
        make_vectors(&v);
        fields[i]->schema.format = i < 2 ? "l" : "+w:3x";
        check_refused(&v, FLA_ERR_TYPE, -1, "\"+s\"");
        make_vectors(&v);
        v.rows.field[i] = NULL;
        check_refused(&v, FLA_ERR_TYPE, -1, "\"+s\"");
    }
    make_vectors(&v);
    v.value.schema.format = "f";
    check_refused(&v, FLA_ERR_TYPE, -1, "\"+s\"");
    make_vectors(&v);
    v.index.schema.format = "l";
    check_refused(&v, FLA_ERR_TYPE, -1, "\"+s\"");
    make_vectors(&v);
    v.rows.schema.n_children = 3;
    check_refused(&v, FLA_ERR_TYPE, -1, "\"+s\"");
}

static void rows_that_fit_no_memory_are_refused(void)
{
    vectors v;
    for (long budget = 0; budget < 3; budget++) {
        fla_arrow_memory *memory = NULL;
        fla_matrix view;
        make_vectors(&v);
        fla_test_alloc_budget(budget, true);
        const fla_status status = import(&v, &memory, &view, NULL);
        fla_test_alloc_budget(-1, false);
        CHECK(status == (budget < 2 ? FLA_ERR_MEMORY : FLA_OK), "budget %ld: %s", budget,
              fla_status_name(status));
        CHECK(v.rows.released == (status == FLA_OK), "released %d", v.rows.released);
        fla_arrow_memory_free(memory);
        CHECK(fla_test_alloc_live() == 0, "a leak");
    }
}

int main(void)
{
    RUN(dense_and_sparse_vectors_become_rows);
    RUN(offsets_apply_at_every_level);
    RUN(large_lists_and_views_of_fields_are_read);
    RUN(rows_at_fault_are_named);
    RUN(sizes_must_agree_and_indices_ascend);
    RUN(structures_at_fault_are_refused);
    RUN(other_structs_are_no_vectors);
    RUN(rows_that_fit_no_memory_are_refused);
    return check_report();
}
