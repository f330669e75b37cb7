/* One Arrow array's sizes and buffers, read once and checked against each other. */
#include "arrow/layout.h"

#include "base/error.h"

#include <inttypes.h>

/* The widest element is a string view. */
#define WIDEST 16

static fla_status check_counts(const struct ArrowArray *array, fla_array_shape want,
                               int64_t n_buffers, fla_error *err)
{
    const int64_t n_children = array->n_children;
    const bool too_few = n_buffers < want.n_buffers;
    if (too_few || (n_buffers > want.n_buffers && !want.more_buffers) ||
        n_children != want.n_children)
        return fla_fail_argument(err, FLA_ERR_ARROW, want.argument,
                                 "the Arrow %s must have %s%" PRId64
                                 " buffers and "
                                 "%" PRId64 " children, got %" PRId64 " and %" PRId64,
                                 want.what, want.more_buffers ? "at least " : "",
                                 want.n_buffers, want.n_children, n_buffers, n_children);
    if (array->buffers == NULL || (n_children > 0 && array->children == NULL))
        return fla_fail_argument(err, FLA_ERR_ARROW, want.argument,
                                 "the Arrow %s has no list of its %s", want.what,
                                 array->buffers == NULL ? "buffers" : "children");
    return FLA_OK;
}

fla_status fla_layout_read(const struct ArrowArray *array, fla_array_shape want,
                           fla_layout *out, fla_error *err)
{
    if (array == NULL || array->release == NULL)
        return fla_fail_argument(
            err, FLA_ERR_ARROW, want.argument, "the Arrow %s %s", want.what,
            array == NULL ? "is missing" : "was released or moved before");
    const int64_t length = array->length, offset = array->offset;
    const int64_t n_buffers = array->n_buffers;
    if (length < 0 || offset < 0 || offset > INT64_MAX - length ||
        (uint64_t)(offset + length) > SIZE_MAX / WIDEST)
        return fla_fail_argument(err, FLA_ERR_ARROW, want.argument,
                                 "the Arrow %s has length %" PRId64 " at offset %" PRId64
                                 ", which is beyond any memory",
                                 want.what, length, offset);
    const fla_status status = check_counts(array, want, n_buffers, err);
    if (status != FLA_OK)
        return status;
    out->offset = (size_t)offset;
    out->length = (size_t)length;
    out->buffers = array->buffers;
    out->n_buffers = (size_t)n_buffers;
    out->validity = array->buffers[0];
    out->data = n_buffers > 1 ? array->buffers[1] : NULL;
    out->more = n_buffers > 2 ? array->buffers[2] : NULL;
    if (out->validity == NULL && array->null_count > 0)
        return fla_fail_argument(err, FLA_ERR_ARROW, want.argument,
                                 "the Arrow %s counts %" PRId64
                                 " nulls but has no validity bitmap",
                                 want.what, array->null_count);
    return FLA_OK;
}

size_t fla_layout_first_null(const fla_layout *array, size_t start, size_t count)
{
    const uint8_t *validity = array->validity;
    if (validity == NULL)
        return count;
    size_t i = 0;
    while (i < count) {
        const size_t bit = array->offset + start + i;
        if (bit % 8 == 0 && count - i >= 8 && validity[bit / 8] == 0xff)
            i += 8;
        else if ((validity[bit / 8] >> bit % 8 & 1) != 0)
            i++;
        else
            break;
    }
    return i;
}

const char *fla_schema_format(const struct ArrowSchema *schema)
{
    if (schema == NULL || schema->release == NULL || schema->format == NULL)
        return "";
    return schema->format;
}

const struct ArrowSchema *fla_schema_child(const struct ArrowSchema *schema, size_t i)
{
    return schema->children != NULL ? schema->children[i] : NULL;
}
