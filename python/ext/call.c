/* One running call's link to Python: the GIL, signals, progress, buffers, exceptions. */
#include "ext.h"

#include <string.h>

ext_state *ext_state_of(PyObject *module)
{
    return PyModule_GetState(module);
}

/* ---- exceptions ---------------------------------------------------------------- */

static PyObject *class_for(PyObject *module, fla_status status)
{
    ext_state *state = ext_state_of(module);
    PyObject *found = NULL;
    if (state->errors != NULL)
        found = PyDict_GetItemString(state->errors, fla_status_name(status));
    return found != NULL ? found : PyExc_RuntimeError;
}

/* Set exception.<name> = value; a failure leaves the attribute at its class's default. */
static void set_number(PyObject *exception, const char *name, int64_t value)
{
    PyObject *number = PyLong_FromLongLong(value);
    if (number == NULL || PyObject_SetAttrString(exception, name, number) < 0)
        PyErr_Clear();
    Py_XDECREF(number);
}

PyObject *ext_raise(PyObject *module, fla_status status, const fla_error *err,
                    const char *name)
{
    PyObject *class = class_for(module, status), *exception, *text;
    if (PyErr_Occurred())
        return NULL;
    text = name != NULL ? PyUnicode_FromFormat("%s: %s", name, err->message)
                        : PyUnicode_FromFormat("%s", err->message);
    if (text == NULL)
        return NULL;
    exception = PyObject_CallFunctionObjArgs(class, text, NULL);
    Py_DECREF(text);
    if (exception == NULL)
        return NULL;
    if (err->row >= 0)
        set_number(exception, "row", err->row);
    if (err->column >= 0)
        set_number(exception, "column", err->column);
    if (err->bad_rows > 0)
        set_number(exception, "bad_rows", err->bad_rows);
    PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    Py_DECREF(exception);
    return NULL;
}

/* ---- calls --------------------------------------------------------------------- */

static bool cancelled(void *arg)
{
    ext_call *c = arg;
    if (c->failed)
        return true;
    PyEval_RestoreThread(c->thread);
    c->failed = PyErr_CheckSignals() < 0;
    c->thread = PyEval_SaveThread();
    return c->failed;
}

static void progress(void *arg, uint64_t done, uint64_t total)
{
    ext_call *c = arg;
    if (c->failed)
        return;
    PyEval_RestoreThread(c->thread);
    PyObject *result = PyObject_CallFunction(c->progress, "KK", (unsigned long long)done,
                                             (unsigned long long)total);
    c->failed = result == NULL;
    Py_XDECREF(result);
    c->thread = PyEval_SaveThread();
}

/* ---- the context --------------------------------------------------------------- */

static const char CONTEXT[] = "fast_lsh_ann.context";

static void free_context(PyObject *capsule)
{
    fla_context_free(PyCapsule_GetPointer(capsule, CONTEXT));
}

PyObject *ext_context_new(PyObject *module, unsigned threads)
{
    fla_context_options options;
    fla_context *context;
    fla_error err;
    fla_context_options_init(&options);
    options.threads = threads;
    const fla_status status = fla_context_create(&options, &context, &err);
    if (status != FLA_OK)
        return ext_raise(module, status, &err, NULL);
    PyObject *capsule = PyCapsule_New(context, CONTEXT, free_context);
    if (capsule == NULL)
        fla_context_free(context);
    return capsule;
}

fla_context *ext_context(PyObject *module)
{
    ext_state *state = ext_state_of(module);
    if (state->context == NULL) /* under the GIL, and making one starts no thread */
        state->context = ext_context_new(module, 0);
    return state->context != NULL ? PyCapsule_GetPointer(state->context, CONTEXT) : NULL;
}

int ext_call_begin(ext_call *c, PyObject *module, PyObject *callable)
{
    c->context = ext_context(module);
    if (c->context == NULL)
        return -1;
    c->owner = Py_NewRef(ext_state_of(module)->context);
    c->failed = false;
    c->progress = callable == Py_None ? NULL : callable;
    fla_call_init(&c->call);
    c->call.arg = c;
    c->call.cancelled = cancelled;
    c->call.progress = c->progress != NULL ? progress : NULL;
    c->thread = PyEval_SaveThread();
    return 0;
}

void ext_call_end(ext_call *c)
{
    PyEval_RestoreThread(c->thread);
    Py_DECREF(c->owner);
}

PyObject *ext_call_result(const ext_call *c, PyObject *module, fla_status status,
                          const fla_error *err, const char *name)
{
    if (status != FLA_OK || c->failed)
        return ext_raise(module, status, err, name);
    return Py_NewRef(Py_None);
}

/* ---- buffers ------------------------------------------------------------------- */

static int refuse(Py_buffer *buffer, const char *text)
{
    PyErr_SetString(PyExc_ValueError, text);
    PyBuffer_Release(buffer);
    return -1;
}

int ext_rows(PyObject *object, int64_t first_row, Py_buffer *buffer, fla_matrix *view)
{
    if (PyObject_GetBuffer(object, buffer, PyBUF_STRIDES | PyBUF_FORMAT) < 0)
        return -1;
    const bool is_f32 = strcmp(buffer->format, "f") == 0;
    if (buffer->ndim != 2 || (!is_f32 && strcmp(buffer->format, "d") != 0))
        return refuse(buffer, "rows must be a 2-D buffer of float32 or float64");
    if (buffer->shape[1] > 1 && buffer->strides[1] != buffer->itemsize)
        return refuse(buffer, "the coordinates of a row must be contiguous");
    *view = (fla_matrix){
        .data = buffer->buf,
        .rows = (size_t)buffer->shape[0],
        .dim = (size_t)buffer->shape[1],
        .row_stride_bytes = buffer->strides[0],
        .first_row = first_row,
        .dtype = is_f32 ? FLA_F32 : FLA_F64,
    };
    return 0;
}

/* NumPy names int64 by C's long where that has 8 bytes. */
static bool is_kind(const Py_buffer *buffer, char kind)
{
    const char *format = buffer->format;
    if (buffer->itemsize != 8 || format[0] == '\0' || format[1] != '\0')
        return false;
    return kind == 'd' ? format[0] == 'd' : format[0] == 'q' || format[0] == 'l';
}

int ext_output(PyObject *object, char kind, size_t count, Py_buffer *buffer)
{
    if (PyObject_GetBuffer(object, buffer,
                           PyBUF_WRITABLE | PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) < 0)
        return -1;
    if (!is_kind(buffer, kind))
        return refuse(buffer, "the output is of another type");
    if ((size_t)buffer->len / 8 != count)
        return refuse(buffer, "the output is of another size");
    return 0;
}

int ext_doubles(PyObject *object, Py_buffer *buffer)
{
    if (PyObject_GetBuffer(object, buffer, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) < 0)
        return -1;
    return is_kind(buffer, 'd') ? 0 : refuse(buffer, "float64 numbers are wanted");
}
