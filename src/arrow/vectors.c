/*
 * Spark ML's vectors: a struct of type, size, indices and values, as VectorUDT stores
 * them.  A dense one (type 1) has its values only; a sparse one (type 0) has its size,
 * and as many indices as values.
 */
#include "arrow/vectors.h"

#include "arrow/faults.h"
#include "arrow/lists.h"
#include "arrow/numbers.h"
#include "base/alloc.h"

#include <inttypes.h>
#include <string.h>

enum { TYPE, SIZE, INDICES, VALUES, FIELDS };
enum { SPARSE = 0, DENSE = 1 };

typedef struct vectors {
    fla_layout rows, fields[INDICES]; /* of type and size */
    fla_lists indices, values;
    fla_matrix *view; /* its dim is 0 until a good row says it */
} vectors;

static bool is_field(const struct ArrowSchema *field, const char *name,
                     const char *format)
{
    return field != NULL && field->name != NULL && strcmp(field->name, name) == 0 &&
           field->dictionary == NULL && strcmp(fla_schema_format(field), format) == 0;
}

static bool is_list_field(const struct ArrowSchema *field, const char *name, char type)
{
    fla_lists lists;
    return field != NULL && field->name != NULL && strcmp(field->name, name) == 0 &&
           field->dictionary == NULL && fla_lists_type(field, &lists) &&
           lists.type == type && fla_schema_child(field, 0)->dictionary == NULL;
}

bool fla_vectors_type(const struct ArrowSchema *schema)
{
    return strcmp(fla_schema_format(schema), "+s") == 0 && schema->dictionary == NULL &&
           schema->n_children == FIELDS && schema->children != NULL &&
           is_field(schema->children[TYPE], "type", "c") &&
           is_field(schema->children[SIZE], "size", "i") &&
           is_list_field(schema->children[INDICES], "indices", 'i') &&
           is_list_field(schema->children[VALUES], "values", 'g');
}

/* A field must have an element for each of the struct's, its offset included. */
static fla_status check_length(const vectors *own, const fla_layout *field,
                               const char *name, fla_error *err)
{
    const size_t needed = own->rows.offset + own->rows.length;
    if (field->length >= needed)
        return FLA_OK;
    return fla_fail_argument(err, FLA_ERR_ARROW, "rows",
                             "the Arrow field \"%s\" has %zu elements, its struct needs "
                             "%zu",
                             name, field->length, needed);
}

static fla_status read_field(vectors *own, const struct ArrowArray *array, int i,
                             const char *name, fla_error *err)
{
    const fla_array_shape want = {"rows", "field of a vector", 2, 0, false};
    fla_layout *field = &own->fields[i];
    fla_status status = fla_layout_read(array->children[i], want, field, err);
    if (status == FLA_OK)
        status = check_length(own, field, name, err);
    if (status == FLA_OK && own->rows.length > 0 && field->data == NULL)
        status = fla_fail_argument(err, FLA_ERR_ARROW, "rows",
                                   "the Arrow field \"%s\" has no buffer", name);
    return status;
}

static fla_status read_list_field(vectors *own, const struct ArrowSchema *schema,
                                  const struct ArrowArray *array, int i, fla_lists *field,
                                  const char *name, fla_error *err)
{
    fla_lists_type(schema->children[i], field); /* fla_vectors_type said yes */
    fla_status status =
        fla_lists_read(schema->children[i], array->children[i], field, err);
    if (status == FLA_OK)
        status = check_length(own, &field->rows.slots, name, err);
    if (status == FLA_OK && field->values.slots.length > 0 &&
        field->values.slots.data == NULL)
        status =
            fla_fail_argument(err, FLA_ERR_ARROW, "rows",
                              "the Arrow values of field \"%s\" have no buffer", name);
    return status;
}

static fla_status read_fields(vectors *own, const struct ArrowSchema *schema,
                              const struct ArrowArray *array, fla_error *err)
{
    const fla_array_shape want = {"rows", "struct of vectors", 1, FIELDS, false};
    fla_status status = fla_layout_read(array, want, &own->rows, err);
    if (status == FLA_OK)
        status = read_field(own, array, TYPE, "type", err);
    if (status == FLA_OK)
        status = read_field(own, array, SIZE, "size", err);
    if (status == FLA_OK)
        status =
            read_list_field(own, schema, array, INDICES, &own->indices, "indices", err);
    if (status == FLA_OK)
        status = read_list_field(own, schema, array, VALUES, &own->values, "values", err);
    return status;
}

/* The integer of row i in a field; false when it is null. */
static bool number_of(const vectors *own, int field, size_t i, int64_t *out)
{
    const fla_layout *layout = &own->fields[field];
    const size_t at = own->rows.offset + i;
    if (fla_layout_first_null(layout, at, 1) == 0)
        return false;
    *out = (int64_t)fla_integer_at(field == TYPE ? 'c' : 'i', layout->data,
                                   layout->offset + at);
    return true;
}

/* One row: what is in it, where. */
typedef struct vector {
    bool dense;
    size_t dim;
    size_t values, indices, count; /* where they start, how many there are of each */
} vector;

/* Find the parts of row i; a fault is counted, and then the row has no dimension. */
static fla_status find_vector(const vectors *own, size_t i, vector *out,
                              fla_row_faults *faults, fla_error *err)
{
    const size_t at = own->rows.offset + i;
    int64_t type, size = 0;
    bool no_values, no_indices = false;
    size_t n_indices = 0;
    *out = (vector){0};
    if (fla_layout_first_null(&own->rows, i, 1) == 0 || !number_of(own, TYPE, i, &type)) {
        fla_row_fault(faults, i, -1, "is null");
        return FLA_OK;
    }
    fla_status status =
        fla_list_at(&own->values, at, &no_values, &out->values, &out->count, err);
    if (status == FLA_OK && type == SPARSE)
        status =
            fla_list_at(&own->indices, at, &no_indices, &out->indices, &n_indices, err);
    if (status != FLA_OK)
        return status;
    out->dense = type == DENSE;
    if (type != DENSE && type != SPARSE)
        fla_row_fault(faults, i, -1,
                      "is of type %" PRId64 ", neither sparse (0) nor dense (1)", type);
    else if (no_values || no_indices)
        fla_row_fault(faults, i, -1, "has no %s", no_values ? "values" : "indices");
    else if (type == SPARSE && (!number_of(own, SIZE, i, &size) || size < 0))
        fla_row_fault(faults, i, -1, "is sparse without a size");
    else if (type == SPARSE && n_indices != out->count)
        fla_row_fault(faults, i, -1, "has %zu indices and %zu values", n_indices,
                      out->count);
    else if ((out->dim = type == DENSE ? out->count : (size_t)size) == 0)
        fla_row_fault(faults, i, -1, "is empty");
    return FLA_OK;
}

/* Write a sparse row's values to their places, which must ascend within the row. */
static void scatter(const vectors *own, size_t i, const vector *row, double *out,
                    fla_row_faults *faults)
{
    const fla_layout *indices = &own->indices.values.slots;
    int64_t before = -1;
    if (fla_layout_first_null(indices, row->indices, row->count) < row->count) {
        fla_row_fault(faults, i, -1, "has a null index");
        return;
    }
    for (size_t k = 0; k < row->count; k++) {
        const int64_t index = (int64_t)fla_integer_at('i', indices->data,
                                                      indices->offset + row->indices + k);
        if (index <= before || index >= (int64_t)row->dim) {
            fla_row_fault(faults, i, -1,
                          "has index %" PRId64 " after %" PRId64
                          "; they must ascend within %zu",
                          index, before, row->dim);
            return;
        }
        fla_elements_convert(&own->values.values, 'g', row->values + k, 1, out + index);
        before = index;
    }
}

/* Find row i, and hold its dimension against that of the first good row. */
static fla_status scan_vector(const vectors *own, size_t i, vector *row,
                              fla_row_faults *faults, fla_error *err)
{
    const fla_status status = find_vector(own, i, row, faults, err);
    if (status != FLA_OK || row->dim == 0)
        return status;
    if (own->view->dim == 0)
        own->view->dim = row->dim;
    if (row->dim == own->view->dim)
        return FLA_OK;
    fla_row_fault(faults, i, -1, "has %zu elements, the rows before have %zu", row->dim,
                  own->view->dim);
    row->dim = 0;
    return FLA_OK;
}

/* Write row i, found anew: should it change meanwhile, it is at fault then. */
static fla_status write_vector(const vectors *own, size_t i, double *out,
                               fla_row_faults *faults, fla_error *err)
{
    vector row;
    const fla_status status = scan_vector(own, i, &row, faults, err);
    if (status != FLA_OK || row.dim == 0)
        return status;
    const size_t null =
        fla_layout_first_null(&own->values.values.slots, row.values, row.count);
    if (null < row.count)
        fla_row_fault(faults, i, row.dense ? (int64_t)null : -1,
                      "holds a null at position %zu", null);
    else if (row.dense)
        fla_elements_convert(&own->values.values, 'g', row.values, row.count, out);
    else
        scatter(own, i, &row, out, faults);
    return FLA_OK;
}

/* The dimensions of all rows are known before there is memory for any. */
static fla_status read_vectors(const vectors *own, int64_t first_row,
                               fla_arrow_memory *memory, fla_error *err)
{
    const size_t n = own->rows.length;
    fla_row_faults faults = {0};
    fla_status status = FLA_OK;
    size_t count;
    double *out = NULL;
    for (size_t i = 0; i < n && status == FLA_OK; i++) {
        vector row;
        status = scan_vector(own, i, &row, &faults, err);
    }
    if (status == FLA_OK)
        status = fla_row_faults_status(&faults, n, first_row, err);
    if (status != FLA_OK || n == 0)
        return status;
    if (fla_size_mul(n, own->view->dim, &count))
        out = fla_arrow_memory_copy(memory, count, sizeof *out, true);
    if (out == NULL)
        return fla_fail_memory(err, "dense rows of Spark vectors");
    own->view->data = out;
    for (size_t i = 0; i < n && status == FLA_OK; i++)
        status = write_vector(own, i, out + i * own->view->dim, &faults, err);
    if (status == FLA_OK)
        status = fla_row_faults_status(&faults, n, first_row, err);
    return status;
}

fla_status fla_vectors_read(const struct ArrowSchema *schema,
                            const struct ArrowArray *array, int64_t first_row,
                            fla_arrow_memory *memory, fla_matrix *view, fla_error *err)
{
    vectors own = {.view = view};
    const fla_status status = read_fields(&own, schema, array, err);
    if (status != FLA_OK)
        return status;
    view->rows = own.rows.length;
    view->dtype = FLA_F64;
    return read_vectors(&own, first_row, memory, err);
}
