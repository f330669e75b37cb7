/* Similarity joins: pairs are collected into three columns that Python then owns. */
#include <stdlib.h>

#include "search.h"

static const char MEMORY[] = "fast_lsh_ann.memory";

/* Collected pairs, a column each, so that NumPy and Arrow can use them where they are. */
typedef struct columns {
    int64_t *left, *right;
    double *distances;
    size_t count, capacity;
    bool out_of_memory;
} columns;

static void free_columns(columns *c)
{
    free(c->left);
    free(c->right);
    free(c->distances);
    *c = (columns){0};
}

/* Grow one column; on failure it stays as it was. */
static bool grow(void **column, size_t capacity)
{
    void *grown = capacity > SIZE_MAX / 8 ? NULL : realloc(*column, capacity * 8);
    if (grown == NULL)
        return false;
    *column = grown;
    return true;
}

static bool reserve(columns *c, size_t wanted)
{
    size_t capacity = c->capacity < 1024 ? 1024 : c->capacity;
    if (wanted <= c->capacity)
        return true;
    while (capacity < wanted)
        capacity += capacity / 2;
    if (!grow((void **)&c->left, capacity) || !grow((void **)&c->right, capacity) ||
        !grow((void **)&c->distances, capacity))
        return false;
    c->capacity = capacity;
    return true;
}

static int collect(void *arg, const fla_pair *pairs, size_t n)
{
    columns *c = arg;
    if (n > SIZE_MAX / 16 - c->count || !reserve(c, c->count + n)) {
        c->out_of_memory = true;
        return 1;
    }
    for (size_t i = 0; i < n; i++) {
        c->left[c->count + i] = pairs[i].left;
        c->right[c->count + i] = pairs[i].right;
        c->distances[c->count + i] = pairs[i].distance;
    }
    c->count += n;
    return 0;
}

static void free_memory(PyObject *capsule)
{
    free(PyCapsule_GetPointer(capsule, MEMORY));
}

/* Give a column to Python as (owner, address); *column is NULL afterwards. */
static PyObject *hand_over(void **column)
{
    void *memory = *column != NULL ? *column : malloc(1);
    *column = NULL;
    if (memory == NULL)
        return PyErr_NoMemory();
    PyObject *owner = PyCapsule_New(memory, MEMORY, free_memory);
    if (owner == NULL) {
        free(memory);
        return NULL;
    }
    return Py_BuildValue("NK", owner, (unsigned long long)(uintptr_t)memory);
}

static PyObject *result_of(columns *c)
{
    PyObject *left = hand_over((void **)&c->left);
    PyObject *right = left != NULL ? hand_over((void **)&c->right) : NULL;
    PyObject *distances = right != NULL ? hand_over((void **)&c->distances) : NULL;
    if (distances != NULL)
        return Py_BuildValue("nNNN", (Py_ssize_t)c->count, left, right, distances);
    Py_XDECREF(right);
    Py_XDECREF(left);
    return NULL;
}

static void raise_full(PyObject *module, const columns *c)
{
    fla_error err = {.status = FLA_ERR_MEMORY, .row = -1, .column = -1};
    PyOS_snprintf(err.message, sizeof err.message,
                  "out of memory for more than %llu pairs: lower threshold or raise "
                  "min_collisions",
                  (unsigned long long)c->count);
    ext_raise(module, FLA_ERR_MEMORY, &err, NULL);
}

PyObject *ext_index_join(PyObject *module, PyObject *args)
{
    PyObject *left_object, *right_object, *progress, *result = NULL;
    const fla_index *left, *right = NULL;
    unsigned long long min_collisions;
    fla_search_options options;
    const char *left_name;
    double threshold;
    int strict, upper;
    columns pairs = {0};
    fla_error err = {0};
    ext_call c;
    if (!PyArg_ParseTuple(args, "OOdKppOs:index_join", &left_object, &right_object,
                          &threshold, &min_collisions, &strict, &upper, &progress,
                          &left_name) ||
        (left = ext_index(left_object)) == NULL)
        return NULL;
    if (right_object != Py_None && (right = ext_index(right_object)) == NULL)
        return NULL;
    fla_search_options_init(&options);
    options.min_collisions = min_collisions;
    options.strict = strict != 0;
    options.upper = upper != 0;
    if (ext_call_begin(&c, module, progress) < 0)
        return NULL;
    const fla_status status = fla_similarity_join(
        left, c.context, &c.call, right, threshold, &options, collect, &pairs, &err);
    ext_call_end(&c);
    if (pairs.out_of_memory)
        raise_full(module, &pairs);
    else if (status != FLA_OK || c.failed)
        ext_raise(module, status, &err, err.argument != NULL ? left_name : NULL);
    else
        result = result_of(&pairs);
    free_columns(&pairs);
    return result;
}
