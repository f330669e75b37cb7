/* Arrow columns taken out of batches and viewed as rows, by hand-made arrays. */
#include "base/alloc.h"
#include "check.h"
#include "fast_lsh_ann.h"

#include <stdint.h>
#include <string.h>

#define FIRST_ROW 100
#define N(array) (sizeof(array) / sizeof(array)[0])

/* ---- hand-made arrays ---------------------------------------------------------- */

/* A list column inside a batch of that one column, and how often each was released. */
typedef struct column {
    struct ArrowSchema batch_schema, schema, element;
    struct ArrowSchema *batch_fields[1], *fields[1];
    struct ArrowArray batch, list, values;
    struct ArrowArray *batch_children[1], *children[1];
    const void *batch_buffers[1], *list_buffers[2], *value_buffers[2];
} column;

static void keep_schema(struct ArrowSchema *schema)
{
    schema->release = NULL;
}

static void count_release(struct ArrowArray *array)
{
    for (int64_t i = 0; i < array->n_children; i++)
        if (array->children[i]->release != NULL)
            array->children[i]->release(array->children[i]);
    ++*(int *)array->private_data;
    array->release = NULL;
}

static int batch_released, list_released, values_released;

static struct ArrowArray make_array(size_t length, int64_t n_buffers,
                                    const void **buffers, int64_t n_children,
                                    struct ArrowArray **children, int *released)
{
    return (struct ArrowArray){
        .length = (int64_t)length,
        .n_buffers = n_buffers,
        .n_children = n_children,
        .buffers = buffers,
        .children = children,
        .release = count_release,
        .private_data = released,
    };
}

static void make_column(column *c, const char *list, const char *element,
                        const void *offsets, size_t rows, const void *values,
                        size_t n_values)
{
    batch_released = list_released = values_released = 0;
    memset(c, 0, sizeof *c);
    c->element = (struct ArrowSchema){.format = element, .release = keep_schema};
    c->fields[0] = &c->element;
    c->schema = (struct ArrowSchema){
        .format = list, .n_children = 1, .children = c->fields, .release = keep_schema};
    c->batch_fields[0] = &c->schema;
    c->batch_schema = (struct ArrowSchema){.format = "+s",
                                           .n_children = 1,
                                           .children = c->batch_fields,
                                           .release = keep_schema};
    c->value_buffers[1] = values;
    c->list_buffers[1] = offsets;
    c->children[0] = &c->values;
    c->batch_children[0] = &c->list;
    c->values = make_array(n_values, 2, c->value_buffers, 0, NULL, &values_released);
    c->list = make_array(rows, 2, c->list_buffers, 1, c->children, &list_released);
    c->batch =
        make_array(rows, 1, c->batch_buffers, 1, c->batch_children, &batch_released);
}

/* Three rows of two float32. */
static const int32_t three_offsets[] = {0, 2, 4, 6};
static const float six_values[] = {0, 1, 2, 3, 4, 5};

static void make_three_rows(column *c)
{
    make_column(c, "+l", "f", three_offsets, 3, six_values, 6);
}

static fla_status import(column *c, fla_arrow_memory **rows, fla_matrix *view,
                         fla_error *err)
{
    return fla_arrow_import_rows(&c->schema, &c->list, FIRST_ROW, rows, view, err);
}

static double value_at(const fla_matrix *view, size_t row, size_t i)
{
    const unsigned char *data = view->data;
    data += (ptrdiff_t)row * view->row_stride_bytes;
    if (view->dtype == FLA_F32) {
        float value;
        memcpy(&value, data + i * sizeof value, sizeof value);
        return (double)value;
    }
    double value;
    memcpy(&value, data + i * sizeof value, sizeof value);
    return value;
}

/* Import must fail, say want, and leave the column to its owner. */
static void check_refused(column *c, fla_status status, const char *want)
{
    fla_arrow_memory *rows = NULL;
    fla_matrix view;
    fla_error err = {0};
    const fla_status got = import(c, &rows, &view, &err);
    CHECK(got == status && err.status == status, "want %s, got %s, err %s (%s)",
          fla_status_name(status), fla_status_name(got), fla_status_name(err.status),
          err.message);
    CHECK(strstr(err.message, want) != NULL, "want \"%s\" in \"%s\"", want, err.message);
    CHECK(rows == NULL, "rows came out of a failure");
    CHECK(list_released == 0 && values_released == 0, "the column was released");
    CHECK(import(c, &rows, &view, NULL) == status, "without err it does not fail alike");
}

static void check_bad_row(column *c, int64_t row, int64_t position, int64_t bad_rows,
                          const char *want)
{
    fla_arrow_memory *rows;
    fla_matrix view;
    fla_error err = {0};
    check_refused(c, FLA_ERR_ROW, want);
    CHECK(import(c, &rows, &view, &err) == FLA_ERR_ROW, "a bad row passed");
    CHECK(err.argument != NULL && strcmp(err.argument, "rows") == 0, "argument");
    CHECK(err.row == FIRST_ROW + row, "row %lld, want %lld", (long long)err.row,
          (long long)(FIRST_ROW + row));
    CHECK(err.column == position, "column %lld, want %lld", (long long)err.column,
          (long long)position);
    CHECK(err.bad_rows == bad_rows, "%lld bad rows, want %lld", (long long)err.bad_rows,
          (long long)bad_rows);
}

/* Import must give rows x dim values that count up from first. */
static void check_counts_up(column *c, size_t n, size_t dim, double first)
{
    fla_arrow_memory *rows = NULL;
    fla_matrix view = {0};
    fla_error err = {0};
    if (!CHECK(import(c, &rows, &view, &err) == FLA_OK, "refused: %s", err.message))
        return;
    CHECK(view.rows == n && view.dim == dim && view.first_row == FIRST_ROW,
          "%zu x %zu from %lld", view.rows, view.dim, (long long)view.first_row);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < dim; j++) {
            const double want = first + (double)(i * dim + j);
            CHECK(value_at(&view, i, j) == want, "row %zu, %zu is %g, want %g", i, j,
                  value_at(&view, i, j), want);
        }
    CHECK(c->list.release == NULL, "the array was not moved");
    const bool copied = fla_test_alloc_live() == 2;
    CHECK(list_released == copied && values_released == copied,
          "released while in use, or kept without need");
    fla_arrow_memory_free(rows);
    CHECK(list_released == 1 && values_released == 1, "list released %d times, values %d",
          list_released, values_released);
}

/* ---- what is read -------------------------------------------------------------- */

static void rows_of_every_type_are_viewed_in_place(void)
{
    const int64_t large_offsets[] = {0, 2, 4, 6};
    const double doubles[] = {0, 1, 2, 3, 4, 5};
    column c;
    for (int i = 0; i < 4; i++) {
        const bool large = i & 1, wide = i & 2;
        fla_arrow_memory *rows = NULL;
        fla_matrix view = {0};
        const void *offsets = large ? (const void *)large_offsets : three_offsets;
        const void *values = wide ? (const void *)doubles : six_values;
        make_column(&c, large ? "+L" : "+l", wide ? "g" : "f", offsets, 3, values, 6);
        CHECK(import(&c, &rows, &view, NULL) == FLA_OK, "large %d, wide %d", large, wide);
        CHECK(view.data == values, "the values were copied");
        CHECK(view.dtype == (wide ? FLA_F64 : FLA_F32), "dtype %d", (int)view.dtype);
        fla_arrow_memory_free(rows);
        make_column(&c, large ? "+L" : "+l", wide ? "g" : "f", offsets, 3, values, 6);
        check_counts_up(&c, 3, 2, 0);
    }
}

static void offsets_apply_at_every_level(void)
{
    const int32_t offsets[] = {-9, 1, 3, 5, 7, 99};
    const float values[] = {-1, -1, -1, 10, 11, 12, 13, 14, 15, -1};
    column c;
    /* values[2 + 1 ...] in lists 1..3 of which the batch shows the last two */
    make_column(&c, "+l", "f", offsets, 3, values, 8);
    c.values.offset = 2;
    c.list.offset = 1;
    check_counts_up(&c, 3, 2, 10);

    struct ArrowArray taken;
    make_column(&c, "+l", "f", offsets, 3, values, 8);
    c.values.offset = 2;
    c.list.offset = 1;
    c.batch.offset = 1;
    c.batch.length = 2;
    CHECK(fla_arrow_take_column(&c.batch_schema, &c.batch, 0, &taken, NULL) == FLA_OK,
          "a sliced batch was refused");
    c.batch.release(&c.batch);
    CHECK(batch_released == 1 && list_released == 0, "the column went with its batch");
    c.list = taken;
    check_counts_up(&c, 2, 2, 12);
}

static void unaligned_buffers_are_read(void)
{
    unsigned char values[1 + sizeof six_values], offsets[1 + sizeof three_offsets];
    fla_arrow_memory *rows = NULL;
    fla_matrix view = {0};
    column c;
    memcpy(values + 1, six_values, sizeof six_values);
    memcpy(offsets + 1, three_offsets, sizeof three_offsets);
    make_column(&c, "+l", "f", offsets + 1, 3, values + 1, 6);
    check_counts_up(&c, 3, 2, 0);
    make_column(&c, "+l", "f", offsets + 1, 3, values + 1, 6);
    CHECK(import(&c, &rows, &view, NULL) == FLA_OK, "refused");
    CHECK((uintptr_t)view.data % sizeof(float) == 0, "the view is unaligned");
    fla_arrow_memory_free(rows);
    CHECK(fla_test_alloc_live() == 0, "the copy leaks");
}

static void no_rows_need_no_buffers(void)
{
    column c;
    make_column(&c, "+l", "f", NULL, 0, NULL, 0);
    check_counts_up(&c, 0, 0, 0);
    make_column(&c, "+L", "g", NULL, 0, NULL, 0);
    c.list.offset = 7;
    check_counts_up(&c, 0, 0, 0);
    fla_arrow_memory_free(NULL);
}

/* ---- rows at fault ------------------------------------------------------------- */

static void null_rows_are_refused_and_counted(void)
{
    const uint8_t validity[] = {0x5}; /* rows 0 and 2 */
    column c;
    for (int64_t null_count = -1; null_count < 2; null_count++) {
        make_three_rows(&c);
        c.list_buffers[0] = validity;
        c.list.null_count = null_count;
        check_bad_row(&c, 1, -1, 1, "row 101 is null; 1 of 3 rows");
    }
    const int32_t offsets[] = {0, 0, 0, 2};
    make_column(&c, "+l", "f", offsets, 3, six_values, 6);
    const uint8_t last_valid[] = {0x4};
    c.list_buffers[0] = last_valid;
    c.list.null_count = 2;
    check_bad_row(&c, 0, -1, 2, "row 100 is null; 2 of 3 rows");
}

static void null_rows_outside_the_slice_do_not_count(void)
{
    const int32_t offsets[] = {0, 0, 2, 4, 4};
    const uint8_t validity[] = {0x6};
    column c;
    make_column(&c, "+l", "f", offsets, 2, six_values, 6);
    c.list_buffers[0] = validity;
    c.list.offset = 1;
    c.list.null_count = -1;
    check_counts_up(&c, 2, 2, 0);
}

static void every_null_element_is_found(void)
{
    enum { ROWS = 7, DIM = 9, SHIFT = 3 };
    int32_t offsets[ROWS + 1];
    double values[ROWS * DIM + SHIFT];
    for (int i = 0; i <= ROWS; i++)
        offsets[i] = i * DIM;
    for (int i = 0; i < ROWS * DIM + SHIFT; i++)
        values[i] = i;
    for (int null = 0; null < ROWS * DIM; null++) {
        uint8_t validity[(ROWS * DIM + SHIFT + 7) / 8];
        column c;
        memset(validity, 0xff, sizeof validity);
        validity[(null + SHIFT) / 8] &= (uint8_t)~(1 << (null + SHIFT) % 8);
        make_column(&c, "+l", "g", offsets, ROWS, values, ROWS * DIM);
        c.values.offset = SHIFT;
        c.values.null_count = 1;
        c.value_buffers[0] = validity;
        check_bad_row(&c, null / DIM, null % DIM, 1, "holds a null at position");
    }
}

static void null_elements_outside_the_rows_do_not_count(void)
{
    const int32_t offsets[] = {1, 3, 5};
    const float values[] = {-1, 0, 1, 2, 3, -1};
    const uint8_t validity[] = {0x1e};
    column c;
    make_column(&c, "+l", "f", offsets, 2, values, 6);
    c.value_buffers[0] = validity;
    c.values.null_count = 2;
    check_counts_up(&c, 2, 2, 0);
}

static void ragged_and_empty_rows_are_refused_and_counted(void)
{
    const int32_t ragged[] = {0, 2, 4, 5, 8}, empty[] = {0, 2, 2, 4, 4}, none[] = {3, 3};
    const int32_t first_empty[] = {0, 0, 2, 4, 6};
    column c;
    make_column(&c, "+l", "f", ragged, 4, six_values, 8);
    check_bad_row(&c, 2, -1, 2, "row 102 has 1 elements, the rows before have 2; 2 of 4");
    make_column(&c, "+l", "f", empty, 4, six_values, 6);
    check_bad_row(&c, 1, -1, 2, "row 101 is empty");
    make_column(&c, "+l", "f", first_empty, 4, six_values, 6);
    check_bad_row(&c, 0, -1, 1, "row 100 is empty");
    make_column(&c, "+l", "f", none, 1, six_values, 6);
    check_bad_row(&c, 0, -1, 1, "row 100 is empty");
}

/* ---- structures at fault ------------------------------------------------------- */

static void offsets_must_ascend_within_the_values(void)
{
    const int32_t falling[] = {0, 4, 2, 4}, negative[] = {-2, 0, 2, 4},
                  beyond[] = {0, 2, 4, 8};
    const int64_t huge[] = {INT64_MAX - 2, INT64_MAX};
    column c;
    make_column(&c, "+l", "f", falling, 3, six_values, 6);
    check_refused(&c, FLA_ERR_ARROW, "offsets of list 1 are 4 to 2");
    make_column(&c, "+l", "f", negative, 3, six_values, 6);
    check_refused(&c, FLA_ERR_ARROW, "offsets of list 0 are -2 to 0");
    make_column(&c, "+l", "f", beyond, 3, six_values, 6);
    check_refused(&c, FLA_ERR_ARROW, "must ascend within 6 values");
    make_column(&c, "+L", "f", huge, 1, six_values, 6);
    check_refused(&c, FLA_ERR_ARROW, "must ascend within 6 values");
}

static void sizes_that_contradict_each_other_are_refused(void)
{
    column c;
    make_three_rows(&c);
    c.list.length = -1;
    check_refused(&c, FLA_ERR_ARROW, "list array has length -1 at offset 0");
    make_three_rows(&c);
    c.list.offset = INT64_MAX;
    check_refused(&c, FLA_ERR_ARROW, "beyond any memory");
    make_three_rows(&c);
    c.values.offset = INT64_MAX / 2;
    check_refused(&c, FLA_ERR_ARROW, "values of the lists has length 6");
    make_three_rows(&c);
    c.list.n_buffers = 3;
    check_refused(&c, FLA_ERR_ARROW, "must have 2 buffers and 1 children, got 3 and 1");
    make_three_rows(&c);
    c.values.n_children = 1;
    check_refused(&c, FLA_ERR_ARROW, "must have 2 buffers and 0 children, got 2 and 1");
    make_three_rows(&c);
    c.list.null_count = 1;
    check_refused(&c, FLA_ERR_ARROW, "counts 1 nulls but has no validity bitmap");
    make_three_rows(&c);
    c.list_buffers[1] = NULL;
    check_refused(&c, FLA_ERR_ARROW, "3 rows but no offsets");
    make_three_rows(&c);
    c.value_buffers[1] = NULL;
    check_refused(&c, FLA_ERR_ARROW, "no buffer");
    make_three_rows(&c);
    c.list.buffers = NULL;
    check_refused(&c, FLA_ERR_ARROW, "no list of its buffers");
    make_three_rows(&c);
    c.children[0] = NULL;
    check_refused(&c, FLA_ERR_ARROW, "values of the lists is missing");
    make_three_rows(&c);
    c.values.release = NULL;
    check_refused(&c, FLA_ERR_ARROW, "released or moved before");
}

static void unsupported_types_are_named(void)
{
    static const char *const lists[] = {"+w:", "+w:x", "+w:99999999999", "u", "+m", ""};
    static const char *const elements[] = {"b", "u", "+l", "ff", ""};
    column c;
    for (size_t i = 0; i < N(lists); i++) {
        make_three_rows(&c);
        c.schema.format = lists[i];
        check_refused(&c, FLA_ERR_TYPE, lists[i]);
        check_refused(&c, FLA_ERR_TYPE, "wanted: lists of floats or integers");
    }
    for (size_t i = 0; i < N(elements); i++) {
        make_three_rows(&c);
        c.element.format = elements[i];
        check_refused(&c, FLA_ERR_TYPE, elements[i]);
    }
    make_three_rows(&c);
    c.schema.n_children = 0;
    check_refused(&c, FLA_ERR_TYPE, "\"+l\"");
    make_three_rows(&c);
    c.schema.children = NULL;
    check_refused(&c, FLA_ERR_TYPE, "\"+l\"");
    make_three_rows(&c);
    c.schema.format = "g";
    check_refused(&c, FLA_ERR_SHAPE, "wanted a list of numbers a row");
}

static void first_row_must_leave_room_for_row_numbers(void)
{
    const int64_t wrong[] = {-1, INT64_MAX - 2};
    column c;
    for (size_t i = 0; i < N(wrong); i++) {
        fla_arrow_memory *rows;
        fla_matrix view;
        make_three_rows(&c);
        const fla_status status =
            fla_arrow_import_rows(&c.schema, &c.list, wrong[i], &rows, &view, NULL);
        CHECK(status == FLA_ERR_ARGUMENT, "%s", fla_status_name(status));
        CHECK(rows == NULL && c.list.release != NULL, "touched on failure");
    }
}

/* ---- batches ------------------------------------------------------------------- */

static void check_not_taken(column *c, size_t at, const char *want)
{
    struct ArrowArray taken;
    fla_error err = {0};
    const fla_status status =
        fla_arrow_take_column(&c->batch_schema, &c->batch, at, &taken, &err);
    CHECK(status == FLA_ERR_ARROW, "%s", fla_status_name(status));
    CHECK(strstr(err.message, want) != NULL, "want \"%s\" in \"%s\"", want, err.message);
    CHECK(batch_released == 0 && list_released == 0, "released on failure");
}

static void a_column_is_taken_once(void)
{
    struct ArrowArray taken;
    column c;
    make_three_rows(&c);
    c.list.null_count = 1;
    CHECK(fla_arrow_take_column(&c.batch_schema, &c.batch, 0, &taken, NULL) == FLA_OK,
          "refused");
    CHECK(taken.null_count == 1 && taken.length == 3, "the whole column changed");
    check_not_taken(&c, 0, "column 0 was taken before");
    taken.release(&taken);
    c.batch.release(&c.batch);
    CHECK(batch_released == 1 && list_released == 1 && values_released == 1,
          "released %d, %d, %d times", batch_released, list_released, values_released);
}

static void a_slice_of_a_column_with_nulls_forgets_their_number(void)
{
    const int64_t counts[] = {1, 0, -1}, want[] = {-1, 0, -1};
    column c;
    for (size_t i = 0; i < N(counts); i++) {
        struct ArrowArray taken;
        make_three_rows(&c);
        c.list.null_count = counts[i];
        c.batch.length = 2;
        CHECK(fla_arrow_take_column(&c.batch_schema, &c.batch, 0, &taken, NULL) == FLA_OK,
              "refused");
        CHECK(taken.null_count == want[i], "%lld nulls", (long long)taken.null_count);
        taken.release(&taken);
        c.batch.release(&c.batch);
    }
}

static void broken_batches_are_refused(void)
{
    const uint8_t validity[] = {0x5};
    column c;
    make_three_rows(&c);
    c.batch_schema.format = "+l";
    check_not_taken(&c, 0, "a struct (\"+s\"), got Arrow format \"+l\"");
    make_three_rows(&c);
    check_not_taken(&c, 1, "column 1 is wanted, the record batch has 1");
    make_three_rows(&c);
    c.batch_buffers[0] = validity;
    c.batch.null_count = -1;
    check_not_taken(&c, 0, "row 1 of the record batch is null");
    make_three_rows(&c);
    c.batch.offset = 1;
    check_not_taken(&c, 0, "column 0 has length 3 at offset 0, the record batch has 3");
    make_three_rows(&c);
    c.list.offset = INT64_MAX;
    check_not_taken(&c, 0, "column 0 has length 3");
    make_three_rows(&c);
    c.batch.n_children = 0;
    check_not_taken(&c, 0, "must have 1 buffers and 1 children, got 1 and 0");
    make_three_rows(&c);
    c.batch.release = NULL;
    check_not_taken(&c, 0, "released or moved before");
    make_three_rows(&c);
    c.batch_schema.release = NULL;
    check_not_taken(&c, 0, "got Arrow format \"\"");
}

/* ---- memory -------------------------------------------------------------------- */

static void failing_allocations_leave_the_column_as_it_was(void)
{
    unsigned char values[1 + sizeof six_values];
    memcpy(values + 1, six_values, sizeof six_values);
    for (int persistent = 0; persistent < 2; persistent++) {
        fla_arrow_memory *rows = NULL;
        fla_matrix view = {0};
        fla_status status = FLA_ERR_MEMORY;
        column c;
        long budget = 0;
        make_column(&c, "+l", "f", three_offsets, 3, values + 1, 6);
        const column before = c;
        for (; status == FLA_ERR_MEMORY && budget < 100; budget++) {
            fla_test_alloc_budget(budget, persistent);
            status = import(&c, &rows, &view, NULL);
            fla_test_alloc_budget(-1, false);
            if (status == FLA_OK)
                break;
            CHECK(status == FLA_ERR_MEMORY, "%s", fla_status_name(status));
            CHECK(rows == NULL && fla_test_alloc_live() == 0, "something is left");
            CHECK(memcmp(&c, &before, sizeof c) == 0, "the column was changed");
        }
        CHECK(status == FLA_OK && budget == 2, "succeeded after %ld failures", budget);
        fla_arrow_memory_free(rows);
        CHECK(list_released == 1 && fla_test_alloc_live() == 0, "a leak");
    }
}

int main(void)
{
    RUN(rows_of_every_type_are_viewed_in_place);
    RUN(offsets_apply_at_every_level);
    RUN(unaligned_buffers_are_read);
    RUN(no_rows_need_no_buffers);
    RUN(null_rows_are_refused_and_counted);
    RUN(null_rows_outside_the_slice_do_not_count);
    RUN(every_null_element_is_found);
    RUN(null_elements_outside_the_rows_do_not_count);
    RUN(ragged_and_empty_rows_are_refused_and_counted);
    RUN(offsets_must_ascend_within_the_values);
    RUN(sizes_that_contradict_each_other_are_refused);
    RUN(unsupported_types_are_named);
    RUN(first_row_must_leave_room_for_row_numbers);
    RUN(a_column_is_taken_once);
    RUN(a_slice_of_a_column_with_nulls_forgets_their_number);
    RUN(broken_batches_are_refused);
    RUN(failing_allocations_leave_the_column_as_it_was);
    return check_report();
}
