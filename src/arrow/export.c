/* Arrow out: a record batch over values of the caller and columns passed through. */
#include "arrow/schema.h"
#include "base/alloc.h"
#include "base/error.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>

/* ---- arrays -------------------------------------------------------------------- */

/* The caller's values, shared by the arrays exported over them. */
typedef struct shared_values {
    atomic_size_t references;
    void (*release)(void *owner); /* NULL until the export has succeeded */
    void *owner;
} shared_values;

/*
 * An array's private data.  Its children, then pointers to them, follow in the same
 * block.  Children lie in it as structures only: one that was moved out lives on after
 * its parent.
 */
typedef struct array_block {
    shared_values *shared;
    int32_t *offsets;       /* of a list array; else NULL */
    const void *buffers[2]; /* no validity bitmap: we export no nulls */
} array_block;

static void drop_shared(shared_values *shared)
{
    if (atomic_fetch_sub(&shared->references, 1) > 1)
        return;
    if (shared->release != NULL)
        shared->release(shared->owner);
    fla_free(shared);
}

static void release_array(struct ArrowArray *array)
{
    array_block *block = array->private_data;
    for (int64_t i = 0; i < array->n_children; i++)
        if (array->children[i]->release != NULL)
            array->children[i]->release(array->children[i]);
    array->release = NULL;
    drop_shared(block->shared);
    fla_free(block->offsets);
    fla_free(block);
}

/* An array without nulls whose buffers and children are still empty. */
static bool make_array(shared_values *shared, size_t length, int64_t n_buffers,
                       size_t n_children, struct ArrowArray *out)
{
    const size_t child = sizeof(struct ArrowArray) + sizeof(struct ArrowArray *);
    size_t bytes;
    array_block *block = NULL;
    if (fla_size_mul(n_children, child, &bytes) &&
        fla_size_add(bytes, sizeof *block, &bytes))
        block = fla_alloc_zeroed(1, bytes);
    if (block == NULL)
        return false;
    struct ArrowArray *children = (struct ArrowArray *)(block + 1);
    struct ArrowArray **pointers = (struct ArrowArray **)(children + n_children);
    for (size_t i = 0; i < n_children; i++)
        pointers[i] = children + i;
    atomic_fetch_add(&shared->references, 1);
    block->shared = shared;
    *out = (struct ArrowArray){
        .length = (int64_t)length,
        .n_buffers = n_buffers,
        .n_children = (int64_t)n_children,
        .buffers = block->buffers,
        .children = pointers,
        .release = release_array,
        .private_data = block,
    };
    return true;
}

static bool make_values(shared_values *shared, const fla_arrow_column *column,
                        size_t length, struct ArrowArray *out)
{
    if (!make_array(shared, length, 2, 0, out))
        return false;
    out->buffers[1] = column->values;
    return true;
}

/* On failure out is as whole as it got; the caller releases its root. */
static bool make_lists(shared_values *shared, const fla_arrow_column *column, size_t rows,
                       struct ArrowArray *out)
{
    if (!make_array(shared, rows, 2, 1, out))
        return false;
    array_block *block = out->private_data;
    block->offsets = fla_alloc(rows + 1, sizeof *block->offsets);
    if (block->offsets == NULL)
        return false;
    for (size_t i = 0; i <= rows; i++)
        block->offsets[i] = (int32_t)(i * column->list_size);
    block->buffers[1] = block->offsets;
    return make_values(shared, column, rows * column->list_size, out->children[0]);
}

/* The whole tree, with the places of passed columns still empty. */
static bool make_batch(const fla_arrow_column *columns, size_t n_columns, size_t rows,
                       struct ArrowArray *out)
{
    shared_values *shared = fla_alloc_zeroed(1, sizeof *shared);
    if (shared == NULL)
        return false;
    if (!make_array(shared, rows, 1, n_columns, out)) {
        fla_free(shared);
        return false;
    }
    bool done = true;
    for (size_t i = 0; done && i < n_columns; i++) {
        const fla_arrow_column *column = &columns[i];
        if (column->array != NULL)
            continue;
        done = column->list_size == 0
                   ? make_values(shared, column, rows, out->children[i])
                   : make_lists(shared, column, rows, out->children[i]);
    }
    if (!done)
        release_array(out);
    return done;
}

/* ---- schema -------------------------------------------------------------------- */

static const char *const formats[] = {
    [FLA_ARROW_INT64] = "l",
    [FLA_ARROW_FLOAT32] = "f",
    [FLA_ARROW_FLOAT64] = "g",
};

static const size_t value_sizes[] = {
    [FLA_ARROW_INT64] = sizeof(int64_t),
    [FLA_ARROW_FLOAT32] = sizeof(float),
    [FLA_ARROW_FLOAT64] = sizeof(double),
};

#define N_TYPES (sizeof formats / sizeof formats[0])

/* Columns are nullable by type, as Delta tables and Spark make them. */
static bool make_column_schema(const fla_arrow_column *column, struct ArrowSchema *out)
{
    if (column->schema != NULL)
        return fla_schema_copy(column->schema, column->name, out);
    const char *format = formats[column->type];
    if (column->list_size == 0)
        return fla_schema_make(out, format, column->name, ARROW_FLAG_NULLABLE, 0);
    return fla_schema_make(out, "+l", column->name, ARROW_FLAG_NULLABLE, 1) &&
           fla_schema_make(out->children[0], format, "element", ARROW_FLAG_NULLABLE, 0);
}

static bool make_schema(const fla_arrow_column *columns, size_t n_columns,
                        struct ArrowSchema *out)
{
    if (!fla_schema_make(out, "+s", "", 0, n_columns))
        return false;
    for (size_t i = 0; i < n_columns; i++)
        if (!make_column_schema(&columns[i], out->children[i])) {
            fla_schema_release(out);
            return false;
        }
    return true;
}

/* ---- export -------------------------------------------------------------------- */

static fla_status check_passed(const fla_arrow_column *columns, size_t i, size_t rows,
                               fla_error *err)
{
    const fla_arrow_column *column = &columns[i];
    if (column->schema == NULL || column->array == NULL)
        return fla_fail_argument(err, FLA_ERR_ARGUMENT, "columns",
                                 "column \"%.60s\" has an Arrow %s but no %s",
                                 column->name, column->schema ? "schema" : "array",
                                 column->schema ? "array" : "schema");
    bool gone = column->schema->release == NULL || column->array->release == NULL;
    for (size_t j = 0; j < i; j++)
        gone = gone || columns[j].array == column->array ||
               columns[j].schema == column->schema;
    if (gone)
        return fla_fail_argument(err, FLA_ERR_ARGUMENT, "columns",
                                 "the Arrow array or schema of column \"%.60s\" was "
                                 "released, or moved into a column before",
                                 column->name);
    if (!fla_schema_is_whole(column->schema))
        return fla_fail_argument(err, FLA_ERR_ARGUMENT, "columns",
                                 "the Arrow schema of column \"%.60s\" lacks a format or "
                                 "a child",
                                 column->name);
    if (column->array->length < 0 || (uint64_t)column->array->length != rows)
        return fla_fail_argument(err, FLA_ERR_SHAPE, "columns",
                                 "column \"%.60s\" has %" PRId64
                                 " rows, the batch has %zu",
                                 column->name, column->array->length, rows);
    return FLA_OK;
}

static fla_status check_values(const fla_arrow_column *column, size_t rows,
                               fla_error *err)
{
    if ((int)column->type < 0 || (size_t)column->type >= N_TYPES)
        return fla_fail_argument(err, FLA_ERR_ARGUMENT, "columns",
                                 "type %d of column \"%.60s\" is not one of "
                                 "fla_arrow_type",
                                 (int)column->type, column->name);
    if (column->values == NULL && rows > 0)
        return fla_fail_argument(err, FLA_ERR_ARGUMENT, "columns",
                                 "column \"%.60s\" has no values for %zu rows",
                                 column->name, rows);
    if ((uintptr_t)column->values % value_sizes[column->type] != 0)
        return fla_fail_argument(err, FLA_ERR_ARGUMENT, "columns",
                                 "the values of column \"%.60s\" are not aligned to "
                                 "their %zu bytes: copy them",
                                 column->name, value_sizes[column->type]);
    if (column->list_size > 0 && rows > INT32_MAX / column->list_size)
        return fla_fail_argument(err, FLA_ERR_SHAPE, "columns",
                                 "column \"%.60s\" has %zu lists of %zu values; a batch "
                                 "holds at most %" PRId32 " values: export fewer rows",
                                 column->name, rows, column->list_size, INT32_MAX);
    return FLA_OK;
}

static fla_status check_columns(const fla_arrow_column *columns, size_t n_columns,
                                size_t rows, fla_error *err)
{
    if (rows > SIZE_MAX / 2 / sizeof(double))
        return fla_fail_argument(err, FLA_ERR_SHAPE, "rows",
                                 "%zu rows pass the address space", rows);
    for (size_t i = 0; i < n_columns; i++) {
        const fla_arrow_column *column = &columns[i];
        if (column->name == NULL)
            return fla_fail_argument(err, FLA_ERR_ARGUMENT, "columns",
                                     "column %zu has no name", i);
        const bool passed = column->schema != NULL || column->array != NULL;
        const fla_status status = passed ? check_passed(columns, i, rows, err)
                                         : check_values(column, rows, err);
        if (status != FLA_OK)
            return status;
    }
    return FLA_OK;
}

/* Nothing fails from here on: passed columns move in, the values get their owner. */
static void commit(const fla_arrow_column *columns, size_t n_columns,
                   void (*release)(void *owner), void *owner, struct ArrowArray *array)
{
    for (size_t i = 0; i < n_columns; i++) {
        if (columns[i].array == NULL)
            continue;
        *array->children[i] = *columns[i].array;
        columns[i].array->release = NULL;
        fla_schema_release(columns[i].schema); /* a copy of it was exported */
    }
    const array_block *block = array->private_data;
    block->shared->release = release;
    block->shared->owner = owner;
}

fla_status fla_arrow_export_batch(const fla_arrow_column *columns, size_t n_columns,
                                  size_t rows, void (*release)(void *owner), void *owner,
                                  struct ArrowSchema *out_schema,
                                  struct ArrowArray *out_array, fla_error *err)
{
    struct ArrowSchema schema;
    struct ArrowArray array;
    const fla_status status = check_columns(columns, n_columns, rows, err);
    if (status != FLA_OK)
        return status;
    if (!make_schema(columns, n_columns, &schema))
        return fla_fail_memory(err, "an Arrow schema");
    if (!make_batch(columns, n_columns, rows, &array)) {
        fla_schema_release(&schema);
        return fla_fail_memory(err, "an Arrow record batch");
    }
    commit(columns, n_columns, release, owner, &array);
    if (out_schema != NULL)
        *out_schema = schema;
    else
        fla_schema_release(&schema);
    if (out_array != NULL)
        *out_array = array;
    else
        release_array(&array);
    return FLA_OK;
}
