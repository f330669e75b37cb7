/* Rows at fault as NaN: lists, Spark's vectors and plain numbers, by hand-made arrays. */
#include "arrow_made.h"
#include "base/alloc.h"
#include "check.h"

#include <math.h>
#include <stdint.h>

#define N(array) (sizeof(array) / sizeof(array)[0])

/* Six rows: 0 holds NaN, 1 is empty, 2 and 5 are good, 3 is long, 4 is null. */
typedef struct lists {
    node rows, values;
    int32_t offsets[7];
    float data[13];
    uint8_t valid_rows, valid_values[2];
} lists;

static void make_lists(lists *l)
{
    *l = (lists){
        .offsets = {0, 3, 3, 5, 9, 11, 13},
        .data = {NAN, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
        .valid_rows = 0x2f,
        .valid_values = {0xff, 0xff},
    };
    make_node(&l->rows, "+l", 6, 2, l->offsets, NULL);
    make_node(&l->values, "f", 13, 2, l->data, NULL);
    add_child(&l->rows, "item", &l->values);
    l->rows.buffers[0] = &l->valid_rows;
    l->values.buffers[0] = l->valid_values;
    l->rows.array.null_count = l->values.array.null_count = -1;
}

static bool is_same(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

/* Import must give these rows. */
static void check_filled(node *root, size_t dim_wanted, size_t n, size_t dim,
                         const double *want)
{
    fla_arrow_memory *memory = NULL;
    fla_matrix view = {0};
    fla_error err = {0};
    const fla_status status = fla_arrow_import_rows_filled(
        &root->schema, &root->array, dim_wanted, &memory, &view, &err);
    if (!CHECK(status == FLA_OK, "refused: %s", err.message))
        return;
    CHECK(view.rows == n && view.dim == dim, "%zu x %zu", view.rows, view.dim);
    CHECK((view.data == NULL) == (n * dim == 0), "data %p", view.data);
    for (size_t i = 0; i < n * view.dim; i++) {
        const double got = view.dtype == FLA_F32 ? (double)((const float *)view.data)[i]
                                                 : ((const double *)view.data)[i];
        CHECK(is_same(got, want[i]), "value %zu is %g, want %g", i, got, want[i]);
    }
    fla_arrow_memory_free(memory);
    CHECK(root->released == 1 && fla_test_alloc_live() == 0, "released %d times",
          root->released);
}

static void rows_at_fault_are_nan(void)
{
    const double want[] = {NAN, NAN, NAN, NAN, 3, 4, NAN, NAN, NAN, NAN, 11, 12};
    lists l;
    make_lists(&l);
    check_filled(&l.rows, 0, 6, 2, want);
}

static void the_length_may_be_given(void)
{
    const double want[24] = {NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN,
                             5,   6,   7,   8,   NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN};
    const double three[] = {NAN, 1,   2,   NAN, NAN, NAN, NAN, NAN, NAN,
                            NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN};
    lists l;
    make_lists(&l);
    check_filled(&l.rows, 4, 6, 4, want);
    make_lists(&l);
    check_filled(&l.rows, 3, 6, 3, three); /* what NaN there is stays */
}

static void a_row_with_a_null_gives_no_length(void)
{
    const double want[] = {NAN, NAN, NAN, NAN, 11, 12};
    lists l;
    make_lists(&l);
    l.valid_values[0] = 0xdf; /* value 5, in row 3 */
    l.rows.array.offset = 3;
    l.rows.array.length = 3;
    check_filled(&l.rows, 0, 3, 2, want);
}

static void without_a_valid_row_there_is_no_data(void)
{
    lists l;
    make_lists(&l);
    l.rows.array.length = 2;
    check_filled(&l.rows, 0, 2, 0, NULL);
    make_lists(&l);
    l.rows.array.length = 0;
    check_filled(&l.rows, 0, 0, 0, NULL);
    make_lists(&l);
    l.valid_rows = 0;
    check_filled(&l.rows, 0, 6, 0, NULL);
}

static void valid_rows_are_viewed_in_place(void)
{
    fla_arrow_memory *memory = NULL;
    fla_matrix view = {0};
    lists l;
    make_lists(&l);
    for (int32_t i = 0; i < 7; i++)
        l.offsets[i] = 1 + 2 * i;
    l.valid_rows = 0x3f;
    CHECK(fla_arrow_import_rows_filled(&l.rows.schema, &l.rows.array, 0, &memory, &view,
                                       NULL) == FLA_OK,
          "refused");
    CHECK(view.data == &l.data[1] && view.rows == 6 && view.dim == 2, "%zu x %zu",
          view.rows, view.dim);
    fla_arrow_memory_free(memory);
    CHECK(l.rows.released == 1 && fla_test_alloc_live() == 0, "left");
}

static void what_contradicts_itself_stays_an_error(void)
{
    fla_arrow_memory *memory = NULL;
    fla_matrix view;
    lists l;
    for (int fault = 0; fault < 3; fault++) {
        fla_error err = {0};
        make_lists(&l);
        if (fault == 0)
            l.offsets[6] = 14;
        if (fault == 1)
            l.values.buffers[1] = NULL;
        if (fault == 2)
            l.values.schema.format = "u";
        const fla_status want = fault == 2 ? FLA_ERR_TYPE : FLA_ERR_ARROW;
        for (size_t dim = 0; dim < 3; dim += 2) {
            const fla_status got = fla_arrow_import_rows_filled(
                &l.rows.schema, &l.rows.array, dim, &memory, &view, &err);
            CHECK(got == want && err.status == want && memory == NULL, "%d: %s, %s",
                  fault, fla_status_name(got), err.message);
        }
        CHECK(l.rows.released == 0 && fla_test_alloc_live() == 0, "taken");
    }
}

/* ---- Spark's vectors ------------------------------------------------------------- */

/* Dense NaN; sparse with indices that do not ascend; dense with a null; sparse (0, 5);
   of no type; dense of three. */
static void vectors_at_fault_are_nan(void)
{
    static const int8_t types[] = {1, 0, 1, 0, 7, 1};
    static const int32_t sizes[] = {0, 2, 0, 2, 0, 0};
    static const int32_t index_offsets[] = {0, 0, 2, 2, 3, 3, 3};
    static const int32_t value_offsets[] = {0, 3, 5, 7, 8, 8, 11};
    static const int32_t index_data[] = {1, 0, 1};
    static const double value_data[] = {1, 2, NAN, 1, 1, 2, 2, 5, 6, 6, 6};
    static const uint8_t valid_values[] = {0xbf, 0xff}; /* value 6, in row 2 */
    const double want[] = {NAN, NAN, NAN, NAN, NAN, NAN, 0, 5, NAN, NAN, NAN, NAN};
    node rows, type, size, indices, index, values, value;
    make_node(&rows, "+s", 6, 1, NULL, NULL);
    make_node(&type, "c", 6, 2, types, NULL);
    make_node(&size, "i", 6, 2, sizes, NULL);
    make_node(&indices, "+l", 6, 2, index_offsets, NULL);
    make_node(&index, "i", 3, 2, index_data, NULL);
    make_node(&values, "+l", 6, 2, value_offsets, NULL);
    make_node(&value, "g", 11, 2, value_data, NULL);
    value.buffers[0] = valid_values;
    value.array.null_count = -1;
    add_child(&indices, "element", &index);
    add_child(&values, "element", &value);
    add_child(&rows, "type", &type);
    add_child(&rows, "size", &size);
    add_child(&rows, "indices", &indices);
    add_child(&rows, "values", &values);
    check_filled(&rows, 0, 6, 2, want);
}

/* ---- numbers --------------------------------------------------------------------- */

static void null_numbers_are_nan(void)
{
    static const int64_t numbers[] = {99, 1, 2, 3, 4, 5, 6};
    static const uint8_t valid[] = {0x5a}; /* null: those of 99, 2 and 5 */
    static const double want[] = {1, NAN, 3, 4, NAN, 6};
    fla_arrow_memory *memory = NULL;
    fla_matrix view = {0};
    node column;
    make_node(&column, "l", 6, 2, numbers, NULL);
    column.buffers[0] = valid;
    column.array.null_count = -1;
    column.array.offset = 1;
    CHECK(fla_arrow_import_numbers(&column.schema, &column.array, &memory, &view, NULL) ==
              FLA_ERR_ROW,
          "a null passed");
    CHECK(fla_arrow_import_numbers_filled(&column.schema, &column.array, &memory, &view,
                                          NULL) == FLA_OK,
          "refused");
    CHECK(view.rows == 1 && view.dim == N(want), "%zu x %zu", view.rows, view.dim);
    for (size_t i = 0; i < N(want); i++)
        CHECK(is_same(((const double *)view.data)[i], want[i]), "number %zu is %g", i,
              ((const double *)view.data)[i]);
    fla_arrow_memory_free(memory);
    CHECK(column.released == 1 && fla_test_alloc_live() == 0, "left");
}

int main(void)
{
    RUN(rows_at_fault_are_nan);
    RUN(the_length_may_be_given);
    RUN(a_row_with_a_null_gives_no_length);
    RUN(without_a_valid_row_there_is_no_data);
    RUN(valid_rows_are_viewed_in_place);
    RUN(what_contradicts_itself_stays_an_error);
    RUN(vectors_at_fault_are_nan);
    RUN(null_numbers_are_nan);
    return check_report();
}
