/* Arrow out: batches over Python buffers, and streams that a callable gives. */
#include "arrow.h"

#include <errno.h>
#include <string.h>

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
    out->schema = ext_live_schema(module, schema);
    out->array = out->schema != NULL ? ext_live_array(module, array) : NULL;
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
    PyObject *schemas = ext_new_schema(), *arrays = ext_new_array(), *pair = NULL;
    if (schemas != NULL && arrays != NULL)
        pair = PyTuple_Pack(2, schemas, arrays);
    if (pair != NULL) {
        struct ArrowSchema *schema = PyCapsule_GetPointer(schemas, EXT_SCHEMA);
        struct ArrowArray *array = PyCapsule_GetPointer(arrays, EXT_ARRAY);
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
    ext_copy_text(message, capacity, utf8 != NULL ? utf8 : "an exception without a text");
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
    struct ArrowArray *array = PyCapsule_GetPointer(batch, EXT_ARRAY);
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
        ext_copy_text(message, capacity, "Python has ended");
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
    struct ArrowSchema *schema = ext_live_schema(module, schemas);
    if (schema == NULL)
        return NULL;
    PyObject *capsule = ext_new_stream();
    if (capsule == NULL)
        return NULL;
    struct ArrowArrayStream *stream = PyCapsule_GetPointer(capsule, EXT_STREAM);
    const fla_arrow_source source = {next_batch, release_callable, callable};
    const fla_status status = fla_arrow_export_stream(schema, &source, stream, &err);
    if (status != FLA_OK) {
        Py_DECREF(capsule);
        return ext_raise(module, status, &err, NULL);
    }
    Py_INCREF(callable); /* the stream's, until it is released */
    return capsule;
}
