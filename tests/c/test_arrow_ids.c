/* Ids out of Arrow columns: integers, strings and binaries, by hand-made arrays. */
#include "arrow_made.h"
#include "base/alloc.h"
#include "check.h"

#include <stdint.h>
#include <string.h>

#define N(array) (sizeof(array) / sizeof(array)[0])

static void check_refused(node *column, fla_status want, int64_t row, const char *text)
{
    fla_arrow_memory *memory = NULL;
    fla_ids ids;
    fla_error err = {0};
    const fla_status status =
        fla_arrow_import_ids(&column->schema, &column->array, &memory, &ids, &err);
    CHECK(status == want, "want %s, got %s: %s", fla_status_name(want),
          fla_status_name(status), err.message);
    CHECK(strstr(err.message, text) != NULL, "want \"%s\" in \"%s\"", text, err.message);
    CHECK(err.row == row, "row %lld", (long long)err.row);
    CHECK(memory == NULL && column->released == 0 && fla_test_alloc_live() == 0,
          "something is left, or the column was released");
}

/* Texts of a column must be these, which lie where the column is. */
static void check_texts(node *column, size_t n, fla_ids_kind kind,
                        const char *const *want)
{
    fla_arrow_memory *memory = NULL;
    fla_ids ids = {0};
    fla_error err = {0};
    if (!CHECK(fla_arrow_import_ids(&column->schema, &column->array, &memory, &ids,
                                    &err) == FLA_OK,
               "refused: %s", err.message))
        return;
    CHECK(ids.count == n && ids.kind == kind && ids.integers == NULL, "%zu of kind %d",
          ids.count, (int)ids.kind);
    for (size_t i = 0; i < n; i++)
        CHECK(ids.texts[i].size == strlen(want[i]) &&
                  memcmp(ids.texts[i].data, want[i], ids.texts[i].size) == 0,
              "text %zu is \"%.*s\", want \"%s\"", i, (int)ids.texts[i].size,
              ids.texts[i].data, want[i]);
    CHECK(column->released == 0, "released while in use");
    fla_arrow_memory_free(memory);
    CHECK(column->released == 1 && fla_test_alloc_live() == 0, "released %d times",
          column->released);
}

/* ---- integers -------------------------------------------------------------------- */

static void integers_of_every_width_are_widened(void)
{
    const int8_t a[] = {9, -128, 127};
    const uint8_t b[] = {9, 0, 255};
    const int16_t c[] = {9, -32768, 32767};
    const uint16_t d[] = {9, 0, 65535};
    const int32_t e[] = {9, INT32_MIN, INT32_MAX};
    const uint32_t f[] = {9, 0, UINT32_MAX};
    const int64_t g[] = {9, INT64_MIN, INT64_MAX};
    const struct {
        const char *format;
        const void *data;
        int64_t want[2];
    } cases[] = {
        {"c", a, {-128, 127}},
        {"C", b, {0, 255}},
        {"s", c, {-32768, 32767}},
        {"S", d, {0, 65535}},
        {"i", e, {INT32_MIN, INT32_MAX}},
        {"I", f, {0, UINT32_MAX}},
        {"l", g, {INT64_MIN, INT64_MAX}},
    };
    for (size_t i = 0; i < N(cases); i++) {
        fla_arrow_memory *memory = NULL;
        fla_ids ids = {0};
        node column;
        make_node(&column, cases[i].format, 2, 2, cases[i].data, NULL);
        column.array.offset = 1;
        CHECK(fla_arrow_import_ids(&column.schema, &column.array, &memory, &ids, NULL) ==
                  FLA_OK,
              "%s refused", cases[i].format);
        CHECK(ids.kind == FLA_IDS_INT64 && ids.count == 2 && ids.texts == NULL, "kind %d",
              (int)ids.kind);
        CHECK(memcmp(ids.integers, cases[i].want, sizeof cases[i].want) == 0, "%s differ",
              cases[i].format);
        CHECK(column.released == 1, "a copy keeps the column");
        fla_arrow_memory_free(memory);
    }
}

static void uint64_ids_stay_unsigned(void)
{
    const uint64_t want[] = {0, UINT64_MAX, UINT64_C(1) << 63};
    fla_arrow_memory *memory = NULL;
    fla_ids ids = {0};
    node column;
    make_node(&column, "L", 3, 2, want, NULL);
    CHECK(fla_arrow_import_ids(&column.schema, &column.array, &memory, &ids, NULL) ==
              FLA_OK,
          "refused");
    CHECK(ids.kind == FLA_IDS_UINT64 && memcmp(ids.integers, want, sizeof want) == 0,
          "kind %d, or the numbers differ", (int)ids.kind);
    fla_arrow_memory_free(memory);
}

/* ---- texts ----------------------------------------------------------------------- */

static const char letters[] = "xxabcdefg";
static const char *const want_letters[] = {"ab", "", "cdefg"};

static void texts_between_offsets_are_found(void)
{
    const int32_t narrow[] = {0, 2, 4, 4, 9};
    const int64_t wide[] = {0, 2, 4, 4, 9};
    const char *const formats[] = {"u", "z", "U", "Z"};
    for (size_t i = 0; i < N(formats); i++) {
        node column;
        const void *offsets = i < 2 ? (const void *)narrow : wide;
        make_node(&column, formats[i], 3, 3, offsets, letters);
        column.array.offset = 1;
        check_texts(&column, 3, i % 2 == 0 ? FLA_IDS_TEXT : FLA_IDS_BYTES, want_letters);
    }
    node empty;
    make_node(&empty, "u", 0, 3, NULL, NULL);
    check_texts(&empty, 0, FLA_IDS_TEXT, NULL);
    const int32_t nothing[] = {0, 0, 0};
    make_node(&empty, "u", 2, 3, nothing, NULL);
    check_texts(&empty, 2, FLA_IDS_TEXT, (const char *const[]){"", ""});
}

static void texts_outside_their_offsets_are_refused(void)
{
    const int32_t wrong[][4] = {{0, 2, 1, 3}, {-1, 2, 3, 4}, {0, 5, 5, 4}, {0, 9, 4, 4}};
    node column;
    for (size_t i = 0; i < N(wrong); i++) {
        make_node(&column, "u", 3, 3, wrong[i], letters);
        check_refused(&column, FLA_ERR_ARROW, -1, "lies outside its buffers");
    }
    const int32_t good[] = {0, 1, 2, 3};
    make_node(&column, "u", 3, 3, good, NULL);
    check_refused(&column, FLA_ERR_ARROW, -1, "lies outside its buffers");
    make_node(&column, "u", 3, 3, NULL, letters);
    check_refused(&column, FLA_ERR_ARROW, -1, "have no offsets");
    make_node(&column, "u", 3, 2, good, letters);
    check_refused(&column, FLA_ERR_ARROW, -1, "must have 3 buffers");
}

typedef struct string_view {
    int32_t length;
    union {
        char text[12];
        struct {
            char prefix[4];
            int32_t buffer, offset;
        } far;
    } at;
} string_view;

static const char far_away[] = "..a text of more than twelve bytes";

/* Texts of 2 and 12 bytes in the views themselves, and one in the second buffer. */
static void make_views(node *column, string_view *views, int64_t *sizes)
{
    memset(views, 0, 4 * sizeof *views);
    views[1].length = 2;
    memcpy(views[1].at.text, "ab", 2);
    views[2].length = 12;
    memcpy(views[2].at.text, "twelve bytes", 12);
    views[3].length = 32;
    memcpy(views[3].at.far.prefix, "a te", 4);
    views[3].at.far.buffer = 1;
    views[3].at.far.offset = 2;
    sizes[0] = 1;
    sizes[1] = (int64_t)sizeof far_away - 1;
    make_node(column, "vu", 3, 5, views, letters);
    column->array.offset = 1;
    column->buffers[3] = far_away;
    column->buffers[4] = sizes;
}

static void views_of_texts_are_found(void)
{
    static const char *const want[] = {"ab", "twelve bytes", far_away + 2};
    string_view views[4];
    int64_t sizes[2];
    node column;
    make_views(&column, views, sizes);
    check_texts(&column, 3, FLA_IDS_TEXT, want);
    make_views(&column, views, sizes);
    column.schema.format = "vz";
    check_texts(&column, 3, FLA_IDS_BYTES, want);
    make_views(&column, views, sizes);
    column.array.length = 2;
    column.array.n_buffers = 3;
    check_texts(&column, 2, FLA_IDS_TEXT, want);
}

static void views_outside_their_buffers_are_refused(void)
{
    const struct {
        int32_t length, buffer, offset;
    } wrong[] = {{-1, 1, 2}, {32, -1, 2},       {32, 2, 2},  {32, INT32_MAX, 2},
                 {33, 1, 2}, {32, 1, 3},        {32, 1, -1}, {INT32_MAX, 1, 2},
                 {32, 0, 0}, {32, 1, INT32_MAX}};
    string_view views[4];
    int64_t sizes[2];
    node column;
    for (size_t i = 0; i < N(wrong); i++) {
        make_views(&column, views, sizes);
        views[3].length = wrong[i].length;
        views[3].at.far.buffer = wrong[i].buffer;
        views[3].at.far.offset = wrong[i].offset;
        check_refused(&column, FLA_ERR_ARROW, -1, "text 2 of the Arrow column lies");
    }
    make_views(&column, views, sizes);
    column.buffers[4] = NULL;
    check_refused(&column, FLA_ERR_ARROW, -1, "text 2 of the Arrow column lies");
    make_views(&column, views, sizes);
    column.buffers[3] = NULL;
    check_refused(&column, FLA_ERR_ARROW, -1, "text 2 of the Arrow column lies");
    make_views(&column, views, sizes);
    column.array.n_buffers = 2;
    check_refused(&column, FLA_ERR_ARROW, -1, "must have at least 3 buffers");
    make_views(&column, views, sizes);
    column.buffers[1] = NULL;
    check_refused(&column, FLA_ERR_ARROW, -1, "have no");
}

/* ---- dictionaries, nulls, types -------------------------------------------------- */

static void ids_by_dictionary_are_found(void)
{
    const int32_t offsets[] = {0, 2, 4, 4, 9};
    const uint8_t index[] = {3, 1, 1, 2};
    static const char *const want[] = {"cdefg", "ab", "ab", ""};
    node column, texts;
    make_node(&column, "C", 4, 2, index, NULL);
    make_node(&texts, "u", 4, 3, offsets, letters);
    set_dictionary(&column, &texts);
    check_texts(&column, 4, FLA_IDS_TEXT, want);
    const uint8_t beyond[] = {3, 4, 1, 2};
    make_node(&column, "C", 4, 2, beyond, NULL);
    make_node(&texts, "u", 4, 3, offsets, letters);
    set_dictionary(&column, &texts);
    check_refused(&column, FLA_ERR_ARROW, -1, "element 1 is outside its dictionary of 4");
    const int32_t too_long[] = {0, 5, 4, 4}; /* the first text ends behind the last */
    const uint8_t first[] = {0};
    make_node(&column, "C", 1, 2, first, NULL);
    make_node(&texts, "u", 3, 3, too_long, letters);
    set_dictionary(&column, &texts);
    check_refused(&column, FLA_ERR_ARROW, -1, "text 0 of the Arrow column lies outside");
}

static void null_ids_are_refused_with_their_position(void)
{
    const int64_t ids[] = {1, 2, 3, 4};
    const uint8_t validity[] = {0x6};
    node column;
    make_node(&column, "l", 3, 2, ids, NULL);
    column.buffers[0] = validity;
    column.array.offset = 1;
    check_refused(&column, FLA_ERR_ROW, 2, "element 2 is null");
}

static void what_is_no_id_is_refused(void)
{
    static const char *const formats[] = {"f", "g", "e", "b", "+l", "+s", "tdD", "n", ""};
    const int64_t ids[] = {1, 2, 3};
    node column;
    for (size_t i = 0; i < N(formats); i++) {
        make_node(&column, formats[i], 3, 2, ids, NULL);
        check_refused(&column, FLA_ERR_TYPE, -1, "wanted: integers, strings or binaries");
    }
    make_node(&column, "l", 3, 2, NULL, NULL);
    check_refused(&column, FLA_ERR_ARROW, -1, "have no buffer");
}

static void failing_allocations_leave_the_ids_as_they_were(void)
{
    const int64_t numbers[] = {1, 2, 3};
    for (long budget = 0; budget < 3; budget++) {
        fla_arrow_memory *memory = NULL;
        fla_ids ids;
        node column;
        make_node(&column, "l", 3, 2, numbers, NULL);
        fla_test_alloc_budget(budget, true);
        const fla_status status =
            fla_arrow_import_ids(&column.schema, &column.array, &memory, &ids, NULL);
        fla_test_alloc_budget(-1, false);
        CHECK(status == (budget < 2 ? FLA_ERR_MEMORY : FLA_OK), "budget %ld: %s", budget,
              fla_status_name(status));
        CHECK(column.released == (status == FLA_OK), "released %d", column.released);
        fla_arrow_memory_free(memory);
        CHECK(fla_test_alloc_live() == 0, "a leak");
    }
}

int main(void)
{
    RUN(integers_of_every_width_are_widened);
    RUN(uint64_ids_stay_unsigned);
    RUN(texts_between_offsets_are_found);
    RUN(texts_outside_their_offsets_are_refused);
    RUN(views_of_texts_are_found);
    RUN(views_outside_their_buffers_are_refused);
    RUN(ids_by_dictionary_are_found);
    RUN(null_ids_are_refused_with_their_position);
    RUN(what_is_no_id_is_refused);
    RUN(failing_allocations_leave_the_ids_as_they_were);
    return check_report();
}
