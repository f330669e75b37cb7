/* Arrow in: a column of vectors viewed as rows, and a column of numbers as one row. */
#include "arrow/faults.h"
#include "arrow/lists.h"
#include "arrow/memory.h"
#include "arrow/numbers.h"
#include "arrow/vectors.h"
#include "base/alloc.h"

#include <inttypes.h>
#include <string.h>

static size_t size_of(fla_dtype dtype)
{
    return dtype == FLA_F32 ? sizeof(float) : sizeof(double);
}

/* ---- lists --------------------------------------------------------------------- */

/*
 * Where the rows of lists turned out to lie: one after the other from begin, or where
 * starts says.  Every place was read once and is within the values.
 */
typedef struct list_rows {
    fla_lists lists;
    size_t begin, dim;
    size_t *starts; /* NULL while rows follow each other */
} list_rows;

/* Remember where row i starts. */
static fla_status place_row(list_rows *own, size_t i, size_t start, fla_error *err)
{
    if (own->starts == NULL) {
        if (i == 0)
            own->begin = start;
        if (start == own->begin + i * own->dim)
            return FLA_OK;
        own->starts = fla_alloc(own->lists.rows.slots.length, sizeof *own->starts);
        if (own->starts == NULL)
            return fla_fail_memory(err, "where the rows of an Arrow column start");
        for (size_t before = 0; before < i; before++)
            own->starts[before] = own->begin + before * own->dim;
    }
    own->starts[i] = start;
    return FLA_OK;
}

/* The first row that is neither null nor empty gives the dimension. */
static fla_status scan_row(list_rows *own, size_t i, fla_row_faults *faults,
                           fla_error *err)
{
    bool null;
    size_t start = 0, length = 0, hole = 0;
    fla_status status = fla_list_at(&own->lists, i, &null, &start, &length, err);
    if (status != FLA_OK)
        return status;
    if (null || length == 0) {
        fla_row_fault(faults, i, -1, "is %s", null ? "null" : "empty");
        return FLA_OK;
    }
    if (own->dim == 0)
        own->dim = length;
    if (length != own->dim) {
        fla_row_fault(faults, i, -1, "has %zu elements, the rows before have %zu", length,
                      own->dim);
        return FLA_OK;
    }
    status =
        fla_elements_first_null(&own->lists.values, "rows", start, length, &hole, err);
    if (status == FLA_OK && hole < length)
        fla_row_fault(faults, i, (int64_t)hole, "holds a null at position %zu", hole);
    if (status == FLA_OK && faults->count == 0)
        status = place_row(own, i, start, err);
    return status;
}

static fla_status scan_rows(list_rows *own, int64_t first_row, fla_error *err)
{
    const size_t n = own->lists.rows.slots.length;
    fla_row_faults faults = {0};
    fla_status status = FLA_OK;
    for (size_t i = 0; i < n && status == FLA_OK; i++)
        status = scan_row(own, i, &faults, err);
    if (status == FLA_OK)
        status = fla_row_faults_status(&faults, n, first_row, err);
    if (status == FLA_OK && n > 0 && own->lists.values.items.data == NULL)
        status = fla_fail_argument(err, FLA_ERR_ARROW, "rows",
                                   "the Arrow values of the lists have no buffer");
    return status;
}

/* ---- numbers where they are, or copied ------------------------------------------- */

/* The numbers from start, if they can be viewed: plain floats that are aligned. */
static const void *in_place(const fla_elements *numbers, char type, size_t start)
{
    const size_t size = fla_number_size(type);
    const unsigned char *data =
        numbers->items.data + (numbers->items.offset + start) * size;
    const bool viewable = numbers->index == 0 && (type == 'f' || type == 'g');
    return viewable && (uintptr_t)data % size == 0 ? data : NULL;
}

static fla_status copy_rows(const list_rows *own, fla_arrow_memory *memory,
                            fla_matrix *view, fla_error *err)
{
    const fla_lists *lists = &own->lists;
    const size_t n = view->rows, dim = own->dim, size = size_of(view->dtype);
    size_t count;
    unsigned char *copy = NULL;
    if (fla_size_mul(n, dim, &count))
        copy = fla_arrow_memory_copy(memory, count, size, false);
    if (copy == NULL)
        return fla_fail_memory(err, "a copy of an Arrow column");
    view->data = copy;
    if (own->starts == NULL) {
        fla_elements_convert(&lists->values, lists->type, own->begin, count, copy);
        return FLA_OK;
    }
    for (size_t i = 0; i < n; i++)
        fla_elements_convert(&lists->values, lists->type, own->starts[i], dim,
                             copy + i * dim * size);
    return FLA_OK;
}

static fla_status read_lists(const struct ArrowSchema *schema,
                             const struct ArrowArray *array, int64_t first_row,
                             fla_arrow_memory *memory, fla_matrix *view, fla_error *err)
{
    list_rows own = {0};
    fla_lists_type(schema, &own.lists); /* check_type said yes */
    fla_status status = fla_lists_read(schema, array, &own.lists, err);
    if (status == FLA_OK)
        status = scan_rows(&own, first_row, err);
    if (status == FLA_OK) {
        view->rows = own.lists.rows.slots.length;
        view->dim = own.dim;
        view->dtype = fla_number_target(own.lists.type);
        if (view->rows > 0 && own.starts == NULL)
            view->data = in_place(&own.lists.values, own.lists.type, own.begin);
        if (view->rows > 0 && view->data == NULL)
            status = copy_rows(&own, memory, view, err);
    }
    fla_free(own.starts);
    return status;
}

/* ---- imports ------------------------------------------------------------------- */

static fla_status fail_type(const struct ArrowSchema *schema, const char *argument,
                            const char *wanted, fla_error *err)
{
    const bool encoded = schema != NULL && schema->dictionary != NULL;
    const struct ArrowSchema *item = encoded ? schema->dictionary : schema;
    const char *value = "";
    if (item != NULL && item->n_children == 1)
        value = fla_schema_format(fla_schema_child(item, 0));
    return fla_fail_argument(
        err, FLA_ERR_TYPE, argument,
        "an Arrow column of %sformat \"%.24s\"%s%.24s%s cannot be read; wanted: %s",
        encoded ? "dictionary-encoded " : "", fla_schema_format(item),
        value[0] != '\0' ? " of \"" : "", value, value[0] != '\0' ? "\"" : "", wanted);
}

static char number_type(const struct ArrowSchema *schema)
{
    return fla_number_type(fla_schema_format(fla_elements_schema(schema)));
}

static fla_status check_rows(const struct ArrowSchema *schema, int64_t length,
                             int64_t first_row, fla_error *err)
{
    fla_lists lists;
    if (number_type(schema) != 0)
        return fla_fail_argument(err, FLA_ERR_SHAPE, "rows",
                                 "wanted a list of numbers a row, got an Arrow column of "
                                 "one number a row: for one vector pass a column of one "
                                 "list");
    if (!fla_vectors_type(schema) && !fla_lists_type(schema, &lists))
        return fail_type(schema, "rows",
                         "lists of floats or integers (list, large_list, fixed_size_list "
                         "or a list view) or Spark's vectors",
                         err);
    if (first_row < 0 || (length > 0 && first_row > INT64_MAX - length))
        return fla_fail_argument(
            err, FLA_ERR_ARGUMENT, "first_row",
            "first_row must be at least 0 and leave room for %" PRId64
            " rows in int64, got %" PRId64,
            length, first_row);
    return FLA_OK;
}

/* Hand over what was read, or throw it away. */
static fla_status finish(fla_status status, fla_arrow_memory *memory, bool kept,
                         struct ArrowArray *array, const fla_matrix *read,
                         fla_arrow_memory **out, fla_matrix *view)
{
    if (status != FLA_OK) {
        fla_arrow_memory_free(memory);
        return status;
    }
    fla_arrow_memory_take(memory, array, kept);
    *view = *read;
    view->row_stride_bytes = (ptrdiff_t)(read->dim * size_of(read->dtype));
    *out = memory;
    return FLA_OK;
}

fla_status fla_arrow_import_rows(const struct ArrowSchema *schema,
                                 struct ArrowArray *array, int64_t first_row,
                                 fla_arrow_memory **out, fla_matrix *view, fla_error *err)
{
    fla_matrix read = {.first_row = first_row};
    *out = NULL;
    fla_status status = check_rows(schema, array->length, first_row, err);
    if (status != FLA_OK)
        return status;
    fla_arrow_memory *memory = fla_arrow_memory_new();
    if (memory == NULL)
        return fla_fail_memory(err, "an Arrow column");
    if (fla_vectors_type(schema))
        status = fla_vectors_read(schema, array, first_row, memory, &read, err);
    else
        status = read_lists(schema, array, first_row, memory, &read, err);
    const bool kept = !fla_arrow_memory_copied(memory);
    return finish(status, memory, kept, array, &read, out, view);
}

/* Read a column of numbers of a known type. */
static fla_status read_numbers(const struct ArrowSchema *schema,
                               const struct ArrowArray *array, char type,
                               fla_arrow_memory *memory, fla_matrix *view, fla_error *err)
{
    const fla_array_shape want = {"numbers", "array of numbers", 2, 0, false};
    fla_elements numbers;
    size_t hole = 0;
    fla_status status = fla_elements_read(schema, array, want, &numbers, NULL, err);
    const size_t n = numbers.slots.length;
    if (status == FLA_OK)
        status = fla_elements_first_null(&numbers, "numbers", 0, n, &hole, err);
    if (status != FLA_OK)
        return status;
    if (hole < n)
        return fla_fail_row(err, FLA_ERR_ROW, "numbers", 0, (int64_t)hole, 1,
                            "element %zu is null", hole);
    view->dim = n;
    if (n == 0)
        return FLA_OK;
    if (numbers.items.data == NULL)
        return fla_fail_argument(err, FLA_ERR_ARROW, "numbers",
                                 "the Arrow numbers have no buffer");
    view->data = in_place(&numbers, type, 0);
    if (view->data != NULL)
        return FLA_OK;
    void *copy = fla_arrow_memory_copy(memory, n, size_of(view->dtype), false);
    if (copy == NULL)
        return fla_fail_memory(err, "a copy of an Arrow column");
    fla_elements_convert(&numbers, type, 0, n, copy);
    view->data = copy;
    return FLA_OK;
}

fla_status fla_arrow_import_numbers(const struct ArrowSchema *schema,
                                    struct ArrowArray *array, fla_arrow_memory **out,
                                    fla_matrix *view, fla_error *err)
{
    fla_lists lists;
    const char type = number_type(schema);
    fla_matrix read = {.rows = 1, .dtype = type != 0 ? fla_number_target(type) : FLA_F64};
    *out = NULL;
    if (type == 0 && fla_lists_type(schema, &lists))
        return fla_fail_argument(err, FLA_ERR_SHAPE, "numbers",
                                 "wanted one number a row, got an Arrow column of lists");
    if (type == 0)
        return fail_type(schema, "numbers", "floats or integers", err);
    fla_arrow_memory *memory = fla_arrow_memory_new();
    if (memory == NULL)
        return fla_fail_memory(err, "an Arrow column");
    const fla_status status = read_numbers(schema, array, type, memory, &read, err);
    const bool kept = !fla_arrow_memory_copied(memory);
    return finish(status, memory, kept, array, &read, out, view);
}
