/* Arrow in: a column of ids, integers or texts. */
#include "arrow/elements.h"
#include "arrow/memory.h"
#include "arrow/numbers.h"
#include "base/alloc.h"
#include "base/error.h"

#include <inttypes.h>
#include <string.h>

/* A column's type: a letter of integers, or how texts lie. */
typedef struct id_type {
    char integer; /* 0: texts */
    bool bytes;   /* no UTF-8 */
    char layout;  /* of texts: 'u' 32-bit offsets, 'U' 64-bit ones, 'v' views */
} id_type;

typedef struct id_column {
    fla_elements ids;
    id_type type;
    int64_t end; /* of texts between offsets: the last one, which alone says how long the
                    buffer is */
} id_column;

static bool read_type(const struct ArrowSchema *schema, id_type *out)
{
    static const struct {
        const char *format;
        id_type type;
    } texts[] = {
        {"u", {0, false, 'u'}}, {"U", {0, false, 'U'}}, {"vu", {0, false, 'v'}},
        {"z", {0, true, 'u'}},  {"Z", {0, true, 'U'}},  {"vz", {0, true, 'v'}},
    };
    const char *format = fla_schema_format(fla_elements_schema(schema));
    *out = (id_type){fla_number_type(format), false, 0};
    if (fla_number_is_integer(out->integer))
        return true;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (strcmp(format, texts[i].format) == 0) {
            *out = texts[i].type;
            return true;
        }
    return false;
}

static fla_array_shape shape_of(id_type type)
{
    fla_array_shape shape = {"ids", "ids", 3, 0, type.layout == 'v'};
    if (type.integer != 0)
        shape.n_buffers = 2;
    return shape;
}

/* ---- texts --------------------------------------------------------------------- */

static fla_status fail_text(size_t item, fla_error *err)
{
    return fla_fail_argument(err, FLA_ERR_ARROW, "ids",
                             "text %zu of the Arrow column lies outside its buffers",
                             item);
}

static int64_t offset_at(const id_column *column, size_t item)
{
    const fla_layout *items = &column->ids.items;
    const char type = column->type.layout == 'U' ? 'l' : 'i';
    return (int64_t)fla_integer_at(type, items->data, items->offset + item);
}

static fla_status find_by_offsets(const id_column *column, size_t item, fla_text *out,
                                  fla_error *err)
{
    const fla_layout *items = &column->ids.items;
    const int64_t start = offset_at(column, item), end = offset_at(column, item + 1);
    if (start < 0 || end < start || end > column->end ||
        (end > start && items->more == NULL))
        return fail_text(item, err);
    *out = (fla_text){"", (size_t)(end - start)};
    if (end > start)
        out->data = (const char *)items->more + start;
    return FLA_OK;
}

/*
 * A view of 16 bytes: a length, then up to 12 bytes of text, or 4 of them, a buffer's
 * number and an offset.  The last buffer has the sizes of those in the middle.
 */
static fla_status find_by_view(const fla_layout *items, size_t item, fla_text *out,
                               fla_error *err)
{
    enum { VIEW = 16, SHORT = 12, BEFORE = 2, NOT_DATA = 3 };
    int32_t parts[4];
    const unsigned char *view = items->data + (items->offset + item) * VIEW;
    memcpy(parts, view, sizeof parts);
    const int32_t length = parts[0], buffer = parts[2], offset = parts[3];
    if (length < 0)
        return fail_text(item, err);
    *out = (fla_text){(const char *)view + sizeof length, (size_t)length};
    if (length <= SHORT)
        return FLA_OK;
    const unsigned char *sizes = items->buffers[items->n_buffers - 1];
    if ((size_t)buffer >= items->n_buffers - NOT_DATA || offset < 0 || sizes == NULL)
        return fail_text(item, err);
    const int64_t size = (int64_t)fla_integer_at('l', sizes, (size_t)buffer);
    const char *data = items->buffers[BEFORE + buffer];
    if (data == NULL || (int64_t)offset + length > size)
        return fail_text(item, err);
    out->data = data + offset;
    return FLA_OK;
}

/* ---- the column ---------------------------------------------------------------- */

/* Write id i, which is not null, to its place in out. */
static fla_status read_id(const id_column *column, size_t i, size_t item, void *out,
                          fla_error *err)
{
    const fla_layout *items = &column->ids.items;
    const char integer = column->type.integer;
    fla_text *text = (fla_text *)out + i;
    if (column->type.layout == 'v')
        return find_by_view(items, item, text, err);
    if (integer == 0)
        return find_by_offsets(column, item, text, err);
    ((uint64_t *)out)[i] = fla_integer_at(integer, items->data, items->offset + item);
    return FLA_OK;
}

static fla_status read_ids(const id_column *column, void *out, fla_error *err)
{
    fla_status status = FLA_OK;
    for (size_t i = 0; i < column->ids.slots.length && status == FLA_OK; i++) {
        size_t item;
        const fla_found found = fla_element_find(&column->ids, i, &item);
        if (found == FLA_FOUND_NOTHING)
            return fla_element_fail(&column->ids, "ids", i, err);
        if (found == FLA_FOUND_NULL)
            return fla_fail_row(err, FLA_ERR_ROW, "ids", (int64_t)i, -1, 0,
                                "element %zu is null: every row needs an id", i);
        status = read_id(column, i, item, out, err);
    }
    return status;
}

static fla_status import_ids(const struct ArrowSchema *schema,
                             const struct ArrowArray *array, id_type type,
                             fla_arrow_memory *memory, fla_ids *view, fla_error *err)
{
    id_column column = {.type = type};
    const fla_layout *items = &column.ids.items;
    const bool integers = type.integer != 0;
    const fla_status status =
        fla_elements_read(schema, array, shape_of(type), &column.ids, NULL, err);
    if (status != FLA_OK)
        return status;
    if (items->length > 0 && items->data == NULL)
        return fla_fail_argument(err, FLA_ERR_ARROW, "ids", "the Arrow ids have no %s",
                                 integers ? "buffer" : "offsets");
    if (items->length > 0 && !integers && type.layout != 'v')
        column.end = offset_at(&column, items->length);
    const size_t n = column.ids.slots.length;
    void *copy = fla_arrow_memory_copy(
        memory, n, integers ? sizeof(uint64_t) : sizeof(fla_text), false);
    if (copy == NULL)
        return fla_fail_memory(err, "ids");
    view->count = n;
    view->kind = type.bytes ? FLA_IDS_BYTES : FLA_IDS_TEXT;
    if (integers)
        view->kind = type.integer == 'L' ? FLA_IDS_UINT64 : FLA_IDS_INT64;
    view->integers = integers ? copy : NULL;
    view->texts = integers ? NULL : copy;
    return read_ids(&column, copy, err);
}

fla_status fla_arrow_import_ids(const struct ArrowSchema *schema,
                                struct ArrowArray *array, fla_arrow_memory **out,
                                fla_ids *view, fla_error *err)
{
    id_type type;
    *out = NULL;
    if (!read_type(schema, &type))
        return fla_fail_argument(
            err, FLA_ERR_TYPE, "ids",
            "an Arrow column of format \"%.40s\" holds no ids; wanted: "
            "integers, strings or binaries",
            fla_schema_format(schema));
    fla_arrow_memory *memory = fla_arrow_memory_new();
    if (memory == NULL)
        return fla_fail_memory(err, "an Arrow column");
    const fla_status status = import_ids(schema, array, type, memory, view, err);
    if (status != FLA_OK) {
        fla_arrow_memory_free(memory);
        return status;
    }
    fla_arrow_memory_take(memory, array, type.integer == 0); /* texts point into it */
    *out = memory;
    return FLA_OK;
}
