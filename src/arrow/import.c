/* Arrow in: a column out of a record batch, and an embedding column viewed as rows. */
#include "base/alloc.h"
#include "base/error.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- layout -------------------------------------------------------------------- */

/* One array's sizes and buffers, read once and checked against each other. */
typedef struct layout {
    size_t offset, length;     /* their sum, times 8 bytes, fits in memory */
    const uint8_t *validity;   /* a bit per element from 0, not from offset; or NULL */
    const unsigned char *data; /* the buffer after the validity bitmap; may be NULL */
} layout;

/* What an array of one type consists of. */
typedef struct shape {
    const char *argument; /* what errors blame; may be NULL */
    const char *what;
    int64_t n_buffers, n_children;
} shape;

static fla_status read_layout(const struct ArrowArray *array, shape want, layout *out,
                              fla_error *err)
{
    const int64_t length = array->length, offset = array->offset;
    const int64_t n_buffers = array->n_buffers, n_children = array->n_children;
    if (array->release == NULL)
        return fla_fail_argument(err, FLA_ERR_ARROW, want.argument,
                                 "the Arrow %s was released or moved before", want.what);
    if (length < 0 || offset < 0 || offset > INT64_MAX - length ||
        (uint64_t)(offset + length) > SIZE_MAX / sizeof(double))
        return fla_fail_argument(err, FLA_ERR_ARROW, want.argument,
                                 "the Arrow %s has length %" PRId64 " at offset %" PRId64
                                 ", which is beyond any memory",
                                 want.what, length, offset);
    if (n_buffers != want.n_buffers || n_children != want.n_children)
        return fla_fail_argument(err, FLA_ERR_ARROW, want.argument,
                                 "the Arrow %s must have %" PRId64 " buffers and %" PRId64
                                 " children, got %" PRId64 " and %" PRId64,
                                 want.what, want.n_buffers, want.n_children, n_buffers,
                                 n_children);
    if (array->buffers == NULL || (n_children > 0 && array->children == NULL))
        return fla_fail_argument(err, FLA_ERR_ARROW, want.argument,
                                 "the Arrow %s has no list of its %s", want.what,
                                 array->buffers == NULL ? "buffers" : "children");
    out->offset = (size_t)offset;
    out->length = (size_t)length;
    out->validity = array->buffers[0];
    out->data = n_buffers > 1 ? array->buffers[1] : NULL;
    if (out->validity == NULL && array->null_count > 0)
        return fla_fail_argument(err, FLA_ERR_ARROW, want.argument,
                                 "the Arrow %s counts %" PRId64
                                 " nulls but has no validity bitmap",
                                 want.what, array->null_count);
    return FLA_OK;
}

/* Position of the first null among count elements from start; count: there is none. */
static size_t first_null(const layout *array, size_t start, size_t count)
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

static const char *format_of(const struct ArrowSchema *schema)
{
    if (schema == NULL || schema->release == NULL || schema->format == NULL)
        return "";
    return schema->format;
}

/* ---- a column of a batch ------------------------------------------------------- */

static fla_status check_batch(const struct ArrowSchema *schema,
                              const struct ArrowArray *array, size_t column,
                              layout *batch, fla_error *err)
{
    if (strcmp(format_of(schema), "+s") != 0)
        return fla_fail(err, FLA_ERR_ARROW,
                        "a record batch is wanted, which is a struct (\"+s\"), got Arrow "
                        "format \"%.40s\"",
                        format_of(schema));
    const shape want = {NULL, "record batch", 1, schema->n_children};
    const fla_status status = read_layout(array, want, batch, err);
    if (status != FLA_OK)
        return status;
    const size_t null = first_null(batch, 0, batch->length);
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
    layout batch;
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

/* ---- rows ---------------------------------------------------------------------- */

struct fla_arrow_rows {
    struct ArrowArray array;
    void *copy; /* of values that were not aligned; else NULL */
};

/* A list column, and where its rows turned out to lie. */
typedef struct list_column {
    layout rows, values;
    bool large; /* offsets are int64 */
    fla_dtype dtype;
    size_t begin; /* the first row's first value */
    size_t dim;
} list_column;

typedef enum row_fault {
    ROW_GOOD,
    ROW_NULL,
    ROW_EMPTY,
    ROW_RAGGED,
    ROW_HOLDS_NULL
} row_fault;

/* The first row at fault. */
typedef struct bad_row {
    row_fault fault;
    size_t row, length, null;
    size_t count; /* of all rows at fault */
} bad_row;

static fla_status read_type(const struct ArrowSchema *schema, list_column *column,
                            fla_error *err)
{
    const char *format = format_of(schema), *element = "";
    column->large = strcmp(format, "+L") == 0;
    if ((column->large || strcmp(format, "+l") == 0) && schema->n_children == 1 &&
        schema->children != NULL)
        element = format_of(schema->children[0]);
    column->dtype = strcmp(element, "f") == 0 ? FLA_F32 : FLA_F64;
    if (column->dtype == FLA_F32 || strcmp(element, "g") == 0)
        return FLA_OK;
    return fla_fail_argument(
        err, FLA_ERR_ARROW, "rows",
        "a column of Arrow format \"%.30s\"%s%.30s%s cannot be read; "
        "list or large_list of float32 or float64 is supported "
        "(\"+l\" or \"+L\" of \"f\" or \"g\"): cast the column",
        format, element[0] ? " of \"" : "", element, element[0] ? "\"" : "");
}

static fla_status read_layouts(const struct ArrowArray *array, list_column *column,
                               fla_error *err)
{
    const shape list = {"rows", "list array", 2, 1};
    const shape values = {"rows", "values of the lists", 2, 0};
    fla_status status = read_layout(array, list, &column->rows, err);
    if (status != FLA_OK)
        return status;
    const struct ArrowArray *child = array->children[0];
    if (child == NULL)
        return fla_fail_argument(err, FLA_ERR_ARROW, "rows",
                                 "the Arrow list array has no values array");
    status = read_layout(child, values, &column->values, err);
    if (status == FLA_OK && column->rows.length > 0 && column->rows.data == NULL)
        status = fla_fail_argument(err, FLA_ERR_ARROW, "rows",
                                   "the Arrow list array has %zu rows but no offsets",
                                   column->rows.length);
    return status;
}

/* Where row i's values start, or row i - 1's end. */
static int64_t read_offset(const list_column *column, size_t i)
{
    int32_t narrow;
    int64_t wide;
    const size_t at = column->rows.offset + i;
    if (column->large) {
        memcpy(&wide, column->rows.data + at * sizeof wide, sizeof wide);
        return wide;
    }
    memcpy(&narrow, column->rows.data + at * sizeof narrow, sizeof narrow);
    return narrow;
}

/* The first row that is neither null nor empty gives the dimension. */
static row_fault check_row(list_column *column, size_t row, size_t start, size_t length,
                           size_t *null)
{
    if (first_null(&column->rows, row, 1) == 0)
        return ROW_NULL;
    if (length == 0)
        return ROW_EMPTY;
    if (column->dim == 0)
        column->dim = length;
    if (length != column->dim)
        return ROW_RAGGED;
    *null = first_null(&column->values, start, length);
    return *null < length ? ROW_HOLDS_NULL : ROW_GOOD;
}

/*
 * One pass that reads every offset once.  Rows of one length that follow each other
 * within the values need no second look: row i starts at begin + i * dim.
 */
static fla_status scan_rows(list_column *column, bad_row *bad, fla_error *err)
{
    int64_t start = read_offset(column, 0);
    column->begin = (size_t)start;
    for (size_t i = 0; i < column->rows.length; i++) {
        const int64_t end = read_offset(column, i + 1);
        if (start < 0 || end < start || (uint64_t)end > column->values.length)
            return fla_fail_argument(err, FLA_ERR_ARROW, "rows",
                                     "the Arrow offsets of list %zu are %" PRId64
                                     " to %" PRId64
                                     "; they must ascend within %zu values",
                                     i, start, end, column->values.length);
        size_t null = 0;
        const size_t length = (size_t)(end - start);
        const row_fault fault = check_row(column, i, (size_t)start, length, &null);
        if (fault != ROW_GOOD && bad->count++ == 0) {
            bad->fault = fault;
            bad->row = i;
            bad->length = length;
            bad->null = null;
        }
        start = end;
    }
    return FLA_OK;
}

static fla_status fail_row(const list_column *column, const bad_row *bad,
                           int64_t first_row, fla_error *err)
{
    char what[96] = "is null";
    const int64_t row = first_row + (int64_t)bad->row;
    const bool holds_null = bad->fault == ROW_HOLDS_NULL;
    if (bad->fault == ROW_EMPTY)
        snprintf(what, sizeof what, "is empty");
    else if (bad->fault == ROW_RAGGED)
        snprintf(what, sizeof what, "has %zu elements, the rows before have %zu",
                 bad->length, column->dim);
    else if (holds_null)
        snprintf(what, sizeof what, "holds a null at position %zu", bad->null);
    return fla_fail_row(err, FLA_ERR_ROW, "rows", row,
                        holds_null ? (int64_t)bad->null : -1, (int64_t)bad->count,
                        "row %" PRId64
                        " %s; %zu of %zu rows are null, empty, of "
                        "another length or hold a null: remove or repair them",
                        row, what, bad->count, column->rows.length);
}

/* Check all that the view will rely on. */
static fla_status check_column(const struct ArrowSchema *schema,
                               const struct ArrowArray *array, int64_t first_row,
                               list_column *column, fla_error *err)
{
    bad_row bad = {0};
    fla_status status = read_type(schema, column, err);
    if (status == FLA_OK)
        status = read_layouts(array, column, err);
    if (status != FLA_OK || column->rows.length == 0)
        return status;
    if (first_row < 0 || first_row > INT64_MAX - (int64_t)column->rows.length)
        return fla_fail_argument(err, FLA_ERR_ARGUMENT, "first_row",
                                 "first_row must be at least 0 and leave room for %zu "
                                 "rows in int64, got %" PRId64,
                                 column->rows.length, first_row);
    status = scan_rows(column, &bad, err);
    if (status != FLA_OK)
        return status;
    if (bad.count > 0)
        return fail_row(column, &bad, first_row, err);
    if (column->values.data == NULL)
        return fla_fail_argument(err, FLA_ERR_ARROW, "rows",
                                 "the Arrow values of the lists have no buffer");
    return FLA_OK;
}

fla_status fla_arrow_import_rows(const struct ArrowSchema *schema,
                                 struct ArrowArray *array, int64_t first_row,
                                 fla_arrow_rows **out, fla_matrix *view, fla_error *err)
{
    list_column column = {0};
    *out = NULL;
    const fla_status status = check_column(schema, array, first_row, &column, err);
    if (status != FLA_OK)
        return status;
    const size_t size = column.dtype == FLA_F32 ? sizeof(float) : sizeof(double);
    const size_t n = column.rows.length, dim = column.dim;
    const void *data = NULL;
    if (n > 0)
        data = column.values.data + (column.values.offset + column.begin) * size;
    fla_arrow_rows *rows = fla_alloc_zeroed(1, sizeof *rows);
    if (rows == NULL)
        return fla_fail_memory(err, "an Arrow column");
    if ((uintptr_t)data % size != 0) {
        rows->copy = fla_alloc(n * dim, size);
        if (rows->copy == NULL) {
            fla_free(rows);
            return fla_fail_memory(err, "an aligned copy of an Arrow column");
        }
        data = memcpy(rows->copy, data, n * dim * size);
    }
    rows->array = *array; /* ownership passes here */
    array->release = NULL;
    *view = (fla_matrix){data, n, dim, (ptrdiff_t)(dim * size), first_row, column.dtype};
    *out = rows;
    return FLA_OK;
}

void fla_arrow_rows_free(fla_arrow_rows *rows)
{
    if (rows == NULL)
        return;
    rows->array.release(&rows->array);
    fla_free(rows->copy);
    fla_free(rows);
}
