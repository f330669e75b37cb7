/* Elements of an Arrow array, which may be named by the indices of a dictionary. */
#include "arrow/elements.h"

#include "arrow/numbers.h"
#include "base/error.h"

const struct ArrowSchema *fla_elements_schema(const struct ArrowSchema *schema)
{
    if (schema == NULL || schema->dictionary == NULL)
        return schema;
    if (!fla_number_is_integer(fla_number_type(fla_schema_format(schema))) ||
        schema->dictionary->dictionary != NULL)
        return NULL;
    return schema->dictionary;
}

fla_status fla_elements_read(const struct ArrowSchema *schema,
                             const struct ArrowArray *array, fla_array_shape items,
                             fla_elements *out, const struct ArrowArray **item_of,
                             fla_error *err)
{
    const fla_array_shape indices = {items.argument, "indices of a dictionary", 2, 0,
                                     false};
    out->index = 0;
    if (schema->dictionary != NULL) {
        const fla_status status = fla_layout_read(array, indices, &out->slots, err);
        if (status != FLA_OK)
            return status;
        if (out->slots.length > 0 && out->slots.data == NULL)
            return fla_fail_argument(err, FLA_ERR_ARROW, items.argument,
                                     "the Arrow indices of a dictionary have no buffer");
        out->index = fla_number_type(fla_schema_format(schema));
        array = array->dictionary;
    }
    if (item_of != NULL)
        *item_of = array;
    const fla_status status = fla_layout_read(array, items, &out->items, err);
    if (out->index == 0)
        out->slots = out->items;
    return status;
}

fla_found fla_element_find(const fla_elements *elements, size_t i, size_t *item)
{
    const fla_layout *slots = &elements->slots, *items = &elements->items;
    *item = i;
    if (fla_layout_first_null(slots, i, 1) == 0)
        return FLA_FOUND_NULL;
    if (elements->index == 0)
        return FLA_FOUND;
    const uint64_t index =
        fla_integer_at(elements->index, slots->data, slots->offset + i);
    if (index >= items->length)
        return FLA_FOUND_NOTHING;
    *item = (size_t)index;
    return fla_layout_first_null(items, *item, 1) == 0 ? FLA_FOUND_NULL : FLA_FOUND;
}

fla_status fla_element_fail(const fla_elements *elements, const char *argument, size_t i,
                            fla_error *err)
{
    return fla_fail_argument(err, FLA_ERR_ARROW, argument,
                             "the Arrow index of element %zu is outside its dictionary "
                             "of %zu",
                             i, elements->items.length);
}

fla_status fla_elements_first_null(const fla_elements *elements, const char *argument,
                                   size_t start, size_t count, size_t *null,
                                   fla_error *err)
{
    if (elements->index == 0) {
        *null = fla_layout_first_null(&elements->slots, start, count);
        return FLA_OK;
    }
    for (*null = 0; *null < count; ++*null) {
        size_t item;
        const fla_found found = fla_element_find(elements, start + *null, &item);
        if (found == FLA_FOUND_NOTHING)
            return fla_element_fail(elements, argument, start + *null, err);
        if (found == FLA_FOUND_NULL)
            break;
    }
    return FLA_OK;
}

void fla_elements_convert(const fla_elements *elements, char type, size_t start,
                          size_t count, void *out)
{
    const fla_layout *items = &elements->items;
    const size_t size = fla_number_size(type);
    if (elements->index == 0) {
        fla_numbers_convert(type, items->data + (items->offset + start) * size, count,
                            out);
        return;
    }
    const size_t wide =
        fla_number_target(type) == FLA_F32 ? sizeof(float) : sizeof(double);
    for (size_t i = 0; i < count; i++) {
        size_t item;
        if (fla_element_find(elements, start + i, &item) == FLA_FOUND_NOTHING)
            item = 0;
        fla_numbers_convert(type, items->data + (items->offset + item) * size, 1,
                            (unsigned char *)out + i * wide);
    }
}
