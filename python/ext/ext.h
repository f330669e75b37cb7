/* What the extension's files share: module state, errors, buffers, the GIL. */
#ifndef FLA_EXT_H
#define FLA_EXT_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>

#include "fast_lsh_ann.h"

typedef struct ext_state {
    PyObject
        *context; /* capsule of an fla_context, made by the first call that needs it */
    PyObject *errors; /* dict: status name -> exception class; NULL until registered */
} ext_state;

ext_state *ext_state_of(PyObject *module);

/* A capsule that owns a new context; threads 0: the default. */
PyObject *ext_context_new(PyObject *module, unsigned threads);

/* The module's context, made on first use; NULL with an exception set. */
fla_context *ext_context(PyObject *module);

/*
 * Raise the class registered for status; returns NULL.  The only place where a status
 * becomes an exception.  name, when not NULL, is what the caller calls the argument to
 * blame and leads the message.  If a Python exception is already set (a signal handler's,
 * a callback's), that one stays.
 */
PyObject *ext_raise(PyObject *module, fla_status status, const fla_error *err,
                    const char *name);

/*
 * A running call's link to Python: while the GIL is dropped the library asks through it
 * for signals and reports progress.
 */
typedef struct ext_call {
    fla_call call;
    fla_context *context;
    PyObject *owner;       /* keeps the context although set_threads may replace it */
    PyThreadState *thread; /* saved by ext_call_begin */
    PyObject *progress;    /* borrowed callable or NULL */
    bool failed;           /* a signal handler or the progress callable raised */
} ext_call;

/* Take the module's context and drop the GIL.  progress: None or a callable.  -1: neither
   was done and an exception is set. */
int ext_call_begin(ext_call *c, PyObject *module, PyObject *progress);
void ext_call_end(ext_call *c); /* take the GIL back */

/* None when the call went well, else NULL with its exception; name as in ext_raise. */
PyObject *ext_call_result(const ext_call *c, PyObject *module, fla_status status,
                          const fla_error *err, const char *name);

/*
 * Borrow a 2-D float32 or float64 buffer whose last axis is contiguous.  On failure an
 * exception is set and buffer needs no release.
 */
int ext_rows(PyObject *object, int64_t first_row, Py_buffer *buffer, fla_matrix *view);

/* Borrow a writable contiguous buffer of count items of format 'd' or 'q'. */
int ext_output(PyObject *object, char kind, size_t count, Py_buffer *buffer);

/* Borrow a contiguous buffer of float64 to read, of any length. */
int ext_doubles(PyObject *object, Py_buffer *buffer);

/* arrow_in.c, arrow_out.c: what the method table in module.c lists */
PyObject *ext_stream_open(PyObject *module, PyObject *stream);
PyObject *ext_stream_next(PyObject *module, PyObject *reader);
PyObject *ext_schema_fields(PyObject *module, PyObject *schema);
PyObject *ext_take_columns(PyObject *module, PyObject *args);
PyObject *ext_array_length(PyObject *module, PyObject *array);
PyObject *ext_view_rows(PyObject *module, PyObject *args);
PyObject *ext_view_numbers(PyObject *module, PyObject *args);
PyObject *ext_read_ids(PyObject *module, PyObject *args);
PyObject *ext_export_batch(PyObject *module, PyObject *args);
PyObject *ext_export_stream(PyObject *module, PyObject *args);

#endif
