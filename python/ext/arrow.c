/* Arrow structures in capsules. */
#include "arrow.h"

#include <string.h>

static void free_schema(PyObject *capsule)
{
    struct ArrowSchema *schema = PyCapsule_GetPointer(capsule, EXT_SCHEMA);
    if (schema->release != NULL)
        schema->release(schema);
    PyMem_Free(schema);
}

static void free_array(PyObject *capsule)
{
    struct ArrowArray *array = PyCapsule_GetPointer(capsule, EXT_ARRAY);
    if (array->release != NULL)
        array->release(array);
    PyMem_Free(array);
}

void ext_release_stream(struct ArrowArrayStream *stream)
{
    if (stream->release == NULL)
        return;
    Py_BEGIN_ALLOW_THREADS /* a stream may wait for threads that want the GIL */
    stream->release(stream);
    Py_END_ALLOW_THREADS
}

static void free_stream(PyObject *capsule)
{
    struct ArrowArrayStream *stream = PyCapsule_GetPointer(capsule, EXT_STREAM);
    ext_release_stream(stream);
    PyMem_Free(stream);
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

PyObject *ext_new_schema(void)
{
    return new_capsule(sizeof(struct ArrowSchema), EXT_SCHEMA, free_schema);
}

PyObject *ext_new_array(void)
{
    return new_capsule(sizeof(struct ArrowArray), EXT_ARRAY, free_array);
}

PyObject *ext_new_stream(void)
{
    return new_capsule(sizeof(struct ArrowArrayStream), EXT_STREAM, free_stream);
}

struct ArrowArray *ext_live_array(PyObject *module, PyObject *capsule)
{
    struct ArrowArray *array = PyCapsule_GetPointer(capsule, EXT_ARRAY);
    if (array != NULL && array->release == NULL) {
        ext_raise_arrow(module, "the Arrow array was handed over before");
        return NULL;
    }
    return array;
}

struct ArrowSchema *ext_live_schema(PyObject *module, PyObject *capsule)
{
    struct ArrowSchema *schema = PyCapsule_GetPointer(capsule, EXT_SCHEMA);
    if (schema != NULL && schema->release == NULL) {
        ext_raise_arrow(module, "the Arrow schema was handed over before");
        return NULL;
    }
    return schema;
}

struct ArrowArrayStream *ext_live_stream(PyObject *module, PyObject *capsule)
{
    struct ArrowArrayStream *stream = PyCapsule_GetPointer(capsule, EXT_STREAM);
    if (stream != NULL && stream->release == NULL) {
        ext_raise_arrow(module, "the Arrow stream was read before: make a new one");
        return NULL;
    }
    return stream;
}

void ext_copy_text(char *out, size_t capacity, const char *text)
{
    size_t length = strlen(text);
    if (length >= capacity)
        for (length = capacity - 1; length > 0 && (text[length] & 0xc0) == 0x80;)
            length--;
    memcpy(out, text, length);
    out[length] = '\0';
}

fla_error ext_arrow_error(const char *text)
{
    fla_error err = {.status = FLA_ERR_ARROW, .row = -1, .column = -1};
    ext_copy_text(err.message, sizeof err.message, text);
    return err;
}

PyObject *ext_raise_arrow(PyObject *module, const char *text)
{
    const fla_error err = ext_arrow_error(text);
    return ext_raise(module, FLA_ERR_ARROW, &err, NULL);
}
