/* Arrow in: streams and their batches, and columns as rows, numbers or ids. */
#include "arrow.h"

#include <stdio.h>
#include <string.h>

static const char READER[] = "fast_lsh_ann.stream_reader";
static const char MEMORY[] = "fast_lsh_ann.arrow_memory";

/* ---- streams ------------------------------------------------------------------- */

/* What became of a stream that is being read. */
typedef enum reader_state {
    READER_READY,
    READER_BUSY,
    READER_ENDED,
    READER_FAILED
} reader_state;

typedef struct reader {
    struct ArrowArrayStream stream;
    reader_state state; /* read and written under the GIL */
} reader;

static void free_reader(PyObject *capsule)
{
    reader *own = PyCapsule_GetPointer(capsule, READER);
    ext_release_stream(&own->stream);
    PyMem_Free(own);
}

/* What a stream that returned code says about it.  Needs no GIL. */
static fla_error stream_error(struct ArrowArrayStream *stream, int code)
{
    char text[512];
    const char *reason = stream->get_last_error(stream);
    snprintf(text, sizeof text, "reading the Arrow stream failed: %s",
             reason != NULL && reason[0] != '\0' ? reason : strerror(code));
    return ext_arrow_error(text);
}

/* Ask for the schema, in a capsule of its own. */
static PyObject *read_schema(PyObject *module, reader *from)
{
    int code;
    fla_error err;
    PyObject *capsule = ext_new_schema();
    if (capsule == NULL)
        return NULL;
    struct ArrowSchema *schema = PyCapsule_GetPointer(capsule, EXT_SCHEMA);
    Py_BEGIN_ALLOW_THREADS
    code = from->stream.get_schema(&from->stream, schema);
    if (code != 0)
        err = stream_error(&from->stream, code);
    Py_END_ALLOW_THREADS
    if (code == 0)
        return capsule;
    schema->release = NULL; /* a failure leaves it undefined */
    Py_DECREF(capsule);
    return ext_raise(module, FLA_ERR_ARROW, &err, NULL);
}

PyObject *ext_stream_open(PyObject *module, PyObject *stream)
{
    struct ArrowArrayStream *source = ext_live_stream(module, stream);
    reader *own = source != NULL ? PyMem_Calloc(1, sizeof *own) : NULL;
    if (own == NULL)
        return source != NULL ? PyErr_NoMemory() : NULL;
    PyObject *capsule = PyCapsule_New(own, READER, free_reader);
    if (capsule == NULL) {
        PyMem_Free(own);
        return NULL;
    }
    own->stream = *source;
    source->release = NULL;
    PyObject *schema = read_schema(module, own);
    if (schema == NULL) {
        Py_DECREF(capsule);
        return NULL;
    }
    return Py_BuildValue("NN", capsule, schema);
}

/*
 * The next array with a schema of its own, or None at the end.  A schema is for one owner
 * and cannot be copied by its consumer, so the stream is asked for one with every array.
 */
static PyObject *read_next(PyObject *module, reader *from)
{
    int code;
    fla_error err;
    PyObject *capsule = ext_new_array();
    if (capsule == NULL)
        return NULL;
    struct ArrowArray *array = PyCapsule_GetPointer(capsule, EXT_ARRAY);
    Py_BEGIN_ALLOW_THREADS
    code = from->stream.get_next(&from->stream, array);
    if (code != 0)
        err = stream_error(&from->stream, code);
    Py_END_ALLOW_THREADS
    if (code != 0)
        array->release = NULL; /* a failure leaves it undefined */
    const bool ended = array->release == NULL;
    PyObject *schema = ended ? NULL : read_schema(module, from);
    if (schema != NULL)
        return Py_BuildValue("NN", schema, capsule);
    Py_DECREF(capsule);
    if (code != 0)
        return ext_raise(module, FLA_ERR_ARROW, &err, NULL);
    return ended ? Py_NewRef(Py_None) : NULL;
}

PyObject *ext_stream_next(PyObject *module, PyObject *capsule)
{
    reader *own = PyCapsule_GetPointer(capsule, READER);
    if (own == NULL)
        return NULL;
    if (own->state == READER_ENDED)
        Py_RETURN_NONE;
    if (own->state == READER_BUSY)
        return ext_raise_arrow(module, "another thread is reading the Arrow stream");
    if (own->state == READER_FAILED)
        return ext_raise_arrow(module, "the Arrow stream failed before: make a new one");
    own->state = READER_BUSY;
    PyObject *pair = read_next(module, own);
    if (pair == NULL)
        own->state = READER_FAILED;
    else
        own->state = pair == Py_None ? READER_ENDED : READER_READY;
    return pair;
}

/* ---- batches ------------------------------------------------------------------- */

/* Whether a schema is a record batch's, and has the fields it counts. */
static bool is_batch(const struct ArrowSchema *schema)
{
    if (schema->format == NULL || strcmp(schema->format, "+s") != 0 ||
        schema->n_children < 0 || (schema->n_children > 0 && schema->children == NULL))
        return false;
    for (int64_t i = 0; i < schema->n_children; i++)
        if (schema->children[i] == NULL || schema->children[i]->release == NULL)
            return false;
    return true;
}

/* Name and format of a field; that of its dictionary where it has one. */
static PyObject *describe_field(const struct ArrowSchema *field)
{
    const struct ArrowSchema *item =
        field->dictionary != NULL ? field->dictionary : field;
    return Py_BuildValue("ss", field->name != NULL ? field->name : "",
                         item->format != NULL ? item->format : "");
}

PyObject *ext_schema_fields(PyObject *module, PyObject *capsule)
{
    const struct ArrowSchema *schema = ext_live_schema(module, capsule);
    if (schema == NULL)
        return NULL;
    if (!is_batch(schema))
        Py_RETURN_NONE;
    PyObject *fields = PyList_New(0);
    for (int64_t i = 0; fields != NULL && i < schema->n_children; i++) {
        PyObject *field = describe_field(schema->children[i]);
        if (field == NULL || PyList_Append(fields, field) < 0)
            Py_CLEAR(fields);
        Py_XDECREF(field);
    }
    return fields;
}

/* Move column i of a batch, and its field of the schema, into a pair of capsules. */
static PyObject *take_pair(PyObject *module, struct ArrowSchema *schema,
                           struct ArrowArray *batch, size_t i)
{
    fla_error err;
    PyObject *fields = ext_new_schema(), *columns = ext_new_array();
    if (fields != NULL && columns != NULL) {
        struct ArrowSchema *field = PyCapsule_GetPointer(fields, EXT_SCHEMA);
        struct ArrowArray *column = PyCapsule_GetPointer(columns, EXT_ARRAY);
        const fla_status status = fla_arrow_take_column(schema, batch, i, column, &err);
        if (status == FLA_OK) {
            *field = *schema->children[i];
            schema->children[i]->release = NULL;
            return Py_BuildValue("NN", fields, columns);
        }
        ext_raise(module, status, &err, NULL);
    }
    Py_XDECREF(fields);
    Py_XDECREF(columns);
    return NULL;
}

PyObject *ext_take_columns(PyObject *module, PyObject *args)
{
    PyObject *schemas, *arrays;
    if (!PyArg_ParseTuple(args, "OO", &schemas, &arrays))
        return NULL;
    struct ArrowSchema *schema = ext_live_schema(module, schemas);
    struct ArrowArray *batch = schema ? ext_live_array(module, arrays) : NULL;
    if (batch == NULL)
        return NULL;
    if (!is_batch(schema))
        return ext_raise_arrow(module,
                               "the Arrow stream does not hold record batches (structs): "
                               "pass a table or a frame, not a single column");
    PyObject *columns = PyList_New(0);
    for (size_t i = 0; columns != NULL && i < (size_t)schema->n_children; i++) {
        PyObject *pair = take_pair(module, schema, batch, i);
        if (pair == NULL || PyList_Append(columns, pair) < 0)
            Py_CLEAR(columns);
        Py_XDECREF(pair);
    }
    batch->release(batch); /* what is left of both; their capsules are empty now */
    schema->release(schema);
    return columns;
}

/* ---- columns ------------------------------------------------------------------- */

PyObject *ext_array_length(PyObject *module, PyObject *capsule)
{
    const struct ArrowArray *array = ext_live_array(module, capsule);
    return array != NULL ? PyLong_FromLongLong(array->length) : NULL;
}

/* A column taken out of its capsules: without the GIL another thread could empty them, so
   they wait empty. */
typedef struct taken_column {
    struct ArrowSchema *schema_home, schema;
    struct ArrowArray *array_home, array;
} taken_column;

static int take_column(PyObject *module, PyObject *schemas, PyObject *arrays,
                       taken_column *out)
{
    out->schema_home = ext_live_schema(module, schemas);
    out->array_home = out->schema_home != NULL ? ext_live_array(module, arrays) : NULL;
    if (out->array_home == NULL)
        return -1;
    out->schema = *out->schema_home;
    out->array = *out->array_home;
    out->schema_home->release = NULL;
    out->array_home->release = NULL;
    return 0;
}

/* Put back what is left: the schema, and the array unless it was imported. */
static void put_back(const taken_column *column)
{
    *column->schema_home = column->schema;
    *column->array_home = column->array;
}

static void free_memory(PyObject *capsule)
{
    fla_arrow_memory_free(PyCapsule_GetPointer(capsule, MEMORY));
}

/* A capsule that owns memory, and an address in it; memory is taken over. */
static PyObject *describe_memory(fla_arrow_memory *memory, const void *data)
{
    PyObject *owner = PyCapsule_New(memory, MEMORY, free_memory);
    if (owner == NULL) {
        fla_arrow_memory_free(memory);
        return NULL;
    }
    PyObject *address = PyLong_FromVoidPtr((void *)(uintptr_t)data);
    if (address == NULL) {
        Py_DECREF(owner);
        return NULL;
    }
    return Py_BuildValue("(NN)", owner, address);
}

static const char *dtype_of(const fla_matrix *view)
{
    return view->dtype == FLA_F32 ? "<f4" : "<f8";
}

PyObject *ext_view_rows(PyObject *module, PyObject *args)
{
    PyObject *schemas, *arrays;
    long long first_row;
    const char *name;
    taken_column column;
    if (!PyArg_ParseTuple(args, "OOLs", &schemas, &arrays, &first_row, &name) ||
        take_column(module, schemas, arrays, &column) < 0)
        return NULL;
    fla_arrow_memory *memory;
    fla_matrix view;
    fla_error err;
    fla_status status;
    Py_BEGIN_ALLOW_THREADS
    status = fla_arrow_import_rows(&column.schema, &column.array, first_row, &memory,
                                   &view, &err);
    Py_END_ALLOW_THREADS
    put_back(&column);
    if (status != FLA_OK)
        return ext_raise(module, status, &err, name);
    PyObject *described = describe_memory(memory, view.data);
    if (described == NULL)
        return NULL;
    return Py_BuildValue("Nnns", described, (Py_ssize_t)view.rows, (Py_ssize_t)view.dim,
                         dtype_of(&view));
}

PyObject *ext_view_numbers(PyObject *module, PyObject *args)
{
    PyObject *schemas, *arrays;
    const char *name;
    taken_column column;
    if (!PyArg_ParseTuple(args, "OOs", &schemas, &arrays, &name) ||
        take_column(module, schemas, arrays, &column) < 0)
        return NULL;
    fla_arrow_memory *memory;
    fla_matrix view;
    fla_error err;
    fla_status status;
    Py_BEGIN_ALLOW_THREADS
    status =
        fla_arrow_import_numbers(&column.schema, &column.array, &memory, &view, &err);
    Py_END_ALLOW_THREADS
    put_back(&column);
    if (status != FLA_OK)
        return ext_raise(module, status, &err, name);
    PyObject *described = describe_memory(memory, view.data);
    if (described == NULL)
        return NULL;
    return Py_BuildValue("Nns", described, (Py_ssize_t)view.dim, dtype_of(&view));
}

/* ---- ids ----------------------------------------------------------------------- */

/* A text as str, or bytes; -1 with an exception that says which is no UTF-8. */
static int add_text(PyObject *module, PyObject *list, const fla_ids *ids, size_t i,
                    const char *name)
{
    const fla_text text = ids->texts[i];
    const Py_ssize_t size = (Py_ssize_t)text.size;
    PyObject *made = ids->kind == FLA_IDS_BYTES
                         ? PyBytes_FromStringAndSize(text.data, size)
                         : PyUnicode_DecodeUTF8(text.data, size, NULL);
    if (made != NULL)
        return PyList_SetItem(list, (Py_ssize_t)i, made);
    if (PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) {
        char message[96];
        PyErr_Clear();
        snprintf(message, sizeof message, "element %zu is no UTF-8 text", i);
        const fla_error err = ext_arrow_error(message);
        ext_raise(module, FLA_ERR_ARROW, &err, name);
    }
    return -1;
}

static PyObject *list_texts(PyObject *module, const fla_ids *ids, const char *name)
{
    PyObject *list = PyList_New((Py_ssize_t)ids->count);
    for (size_t i = 0; list != NULL && i < ids->count; i++)
        if (add_text(module, list, ids, i, name) < 0)
            Py_CLEAR(list);
    return list;
}

PyObject *ext_read_ids(PyObject *module, PyObject *args)
{
    PyObject *schemas, *arrays;
    const char *name;
    taken_column column;
    if (!PyArg_ParseTuple(args, "OOs", &schemas, &arrays, &name) ||
        take_column(module, schemas, arrays, &column) < 0)
        return NULL;
    fla_arrow_memory *memory;
    fla_ids ids;
    fla_error err;
    fla_status status;
    Py_BEGIN_ALLOW_THREADS
    status = fla_arrow_import_ids(&column.schema, &column.array, &memory, &ids, &err);
    Py_END_ALLOW_THREADS
    put_back(&column);
    if (status != FLA_OK)
        return ext_raise(module, status, &err, name);
    if (ids.integers == NULL) {
        PyObject *list = list_texts(module, &ids, name);
        fla_arrow_memory_free(memory);
        return list;
    }
    PyObject *described = describe_memory(memory, ids.integers);
    if (described == NULL)
        return NULL;
    return Py_BuildValue("Nns", described, (Py_ssize_t)ids.count,
                         ids.kind == FLA_IDS_INT64 ? "<i8" : "<u8");
}
