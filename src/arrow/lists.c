/* Arrow's list types: where the numbers of a row are. */
#include "arrow/lists.h"

#include "arrow/numbers.h"
#include "base/alloc.h"
#include "base/error.h"

#include <inttypes.h>
#include <string.h>

/* The width of "+w:<width>"; false when that is not what the format is. */
static bool read_width(const char *format, size_t *width)
{
    if (strncmp(format, "+w:", 3) != 0 || format[3] == '\0')
        return false;
    *width = 0;
    for (const char *digit = format + 3; *digit != '\0'; digit++) {
        if (*digit < '0' || *digit > '9' || *width > INT32_MAX)
            return false;
        *width = 10 * *width + (size_t)(*digit - '0');
    }
    return *width <= INT32_MAX;
}

static char list_kind(const char *format, size_t *width)
{
    static const struct {
        const char *format;
        char kind;
    } kinds[] = {{"+l", 'l'}, {"+L", 'L'}, {"+vl", 'v'}, {"+vL", 'V'}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(format, kinds[i].format) == 0)
            return kinds[i].kind;
    return read_width(format, width) ? 'w' : 0;
}

bool fla_lists_type(const struct ArrowSchema *schema, fla_lists *out)
{
    const struct ArrowSchema *list = fla_elements_schema(schema);
    out->kind = list_kind(fla_schema_format(list), &out->width);
    if (out->kind == 0 || list->n_children != 1)
        return false;
    const struct ArrowSchema *value = fla_elements_schema(fla_schema_child(list, 0));
    out->type = fla_number_type(fla_schema_format(value));
    return out->type != 0;
}

fla_status fla_lists_read(const struct ArrowSchema *schema,
                          const struct ArrowArray *array, fla_lists *out, fla_error *err)
{
    const int64_t n_buffers = out->kind == 'w'                       ? 1
                              : out->kind == 'v' || out->kind == 'V' ? 3
                                                                     : 2;
    const fla_array_shape list = {"rows", "list array", n_buffers, 1, false};
    const fla_array_shape values = {"rows", "values of the lists", 2, 0, false};
    const struct ArrowArray *lists;
    fla_status status = fla_elements_read(schema, array, list, &out->rows, &lists, err);
    if (status == FLA_OK)
        status = fla_elements_read(fla_schema_child(fla_elements_schema(schema), 0),
                                   lists->children[0], values, &out->values, NULL, err);
    if (status != FLA_OK)
        return status;
    const fla_layout *items = &out->rows.items;
    if (items->length > 0 && ((n_buffers > 1 && items->data == NULL) ||
                              (n_buffers > 2 && items->more == NULL)))
        return fla_fail_argument(
            err, FLA_ERR_ARROW, "rows", "the Arrow list array has %zu rows but no %s",
            items->length, items->data == NULL ? "offsets" : "sizes");
    return FLA_OK;
}

/* Number i of a buffer of offsets or sizes. */
static int64_t read_number(const fla_lists *lists, const unsigned char *buffer, size_t i)
{
    const char type = lists->kind == 'l' || lists->kind == 'v' ? 'i' : 'l';
    return (int64_t)fla_integer_at(type, buffer, i);
}

static fla_status fail_list(const fla_lists *lists, size_t row, int64_t start,
                            const char *joint, int64_t end, fla_error *err)
{
    return fla_fail_argument(err, FLA_ERR_ARROW, "rows",
                             "the Arrow offsets of list %zu are %" PRId64 " %s %" PRId64
                             "; they must ascend within %zu values",
                             row, start, joint, end, lists->values.slots.length);
}

static fla_status find_by_width(const fla_lists *lists, size_t row, size_t item,
                                size_t *start, size_t *length, fla_error *err)
{
    size_t end;
    const size_t at = lists->rows.items.offset + item, n = lists->values.slots.length;
    if (!fla_size_mul(at + 1, lists->width, &end) || end > n)
        return fla_fail_argument(err, FLA_ERR_ARROW, "rows",
                                 "the Arrow list %zu of %zu values needs more than the "
                                 "%zu values there are",
                                 row, lists->width, n);
    *start = end - lists->width;
    *length = lists->width;
    return FLA_OK;
}

static fla_status find_by_offsets(const fla_lists *lists, size_t row, size_t item,
                                  size_t *start, size_t *length, fla_error *err)
{
    const fla_layout *items = &lists->rows.items;
    const size_t at = items->offset + item;
    const uint64_t n = lists->values.slots.length;
    const int64_t first = read_number(lists, items->data, at);
    if (lists->kind == 'v' || lists->kind == 'V') {
        const int64_t size = read_number(lists, items->more, at);
        if ((uint64_t)first > n || (uint64_t)size > n - (uint64_t)first) /* or negative */
            return fail_list(lists, row, first, "and its size", size, err);
        *length = (size_t)size;
    } else {
        const int64_t end = read_number(lists, items->data, at + 1);
        if (first < 0 || end < first || (uint64_t)end > n)
            return fail_list(lists, row, first, "to", end, err);
        *length = (size_t)(end - first);
    }
    *start = (size_t)first;
    return FLA_OK;
}

fla_status fla_list_at(const fla_lists *lists, size_t row, bool *null, size_t *start,
                       size_t *length, fla_error *err)
{
    size_t item;
    const fla_found found = fla_element_find(&lists->rows, row, &item);
    *null = found == FLA_FOUND_NULL;
    if (*null)
        return FLA_OK;
    if (found == FLA_FOUND_NOTHING)
        return fla_element_fail(&lists->rows, "rows", row, err);
    if (lists->kind == 'w')
        return find_by_width(lists, row, item, start, length, err);
    return find_by_offsets(lists, row, item, start, length, err);
}
