/* Every type that rows and numbers are read from, by hand-made arrays. */
#include "arrow_made.h"
#include "base/alloc.h"
#include "check.h"

#include <fenv.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#define N(array) (sizeof(array) / sizeof(array)[0])

/* ---- importing, and what is wanted of it ----------------------------------------- */

static double value_at(const fla_matrix *view, size_t i)
{
    return view->dtype == FLA_F32 ? (double)((const float *)view->data)[i]
                                  : ((const double *)view->data)[i];
}

/* Rows of a column must be these; copied says whether its array is let go at once. */
static void check_rows(node *column, size_t n, size_t dim, fla_dtype dtype, bool copied,
                       const double *want)
{
    fla_arrow_memory *memory = NULL;
    fla_matrix view = {0};
    fla_error err = {0};
    const fla_status status =
        fla_arrow_import_rows(&column->schema, &column->array, 0, &memory, &view, &err);
    if (!CHECK(status == FLA_OK, "refused: %s", err.message))
        return;
    CHECK(view.rows == n && view.dim == dim && view.dtype == dtype,
          "%zu x %zu of dtype %d", view.rows, view.dim, (int)view.dtype);
    for (size_t i = 0; i < n * dim; i++)
        CHECK(value_at(&view, i) == want[i], "value %zu is %g, want %g", i,
              value_at(&view, i), want[i]);
    CHECK(column->released == copied, "released %d times, copied %d", column->released,
          copied);
    fla_arrow_memory_free(memory);
    CHECK(column->released == 1 && fla_test_alloc_live() == 0, "released %d times",
          column->released);
}

/* Import must fail and leave the column to its owner. */
static void check_refused(node *column, fla_status want, int64_t row, const char *text)
{
    fla_arrow_memory *memory = NULL;
    fla_matrix view;
    fla_error err = {0};
    const fla_status status =
        fla_arrow_import_rows(&column->schema, &column->array, 0, &memory, &view, &err);
    CHECK(status == want, "want %s, got %s: %s", fla_status_name(want),
          fla_status_name(status), err.message);
    CHECK(strstr(err.message, text) != NULL, "want \"%s\" in \"%s\"", text, err.message);
    CHECK(err.row == row, "row %lld, want %lld", (long long)err.row, (long long)row);
    CHECK(memory == NULL && column->released == 0 && fla_test_alloc_live() == 0,
          "something is left, or the column was released");
}

/* ---- number types ---------------------------------------------------------------- */

static const int8_t i8[] = {-128, 127, 0, 5};
static const uint8_t u8[] = {0, 255, 7, 1};
static const int16_t i16[] = {-32768, 32767, 0, 1};
static const uint16_t u16[] = {65535, 0, 2, 3};
static const int32_t i32[] = {INT32_MIN, INT32_MAX, -1, 16777217};
static const uint32_t u32[] = {UINT32_MAX, 0, 1, 16777217};
static const int64_t i64[] = {INT64_MIN, -1, 9007199254740991, 3};
static const uint64_t u64[] = {UINT64_C(1) << 63, 0, 9007199254740991, 3};
/* 1, -2, the smallest subnormal, 65504: IEEE 754 binary16 */
static const uint16_t f16[] = {0x3c00, 0xc000, 0x0001, 0x7bff};
static const float f32[] = {1.5f, -2, 3, 4};
static const double f64[] = {0.1, -2, 3, 4};

static const struct number_case {
    const char *format;
    const void *data;
    fla_dtype dtype;
    double want[4];
} numbers[] = {
    {"c", i8, FLA_F32, {-128, 127, 0, 5}},
    {"C", u8, FLA_F32, {0, 255, 7, 1}},
    {"s", i16, FLA_F32, {-32768, 32767, 0, 1}},
    {"S", u16, FLA_F32, {65535, 0, 2, 3}},
    {"i", i32, FLA_F64, {-2147483648.0, 2147483647, -1, 16777217}},
    {"I", u32, FLA_F64, {4294967295.0, 0, 1, 16777217}},
    {"l", i64, FLA_F64, {-9223372036854775808.0, -1, 9007199254740991, 3}},
    {"L", u64, FLA_F64, {9223372036854775808.0, 0, 9007199254740991, 3}},
    {"e", f16, FLA_F32, {1, -2, 0x1p-24, 65504}},
    {"f", f32, FLA_F32, {1.5, -2, 3, 4}},
    {"g", f64, FLA_F64, {0.1, -2, 3, 4}},
};

static void every_number_type_becomes_the_float_that_holds_it(void)
{
    const int32_t offsets[] = {0, 2, 4};
    for (size_t i = 0; i < N(numbers); i++) {
        const struct number_case *c = &numbers[i];
        node list, values;
        make_node(&list, "+l", 2, 2, offsets, NULL);
        make_node(&values, c->format, 4, 2, c->data, NULL);
        add_child(&list, "item", &values);
        const bool in_place = c->format[0] == 'f' || c->format[0] == 'g';
        check_rows(&list, 2, 2, c->dtype, !in_place, c->want);
    }
}

static void numbers_are_one_row(void)
{
    for (size_t i = 0; i < N(numbers); i++) {
        const struct number_case *c = &numbers[i];
        fla_arrow_memory *memory = NULL;
        fla_matrix view = {0};
        node values;
        make_node(&values, c->format, 3, 2, c->data, NULL);
        values.array.offset = 1;
        CHECK(fla_arrow_import_numbers(&values.schema, &values.array, &memory, &view,
                                       NULL) == FLA_OK,
              "%s refused", c->format);
        CHECK(view.rows == 1 && view.dim == 3 && view.dtype == c->dtype, "%zu x %zu",
              view.rows, view.dim);
        for (size_t j = 0; j < 3; j++)
            CHECK(value_at(&view, j) == c->want[j + 1], "%s: %zu is %g", c->format, j,
                  value_at(&view, j));
        fla_arrow_memory_free(memory);
        CHECK(values.released == 1, "released %d times", values.released);
    }
}

static void half_floats_that_are_not_finite_stay_so(void)
{
    const uint16_t halves[] = {0x7c00, 0xfc00, 0x7e00, 0x8000};
    const int32_t offsets[] = {0, 4};
    fla_arrow_memory *memory = NULL;
    fla_matrix view = {0};
    node list, values;
    make_node(&list, "+l", 1, 2, offsets, NULL);
    make_node(&values, "e", 4, 2, halves, NULL);
    add_child(&list, "item", &values);
    CHECK(fla_arrow_import_rows(&list.schema, &list.array, 0, &memory, &view, NULL) ==
              FLA_OK,
          "refused");
    const float *got = view.data;
    CHECK(isinf(got[0]) && got[0] > 0 && isinf(got[1]) && got[1] < 0 && isnan(got[2]),
          "%g %g %g", (double)got[0], (double)got[1], (double)got[2]);
    CHECK(got[3] == 0 && signbit(got[3]), "%g", (double)got[3]);
    fla_arrow_memory_free(memory);
}

static void rounding_is_to_nearest_whatever_the_callers_mode(void)
{
    const int64_t big[] = {9007199254740993, -9007199254740993};
    const double want[] = {9007199254740992.0, -9007199254740992.0};
    const int modes[] = {FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    const int32_t offsets[] = {0, 2};
    for (size_t i = 0; i < N(modes); i++) {
        node list, values;
        make_node(&list, "+l", 1, 2, offsets, NULL);
        make_node(&values, "l", 2, 2, big, NULL);
        add_child(&list, "item", &values);
        fesetround(modes[i]);
        check_rows(&list, 1, 2, FLA_F64, true, want);
        CHECK(fegetround() == modes[i], "the caller's mode changed");
        fesetround(FE_TONEAREST);
    }
}

static void what_is_no_column_of_numbers_is_refused(void)
{
    const uint8_t validity[] = {0x5};
    fla_arrow_memory *memory;
    fla_matrix view;
    fla_error err = {0};
    node values, list;
    make_node(&values, "f", 3, 2, f32, NULL);
    values.buffers[0] = validity;
    CHECK(fla_arrow_import_numbers(&values.schema, &values.array, &memory, &view, &err) ==
              FLA_ERR_ROW,
          "a null passed");
    CHECK(err.row == 0 && err.column == 1, "row %lld, column %lld", (long long)err.row,
          (long long)err.column);
    values.schema.format = "u";
    CHECK(fla_arrow_import_numbers(&values.schema, &values.array, &memory, &view, &err) ==
              FLA_ERR_TYPE,
          "text passed");
    make_node(&values, "f", 3, 2, NULL, NULL);
    CHECK(fla_arrow_import_numbers(&values.schema, &values.array, &memory, &view, &err) ==
              FLA_ERR_ARROW,
          "no buffer passed");
    make_node(&list, "+l", 1, 2, i32, NULL);
    add_child(&list, "item", &values);
    CHECK(fla_arrow_import_numbers(&list.schema, &list.array, &memory, &view, &err) ==
              FLA_ERR_SHAPE,
          "lists passed");
    CHECK(values.released == 0 && list.released == 0, "released on failure");
}

/* ---- lists of other kinds -------------------------------------------------------- */

static const float counting[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
static const double want_counting[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};

static void fixed_size_lists_honour_every_offset(void)
{
    node list, values;
    make_node(&list, "+w:2", 3, 1, NULL, NULL);
    make_node(&values, "f", 6, 2, counting, NULL);
    add_child(&list, "item", &values);
    check_rows(&list, 3, 2, FLA_F32, false, want_counting);

    make_node(&list, "+w:2", 2, 1, NULL, NULL);
    list.array.offset = 3;
    make_node(&values, "f", 11, 2, counting, NULL);
    values.array.offset = 1;
    add_child(&list, "item", &values);
    check_rows(&list, 2, 2, FLA_F32, false, want_counting + 7);
}

static void fixed_size_lists_without_enough_values_are_refused(void)
{
    node list, values;
    for (size_t length = 0; length < 8; length++) {
        make_node(&list, "+w:2", 3, 1, NULL, NULL);
        list.array.offset = 1;
        make_node(&values, "f", length, 2, counting, NULL);
        add_child(&list, "item", &values);
        check_refused(&list, FLA_ERR_ARROW, -1, "needs more than the");
    }
    make_node(&list, "+w:2147483647", 1, 1, NULL, NULL);
    list.array.offset = INT64_MAX / 16 - 1;
    make_node(&values, "f", 8, 2, counting, NULL);
    add_child(&list, "item", &values);
    check_refused(&list, FLA_ERR_ARROW, -1, "needs more than the");
    make_node(&list, "+w:0", 1, 1, NULL, NULL);
    make_node(&values, "f", 0, 2, NULL, NULL);
    add_child(&list, "item", &values);
    check_refused(&list, FLA_ERR_ROW, 0, "row 0 is empty");
}

static void null_fixed_size_lists_are_refused(void)
{
    const uint8_t validity[] = {0x5};
    node list, values;
    make_node(&list, "+w:2", 3, 1, NULL, NULL);
    list.buffers[0] = validity;
    make_node(&values, "f", 6, 2, counting, NULL);
    add_child(&list, "item", &values);
    check_refused(&list, FLA_ERR_ROW, 1, "row 1 is null; 1 of 3");
}

/* Views of two values each at these places, 32 or 64-bit. */
static void make_views(node *list, node *values, bool large, const void *offsets,
                       const void *sizes)
{
    make_node(list, large ? "+vL" : "+vl", 3, 3, offsets, sizes);
    make_node(values, "f", 12, 2, counting, NULL);
    add_child(list, "item", values);
}

static void list_views_are_read_in_any_order(void)
{
    const int32_t in_order[] = {4, 6, 8}, apart[] = {8, 0, 3}, same[] = {4, 4, 4};
    const int32_t two[] = {2, 2, 2};
    const int64_t wide[] = {8, 0, 3}, wide_two[] = {2, 2, 2};
    const double want_apart[] = {8, 9, 0, 1, 3, 4}, want_same[] = {4, 5, 4, 5, 4, 5};
    node list, values;
    make_views(&list, &values, false, in_order, two);
    check_rows(&list, 3, 2, FLA_F32, false, want_counting + 4);
    make_views(&list, &values, false, apart, two);
    check_rows(&list, 3, 2, FLA_F32, true, want_apart);
    make_views(&list, &values, true, wide, wide_two);
    check_rows(&list, 3, 2, FLA_F32, true, want_apart);
    make_views(&list, &values, false, same, two);
    check_rows(&list, 3, 2, FLA_F32, true, want_same);
    make_views(&list, &values, false, apart, two);
    list.array.offset = 1;
    list.array.length = 2;
    check_rows(&list, 2, 2, FLA_F32, true, want_apart + 2);
}

static void list_views_outside_their_values_are_refused(void)
{
    const int32_t places[][2] = {
        {-1, 2}, {0, -1}, {11, 2}, {13, 0}, {INT32_MAX, INT32_MAX}};
    node list, values;
    for (size_t i = 0; i < N(places); i++) {
        const int32_t offsets[] = {0, places[i][0], 2}, sizes[] = {2, places[i][1], 2};
        make_views(&list, &values, false, offsets, sizes);
        check_refused(&list, FLA_ERR_ARROW, -1, "offsets of list 1 are");
    }
    const int64_t wide[] = {0, INT64_MAX, 2}, wide_sizes[] = {2, INT64_MAX, 2};
    make_views(&list, &values, true, wide, wide_sizes);
    check_refused(&list, FLA_ERR_ARROW, -1, "offsets of list 1 are");
    const int32_t good[] = {0, 2, 4};
    make_views(&list, &values, false, good, NULL);
    check_refused(&list, FLA_ERR_ARROW, -1, "3 rows but no sizes");
    make_views(&list, &values, false, good, good);
    list.array.n_buffers = 2;
    check_refused(&list, FLA_ERR_ARROW, -1, "must have 3 buffers");
}

static void places_of_null_views_do_not_matter(void)
{
    const int32_t offsets[] = {0, -77, 2}, sizes[] = {2, 99, 2};
    const uint8_t validity[] = {0x5};
    node list, values;
    make_views(&list, &values, false, offsets, sizes);
    list.buffers[0] = validity;
    check_refused(&list, FLA_ERR_ROW, 1, "row 1 is null; 1 of 3");
}

/* ---- dictionaries ---------------------------------------------------------------- */

static const int32_t pairs_of_values[] = {0, 2, 4, 6};
static const double want_picked[] = {4, 5, 0, 1, 0, 1, 4, 5};

/* Four rows that are named by indices of a dictionary of three lists of two. */
static void make_encoded_rows(node *indices, node *lists, node *values,
                              const char *format, const void *index)
{
    make_node(indices, format, 4, 2, index, NULL);
    make_node(lists, "+l", 3, 2, pairs_of_values, NULL);
    make_node(values, "f", 6, 2, counting, NULL);
    add_child(lists, "item", values);
    set_dictionary(indices, lists);
}

static void rows_by_dictionary_are_read_with_any_index_type(void)
{
    const int8_t a[] = {2, 0, 0, 2};
    const uint8_t b[] = {2, 0, 0, 2};
    const int16_t c[] = {2, 0, 0, 2};
    const uint16_t d[] = {2, 0, 0, 2};
    const int32_t e[] = {2, 0, 0, 2};
    const uint32_t f[] = {2, 0, 0, 2};
    const int64_t g[] = {2, 0, 0, 2};
    const uint64_t h[] = {2, 0, 0, 2};
    const char *const formats[] = {"c", "C", "s", "S", "i", "I", "l", "L"};
    const void *const indices[] = {a, b, c, d, e, f, g, h};
    node index, lists, values;
    for (size_t i = 0; i < N(formats); i++) {
        make_encoded_rows(&index, &lists, &values, formats[i], indices[i]);
        check_rows(&index, 4, 2, FLA_F32, true, want_picked);
    }
    make_encoded_rows(&index, &lists, &values, "i", e);
    index.array.offset = 1;
    index.array.length = 3;
    check_rows(&index, 3, 2, FLA_F32, true, want_picked + 2);
}

static void numbers_by_dictionary_are_read(void)
{
    const int8_t index[] = {3, 0, 1, 2};
    const double dictionary[] = {99, -2, 7, 3, 3};
    const int32_t offsets[] = {0, 2, 4};
    const double want_rows[] = {3, -2, 7, 3};
    node list, values, items;
    make_node(&list, "+l", 2, 2, offsets, NULL);
    make_node(&values, "c", 4, 2, index, NULL);
    make_node(&items, "g", 4, 2, dictionary, NULL);
    items.array.offset = 1;
    set_dictionary(&values, &items);
    add_child(&list, "item", &values);
    check_rows(&list, 2, 2, FLA_F64, true, want_rows);
}

static void indices_outside_a_dictionary_are_refused(void)
{
    const int8_t beyond[] = {0, 3, 0, 0}, negative[] = {0, -1, 0, 0};
    const uint64_t huge[] = {0, UINT64_MAX, 0, 0};
    node index, lists, values;
    make_encoded_rows(&index, &lists, &values, "c", beyond);
    check_refused(&index, FLA_ERR_ARROW, -1, "index of element 1 is outside");
    make_encoded_rows(&index, &lists, &values, "c", negative);
    check_refused(&index, FLA_ERR_ARROW, -1, "outside its dictionary of 3");
    make_encoded_rows(&index, &lists, &values, "L", huge);
    check_refused(&index, FLA_ERR_ARROW, -1, "outside its dictionary of 3");
    make_encoded_rows(&index, &lists, &values, "c", NULL);
    check_refused(&index, FLA_ERR_ARROW, -1, "indices of a dictionary have no buffer");
    make_encoded_rows(&index, &lists, &values, "c", beyond);
    index.array.dictionary = NULL;
    check_refused(&index, FLA_ERR_ARROW, -1, "list array is missing");
    make_encoded_rows(&index, &lists, &values, "f", beyond);
    check_refused(&index, FLA_ERR_TYPE, -1, "dictionary-encoded");
    make_encoded_rows(&index, &lists, &values, "c", beyond);
    lists.schema.dictionary = &values.schema;
    check_refused(&index, FLA_ERR_TYPE, -1, "dictionary-encoded");

    const int32_t offsets[] = {0, 4};
    node list, items;
    make_node(&list, "+l", 1, 2, offsets, NULL);
    make_node(&values, "c", 4, 2, beyond, NULL);
    make_node(&items, "g", 3, 2, f64, NULL);
    set_dictionary(&values, &items);
    add_child(&list, "item", &values);
    check_refused(&list, FLA_ERR_ARROW, -1, "index of element 1 is outside");
}

static void nulls_behind_a_dictionary_are_nulls(void)
{
    const int8_t indices[] = {0, 1, 2, 77};
    const uint8_t first_three[] = {0x7}, without_the_second[] = {0xd};
    node index, lists, values;
    make_encoded_rows(&index, &lists, &values, "c", indices);
    index.buffers[0] = first_three;
    check_refused(&index, FLA_ERR_ROW, 3, "row 3 is null; 1 of 4");
    make_encoded_rows(&index, &lists, &values, "c", indices);
    index.array.length = 3;
    lists.buffers[0] = without_the_second;
    check_refused(&index, FLA_ERR_ROW, 1, "row 1 is null; 1 of 3");

    const int32_t offsets[] = {0, 2, 4};
    node list, items;
    make_node(&list, "+l", 2, 2, offsets, NULL);
    make_node(&values, "c", 4, 2, indices, NULL);
    values.buffers[0] = first_three;
    make_node(&items, "g", 3, 2, f64, NULL);
    set_dictionary(&values, &items);
    add_child(&list, "item", &values);
    check_refused(&list, FLA_ERR_ROW, 1, "holds a null at position 1");
}

/* ---- memory ---------------------------------------------------------------------- */

static void failing_allocations_leave_rows_apart_as_they_were(void)
{
    const int32_t apart[] = {8, 0, 3}, two[] = {2, 2, 2};
    for (long budget = 0; budget < 4; budget++) {
        fla_arrow_memory *memory = NULL;
        fla_matrix view;
        node list, values;
        make_views(&list, &values, false, apart, two);
        fla_test_alloc_budget(budget, true);
        const fla_status status =
            fla_arrow_import_rows(&list.schema, &list.array, 0, &memory, &view, NULL);
        fla_test_alloc_budget(-1, false);
        CHECK(status == (budget < 3 ? FLA_ERR_MEMORY : FLA_OK), "budget %ld: %s", budget,
              fla_status_name(status));
        CHECK(list.released == (status == FLA_OK), "released %d times", list.released);
        fla_arrow_memory_free(memory);
        CHECK(fla_test_alloc_live() == 0, "a leak");
    }
}

int main(void)
{
    RUN(every_number_type_becomes_the_float_that_holds_it);
    RUN(numbers_are_one_row);
    RUN(half_floats_that_are_not_finite_stay_so);
    RUN(rounding_is_to_nearest_whatever_the_callers_mode);
    RUN(what_is_no_column_of_numbers_is_refused);
    RUN(fixed_size_lists_honour_every_offset);
    RUN(fixed_size_lists_without_enough_values_are_refused);
    RUN(null_fixed_size_lists_are_refused);
    RUN(list_views_are_read_in_any_order);
    RUN(list_views_outside_their_values_are_refused);
    RUN(places_of_null_views_do_not_matter);
    RUN(rows_by_dictionary_are_read_with_any_index_type);
    RUN(numbers_by_dictionary_are_read);
    RUN(indices_outside_a_dictionary_are_refused);
    RUN(nulls_behind_a_dictionary_are_nulls);
    RUN(failing_allocations_leave_rows_apart_as_they_were);
    return check_report();
}
