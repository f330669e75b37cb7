/* Arrow structures between capsules and the library. */
#include "ext.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- capsules ------------------------------------------------------------------ */

static const char SCHEMA[] = "arrow_schema";
static const char ARRAY[] = "arrow_array";
static const char STREAM[] = "arrow_array_stream";
static const char READER[] = "fast_lsh_ann.stream_reader";
static const char ROWS[] = "fast_lsh_ann.arrow_rows";

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

static void free_schema(PyObject *capsule)
{
    struct ArrowSchema *schema = PyCapsule_GetPointer(capsule, SCHEMA);
    if (schema->release != NULL)
        schema->release(schema);
    PyMem_Free(schema);
}

static void free_array(PyObject *capsule)
{
    struct ArrowArray *array = PyCapsule_GetPointer(capsule, ARRAY);
    if (array->release != NULL)
        array->release(array);
    PyMem_Free(array);
}

static void release_stream(struct ArrowArrayStream *stream)
{
    if (stream->release == NULL)
        return;
    Py_BEGIN_ALLOW_THREADS /* a stream may wait for threads that want the GIL */
    stream->release(stream);
    Py_END_ALLOW_THREADS
}

static void free_stream(PyObject *capsule)
{
    struct ArrowArrayStream *stream = PyCapsule_GetPointer(capsule, STREAM);
    release_stream(stream);
    PyMem_Free(stream);
}

static void free_reader(PyObject *capsule)
{
    reader *own = PyCapsule_GetPointer(capsule, READER);
    release_stream(&own->stream);
    PyMem_Free(own);
}

static void free_rows(PyObject *capsule)
{
    fla_arrow_rows_free(PyCapsule_GetPointer(capsule, ROWS));
}

/* A capsule of a zeroed structure, which its destructor takes for released. */
static PyObject *new_capsule(size_t size, const char *name,
                             PyCapsule_Destructor destructor)
{
    void *memory = PyMem_Calloc(1, size);
    if (memory == NULL)
        return PyErr_NoMemory();
    PyObject *capsule = PyCapsule_New(memory, name, destructor);
    if (capsule == NULL)
        PyMem_Free(memory);
    return capsule;
}

static PyObject *new_schema(void)
{
    return new_capsule(sizeof(struct ArrowSchema), SCHEMA, free_schema);
}

static PyObject *new_array(void)
{
    return new_capsule(sizeof(struct ArrowArray), ARRAY, free_array);
}

/* ---- errors -------------------------------------------------------------------- */

/* Copy UTF-8 text, cut between characters to what fits in capacity bytes. */
static void copy_text(char *out, size_t capacity, const char *text)
{
    size_t length = strlen(text);
    if (length >= capacity)
        for (length = capacity - 1; length > 0 && (text[length] & 0xc0) == 0x80;)
            length--;
    memcpy(out, text, length);
    out[length] = '\0';
}

static fla_error arrow_error(const char *text)
{
    fla_error err = {.status = FLA_ERR_ARROW, .row = -1, .column = -1};
    copy_text(err.message, sizeof err.message, text);
    return err;
}

static PyObject *raise_text(PyObject *module, const char *text)
{
    const fla_error err = arrow_error(text);
    return ext_raise(module, FLA_ERR_ARROW, &err, NULL);
}

/* What a stream that returned code says about it.  Needs no GIL. */
static fla_error stream_error(struct ArrowArrayStream *stream, int code)
{
    char text[512];
    const char *reason = stream->get_last_error(stream);
    snprintf(text, sizeof text, "reading the Arrow stream failed: %s",
             reason != NULL && reason[0] != '\0' ? reason : strerror(code));
    return arrow_error(text);
}

/* ---- reading streams ----------------------------------------------------------- */

/* Whether a schema is a record batch's, and has the fields it counts. */
static bool is_batch(const struct ArrowSchema *schema)
{
    if (schema->release == NULL || schema->format == NULL ||
        strcmp(schema->format, "+s") != 0 || schema->n_children < 0 ||
        (schema->n_children > 0 && schema->children == NULL))
        return false;
    for (int64_t i = 0; i < schema->n_children; i++)
        if (schema->children[i] == NULL)
            return false;
    return true;
}

/* Ask for the schema; -1 with an exception when there is none of a record batch. */
static int read_schema(PyObject *module, reader *from, struct ArrowSchema *out)
{
    int code;
    fla_error err;
    Py_BEGIN_ALLOW_THREADS
    code = from->stream.get_schema(&from->stream, out);
    if (code != 0)
        err = stream_error(&from->stream, code);
    Py_END_ALLOW_THREADS
    if (code != 0) {
        ext_raise(module, FLA_ERR_ARROW, &err, NULL);
        return -1;
    }
    if (is_batch(out))
        return 0;
    if (out->release != NULL)
        out->release(out);
    raise_text(module,
               "the Arrow stream does not hold record batches (structs): pass a "
               "table or a frame, not a single column");
    return -1;
}

static PyObject *field_names(const struct ArrowSchema *schema)
{
    PyObject *names = PyList_New(0);
    for (int64_t i = 0; names != NULL && i < schema->n_children; i++) {
        const char *text = schema->children[i]->name;
        PyObject *name = PyUnicode_FromString(text != NULL ? text : "");
        if (name == NULL || PyList_Append(names, name) < 0)
            Py_CLEAR(names);
        Py_XDECREF(name);
    }
    return names;
}

PyObject *ext_stream_open(PyObject *module, PyObject *stream)
{
    struct ArrowSchema schema;
    PyObject *names;
    struct ArrowArrayStream *source = PyCapsule_GetPointer(stream, STREAM);
    if (source == NULL)
        return NULL;
    if (source->release == NULL)
        return raise_text(module, "the Arrow stream was read before: make a new one");
    PyObject *capsule = new_capsule(sizeof(reader), READER, free_reader);
    if (capsule == NULL)
        return NULL;
    reader *own = PyCapsule_GetPointer(capsule, READER);
    own->stream = *source;
    source->release = NULL;
    if (read_schema(module, own, &schema) < 0) {
        Py_DECREF(capsule);
        return NULL;
    }
    names = field_names(&schema);
    schema.release(&schema);
    if (names == NULL) {
        Py_DECREF(capsule);
        return NULL;
    }
    return Py_BuildValue("NN", capsule, names);
}

/* Move column i of a batch, and its field of the schema, into a pair of capsules. */
static PyObject *take_pair(PyObject *module, struct ArrowSchema *schema,
                           struct ArrowArray *batch, size_t i)
{
    fla_error err;
    PyObject *fields = new_schema(), *columns = new_array();
    if (fields != NULL && columns != NULL) {
        struct ArrowSchema *field = PyCapsule_GetPointer(fields, SCHEMA);
        struct ArrowArray *column = PyCapsule_GetPointer(columns, ARRAY);
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

/*
 * The batch's columns, each with a schema of its own.  A schema is for one owner and
 * cannot be copied by its consumer, so the stream is asked for one with every batch.
 */
static PyObject *take_columns(PyObject *module, reader *from, struct ArrowArray *batch)
{
    struct ArrowSchema schema;
    if (read_schema(module, from, &schema) < 0)
        return NULL;
    PyObject *columns = PyList_New(0);
    for (size_t i = 0; columns != NULL && i < (size_t)schema.n_children; i++) {
        PyObject *pair = take_pair(module, &schema, batch, i);
        if (pair == NULL || PyList_Append(columns, pair) < 0)
            Py_CLEAR(columns);
        Py_XDECREF(pair);
    }
    schema.release(&schema);
    return columns;
}

/* The next batch's columns, or None at the end, which state then says. */
static PyObject *read_batch(PyObject *module, reader *from)
{
    int code;
    fla_error err;
    struct ArrowArray batch;
    Py_BEGIN_ALLOW_THREADS
    code = from->stream.get_next(&from->stream, &batch);
    if (code != 0)
        err = stream_error(&from->stream, code);
    Py_END_ALLOW_THREADS
    if (code != 0)
        return ext_raise(module, FLA_ERR_ARROW, &err, NULL);
    if (batch.release == NULL)
        Py_RETURN_NONE;
    PyObject *columns = take_columns(module, from, &batch);
    batch.release(&batch);
    return columns;
}

PyObject *ext_stream_next(PyObject *module, PyObject *capsule)
{
    reader *own = PyCapsule_GetPointer(capsule, READER);
    if (own == NULL)
        return NULL;
    if (own->state == READER_ENDED)
        Py_RETURN_NONE;
    if (own->state == READER_BUSY)
        return raise_text(module, "another thread is reading the Arrow stream");
    if (own->state == READER_FAILED)
        return raise_text(module, "the Arrow stream failed before: make a new one");
    own->state = READER_BUSY;
    PyObject *columns = read_batch(module, own);
    if (columns == NULL)
        own->state = READER_FAILED;
    else
        own->state = columns == Py_None ? READER_ENDED : READER_READY;
    return columns;
}

/* ---- rows ---------------------------------------------------------------------- */

/* A capsule's array or schema; NULL with an exception when it is gone. */
static struct ArrowArray *live_array(PyObject *module, PyObject *capsule)
{
    struct ArrowArray *array = PyCapsule_GetPointer(capsule, ARRAY);
    if (array != NULL && array->release == NULL) {
        raise_text(module, "the Arrow array was handed over before");
        return NULL;
    }
    return array;
}

static struct ArrowSchema *live_schema(PyObject *module, PyObject *capsule)
{
    struct ArrowSchema *schema = PyCapsule_GetPointer(capsule, SCHEMA);
    if (schema != NULL && schema->release == NULL) {
        raise_text(module, "the Arrow schema was handed over before");
        return NULL;
    }
    return schema;
}

PyObject *ext_array_length(PyObject *module, PyObject *capsule)
{
    const struct ArrowArray *array = live_array(module, capsule);
    return array != NULL ? PyLong_FromLongLong(array->length) : NULL;
}

/* The view as Python gets it; takes rows over. */
static PyObject *describe_view(fla_arrow_rows *rows, const fla_matrix *view)
{
    PyObject *owner = PyCapsule_New(rows, ROWS, free_rows);
    if (owner == NULL) {
        fla_arrow_rows_free(rows);
        return NULL;
    }
    PyObject *address = PyLong_FromVoidPtr((void *)(uintptr_t)view->data);
    if (address == NULL) {
        Py_DECREF(owner);
        return NULL;
    }
    return Py_BuildValue("(NN)nns", owner, address, (Py_ssize_t)view->rows,
                         (Py_ssize_t)view->dim, view->dtype == FLA_F32 ? "<f4" : "<f8");
}

PyObject *ext_view_rows(PyObject *module, PyObject *args)
{
    PyObject *schemas, *arrays;
    long long first_row;
    const char *name;
    if (!PyArg_ParseTuple(args, "OOLs", &schemas, &arrays, &first_row, &name))
        return NULL;
    struct ArrowSchema *schema = live_schema(module, schemas), held_schema;
    struct ArrowArray *array = schema ? live_array(module, arrays) : NULL, held_array;
    if (array == NULL)
        return NULL;
    /* Without the GIL another thread could empty the capsules, so they wait empty. */
    held_schema = *schema;
    held_array = *array;
    schema->release = NULL;
    array->release = NULL;
    fla_arrow_rows *rows;
    fla_matrix view;
    fla_error err;
    fla_status status;
    Py_BEGIN_ALLOW_THREADS
    status =
        fla_arrow_import_rows(&held_schema, &held_array, first_row, &rows, &view, &err);
    Py_END_ALLOW_THREADS
    *schema = held_schema;
    *array = held_array; /* released by now unless the import failed */
    if (status != FLA_OK)
        return ext_raise(module, status, &err, name);
    return describe_view(rows, &view);
}

/* ---- exporting batches --------------------------------------------------------- */

/* The buffers that an exported batch borrows. */
typedef struct borrowed_buffers {
    size_t count;
    Py_buffer buffers[];
} borrowed_buffers;

static void release_buffers(borrowed_buffers *own)
{
    for (size_t i = 0; i < own->count; i++)
        PyBuffer_Release(&own->buffers[i]);
    PyMem_Free(own);
}

/* The batch's owner callback.  After the interpreter's end nothing can be given back. */
static void release_owner(void *owner)
{
    if (!Py_IsInitialized())
        return;
    const PyGILState_STATE gil = PyGILState_Ensure();
    release_buffers(owner);
    PyGILState_Release(gil);
}

typedef struct column_type {
    const char *name;
    const char *formats; /* of Python buffers; long is one that counts by item size */
    Py_ssize_t size;
    fla_arrow_type type;
} column_type;

static const column_type column_types[] = {
    {"int64", "ql", 8, FLA_ARROW_INT64},
    {"float32", "f", 4, FLA_ARROW_FLOAT32},
    {"float64", "d", 8, FLA_ARROW_FLOAT64},
};

static const column_type *find_type(const char *name)
{
    for (size_t i = 0; i < sizeof column_types / sizeof column_types[0]; i++)
        if (strcmp(column_types[i].name, name) == 0)
            return &column_types[i];
    PyErr_Format(PyExc_ValueError,
                 "column type must be int64, float32 or float64, got %s", name);
    return NULL;
}

static bool holds_type(const Py_buffer *buffer, const column_type *type)
{
    const char *format = buffer->format;
    return buffer->itemsize == type->size && format[0] != '\0' && format[1] == '\0' &&
           strchr(type->formats, format[0]) != NULL;
}

/* Borrow the values of a column (name, type, list_size, values). */
static int borrow_values(PyObject *tuple, size_t rows, fla_arrow_column *out,
                         borrowed_buffers *own)
{
    const char *name;
    Py_ssize_t list_size;
    PyObject *values;
    if (!PyArg_ParseTuple(tuple, "ssnO", &out->name, &name, &list_size, &values))
        return -1;
    const column_type *type = find_type(name);
    Py_buffer *buffer = &own->buffers[own->count];
    if (type == NULL ||
        PyObject_GetBuffer(values, buffer, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) < 0)
        return -1;
    own->count++;
    const size_t width = list_size > 0 ? (size_t)list_size : 1;
    const size_t count = (size_t)buffer->len / (size_t)type->size;
    if (list_size < 0 || !holds_type(buffer, type) || count / width != rows ||
        count % width != 0) {
        PyErr_Format(PyExc_ValueError,
                     "column %s must have %zu rows of %zd %s values, got %zd bytes of "
                     "format %s",
                     out->name, rows, list_size > 0 ? list_size : 1, name, buffer->len,
                     buffer->format);
        return -1;
    }
    out->type = type->type;
    out->list_size = (size_t)list_size;
    out->values = buffer->buf;
    return 0;
}

/* Point at the structures of a column (name, schema, array), which passes through. */
static int pass_through(PyObject *module, PyObject *tuple, fla_arrow_column *out)
{
    PyObject *schema, *array;
    if (!PyArg_ParseTuple(tuple, "sOO", &out->name, &schema, &array))
        return -1;
    out->schema = live_schema(module, schema);
    out->array = out->schema != NULL ? live_array(module, array) : NULL;
    return out->array != NULL ? 0 : -1;
}

static int read_columns(PyObject *module, PyObject *tuples, size_t rows,
                        fla_arrow_column *columns, borrowed_buffers *own)
{
    const Py_ssize_t n = PyTuple_Size(tuples);
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *tuple = PyTuple_GetItem(tuples, i);
        if (!PyTuple_Check(tuple)) {
            PyErr_SetString(PyExc_TypeError, "a column must be a tuple");
            return -1;
        }
        const int status = PyTuple_Size(tuple) == 3
                               ? pass_through(module, tuple, &columns[i])
                               : borrow_values(tuple, rows, &columns[i], own);
        if (status < 0)
            return -1;
    }
    return 0;
}

/* Export into a pair of capsules.  The arrays own the buffers only after success. */
static PyObject *export_pair(PyObject *module, const fla_arrow_column *columns, size_t n,
                             size_t rows, borrowed_buffers *own)
{
    fla_error err;
    PyObject *schemas = new_schema(), *arrays = new_array(), *pair = NULL;
    if (schemas != NULL && arrays != NULL)
        pair = PyTuple_Pack(2, schemas, arrays);
    if (pair != NULL) {
        struct ArrowSchema *schema = PyCapsule_GetPointer(schemas, SCHEMA);
        struct ArrowArray *array = PyCapsule_GetPointer(arrays, ARRAY);
        const fla_status status = fla_arrow_export_batch(columns, n, rows, release_owner,
                                                         own, schema, array, &err);
        if (status != FLA_OK) {
            Py_CLEAR(pair);
            ext_raise(module, status, &err, NULL);
        }
    }
    Py_XDECREF(schemas);
    Py_XDECREF(arrays);
    return pair;
}

PyObject *ext_export_batch(PyObject *module, PyObject *args)
{
    PyObject *sequence, *pair = NULL;
    Py_ssize_t rows;
    if (!PyArg_ParseTuple(args, "On", &sequence, &rows))
        return NULL;
    if (rows < 0)
        return PyErr_Format(PyExc_ValueError, "rows must not be negative, got %zd", rows);
    PyObject *tuples = PySequence_Tuple(sequence); /* keeps the names alive */
    if (tuples == NULL)
        return NULL;
    const size_t n = (size_t)PyTuple_Size(tuples);
    fla_arrow_column *columns = PyMem_Calloc(n, sizeof *columns);
    borrowed_buffers *own = PyMem_Calloc(1, sizeof *own + n * sizeof own->buffers[0]);
    if (columns == NULL || own == NULL)
        PyErr_NoMemory();
    else if (read_columns(module, tuples, (size_t)rows, columns, own) == 0)
        pair = export_pair(module, columns, n, (size_t)rows, own);
    if (pair == NULL && own != NULL)
        release_buffers(own);
    PyMem_Free(columns);
    Py_DECREF(tuples);
    return pair;
}

/* ---- exporting streams --------------------------------------------------------- */

/* Write the raised exception's text, or its class where it has none, and clear it. */
static void describe_exception(char *message, size_t capacity)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    PyObject *text = PyObject_Str(value);
    if (text != NULL && PyUnicode_GetLength(text) == 0) {
        Py_DECREF(text);
        text = PyType_GetName((PyTypeObject *)type);
    }
    const char *utf8 = text != NULL ? PyUnicode_AsUTF8AndSize(text, NULL) : NULL;
    copy_text(message, capacity, utf8 != NULL ? utf8 : "an exception without a text");
    PyErr_Clear();
    Py_XDECREF(text);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
}

/* Move the array out of what the callable gave; None leaves out released. */
static int move_batch(PyObject *batch, struct ArrowArray *out)
{
    if (batch == NULL)
        return -1;
    if (batch == Py_None)
        return 0;
    struct ArrowArray *array = PyCapsule_GetPointer(batch, ARRAY);
    if (array == NULL)
        return -1;
    if (array->release == NULL) {
        PyErr_SetString(PyExc_ValueError, "next_batch gave an array handed over before");
        return -1;
    }
    *out = *array;
    array->release = NULL;
    return 0;
}

static int next_batch(void *callable, struct ArrowArray *out, char *message,
                      size_t capacity)
{
    if (!Py_IsInitialized()) {
        copy_text(message, capacity, "Python has ended");
        return EIO;
    }
    const PyGILState_STATE gil = PyGILState_Ensure();
    PyObject *batch = PyObject_CallNoArgs(callable);
    const bool failed = move_batch(batch, out) < 0;
    if (failed)
        describe_exception(message, capacity);
    Py_XDECREF(batch);
    PyGILState_Release(gil);
    return failed ? EIO : 0;
}

static void release_callable(void *callable)
{
    if (!Py_IsInitialized())
        return;
    const PyGILState_STATE gil = PyGILState_Ensure();
    Py_DECREF(callable);
    PyGILState_Release(gil);
}

PyObject *ext_export_stream(PyObject *module, PyObject *args)
{
    PyObject *schemas, *callable;
    fla_error err;
    if (!PyArg_ParseTuple(args, "OO", &schemas, &callable))
        return NULL;
    struct ArrowSchema *schema = live_schema(module, schemas);
    if (schema == NULL)
        return NULL;
    PyObject *capsule = new_capsule(sizeof(struct ArrowArrayStream), STREAM, free_stream);
    if (capsule == NULL)
        return NULL;
    struct ArrowArrayStream *stream = PyCapsule_GetPointer(capsule, STREAM);
    const fla_arrow_source source = {next_batch, release_callable, callable};
    const fla_status status = fla_arrow_export_stream(schema, &source, stream, &err);
    if (status != FLA_OK) {
        Py_DECREF(capsule);
        return ext_raise(module, status, &err, NULL);
    }
    Py_INCREF(callable); /* the stream's, until it is released */
    return capsule;
}
