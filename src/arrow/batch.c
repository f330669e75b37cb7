/* Arrow in: a column out of a record batch. */
#include "arrow/layout.h"
#include "base/error.h"

#include <inttypes.h>
#include <string.h>

static fla_status check_batch(const struct ArrowSchema *schema,
                              const struct ArrowArray *array, size_t column,
                              fla_layout *batch, fla_error *err)
{
    if (strcmp(fla_schema_format(schema), "+s") != 0)
        return fla_fail(err, FLA_ERR_ARROW,
                        "a record batch is wanted, which is a struct (\"+s\"), got Arrow "
                        "format \"%.40s\"",
                        fla_schema_format(schema));
    const fla_array_shape want = {NULL, "record batch", 1, schema->n_children, false};
    const fla_status status = fla_layout_read(array, want, batch, err);
    if (status != FLA_OK)
        return status;
    const size_t null = fla_layout_first_null(batch, 0, batch->length);
    if (null < batch->length)
        return fla_fail(err, FLA_ERR_ARROW,
                        "row %zu of the record batch is null as a whole: remove it, or "
                        "make its columns null instead",
                        null);
    if (column >= (uint64_t)schema->n_children)
        return fla_fail(err, FLA_ERR_ARROW,
                        "column %zu is wanted, the record batch has %" PRId64, column,
                        schema->n_children);
    return FLA_OK;
}

fla_status fla_arrow_take_column(const struct ArrowSchema *schema,
                                 struct ArrowArray *array, size_t column,
                                 struct ArrowArray *out, fla_error *err)
{
    fla_layout batch;
    const fla_status status = check_batch(schema, array, column, &batch, err);
    if (status != FLA_OK)
        return status;
    struct ArrowArray *child = array->children[column];
    if (child == NULL || child->release == NULL)
        return fla_fail(err, FLA_ERR_ARROW, "column %zu was taken before", column);
    if (child->length < 0 || child->offset < 0 ||
        child->offset > INT64_MAX - child->length ||
        batch.offset + batch.length > (uint64_t)child->length)
        return fla_fail(err, FLA_ERR_ARROW,
                        "column %zu has length %" PRId64 " at offset %" PRId64
                        ", the record batch has %zu rows at offset %zu",
                        column, child->length, child->offset, batch.length, batch.offset);
    *out = *child; /* the column moves here; a NULL release marks the place it left */
    child->release = NULL;
    if (batch.length != (uint64_t)out->length && out->null_count > 0)
        out->null_count = -1; /* the count was that of the whole column */
    out->offset += (int64_t)batch.offset;
    out->length = (int64_t)batch.length;
    return FLA_OK;
}
