/* Count-min sketches, the join that uses one, and how often rows collide. */
#include "search.h"

#include <string.h>

static const char SKETCH[] = "fast_lsh_ann.sketch";

/* ---- two sides -------------------------------------------------------------------- */

/* The sides of a join, borrowed together. */
typedef struct sides {
    const fla_model *model;
    Py_buffer left_buffer, right_buffer;
    fla_matrix left, right;
    const fla_matrix *second; /* &right, or NULL: the left side with itself */
} sides;

/* right may be None.  -1 with an exception. */
static int borrow_sides(PyObject *model, PyObject *left, PyObject *right, sides *out)
{
    *out = (sides){0};
    if (ext_model(model, &out->model) < 0)
        return -1;
    if (out->model == NULL) {
        PyErr_SetString(PyExc_TypeError, "a model is wanted");
        return -1;
    }
    if (ext_rows(left, 0, &out->left_buffer, &out->left) < 0)
        return -1;
    if (ext_optional_rows(right, 0, &out->right_buffer, &out->right, &out->second) == 0)
        return 0;
    PyBuffer_Release(&out->left_buffer);
    return -1;
}

static void release_sides(sides *of)
{
    PyBuffer_Release(&of->right_buffer);
    PyBuffer_Release(&of->left_buffer);
}

/* What the caller calls the argument to blame. */
static const char *name_of(const fla_error *err, const char *left, const char *right,
                           const char *width)
{
    if (err->argument == NULL)
        return NULL;
    if (strcmp(err->argument, "left") == 0)
        return left;
    if (strcmp(err->argument, "right") == 0)
        return right;
    return strcmp(err->argument, "width") == 0 ? width : NULL;
}

PyObject *ext_sketch_join(PyObject *module, PyObject *args)
{
    PyObject *model, *left, *right, *progress, *result = NULL;
    unsigned long long min_collisions, width;
    const char *left_name, *right_name, *width_name;
    int strict, upper;
    double threshold;
    fla_search_options options;
    fla_pairs *pairs = NULL;
    fla_error err = {.row = -1, .column = -1};
    ext_call c;
    sides of;
    if (!PyArg_ParseTuple(args, "OOOdKKppO(sss):sketch_join", &model, &left, &right,
                          &threshold, &min_collisions, &width, &strict, &upper, &progress,
                          &left_name, &right_name, &width_name) ||
        borrow_sides(model, left, right, &of) < 0)
        return NULL;
    fla_search_options_init(&options);
    options.min_collisions = min_collisions;
    options.strict = strict != 0;
    options.upper = upper != 0;
    if (ext_call_begin(&c, module, progress) == 0) {
        const fla_status status =
            fla_sketch_join(of.model, c.context, &c.call, &of.left, of.second, threshold,
                            width, &options, &pairs, &err);
        ext_call_end(&c);
        if (status == FLA_OK && !c.failed)
            result = ext_pairs(pairs);
        else
            ext_raise(module, status, &err,
                      name_of(&err, left_name, right_name, width_name));
        if (c.failed)
            fla_pairs_free(pairs);
    }
    release_sides(&of);
    return result;
}

PyObject *ext_collisions_count(PyObject *module, PyObject *args)
{
    PyObject *model, *left, *right, *result = NULL;
    const char *left_name, *right_name;
    uint64_t collisions;
    fla_error err = {.row = -1, .column = -1};
    ext_call c;
    sides of;
    if (!PyArg_ParseTuple(args, "OOO(ss):collisions_count", &model, &left, &right,
                          &left_name, &right_name) ||
        borrow_sides(model, left, right, &of) < 0)
        return NULL;
    if (ext_call_begin(&c, module, Py_None) == 0) {
        const fla_status status = fla_collisions_count(
            of.model, c.context, &c.call, &of.left, of.second, &collisions, &err);
        ext_call_end(&c);
        if (status == FLA_OK && !c.failed)
            result = PyLong_FromUnsignedLongLong(collisions);
        else
            ext_raise(module, status, &err, name_of(&err, left_name, right_name, NULL));
    }
    release_sides(&of);
    return result;
}

/* ---- sketches of buckets ---------------------------------------------------------- */

static void free_sketch(PyObject *capsule)
{
    fla_sketch_free(PyCapsule_GetPointer(capsule, SKETCH));
}

PyObject *ext_sketch_new(PyObject *module, PyObject *args)
{
    unsigned long long width;
    const char *name;
    fla_sketch *sketch;
    fla_error err;
    if (!PyArg_ParseTuple(args, "Ks:sketch_new", &width, &name))
        return NULL;
    const fla_status status = fla_sketch_create(width, &sketch, &err);
    if (status != FLA_OK)
        return ext_raise(module, status, &err, name_of(&err, NULL, NULL, name));
    PyObject *capsule = PyCapsule_New(sketch, SKETCH, free_sketch);
    if (capsule == NULL)
        fla_sketch_free(sketch);
    return capsule;
}

PyObject *ext_sketch_bytes(PyObject *module, PyObject *capsule)
{
    const fla_sketch *sketch = PyCapsule_GetPointer(capsule, SKETCH);
    (void)module;
    return sketch != NULL ? PyLong_FromUnsignedLongLong(fla_sketch_bytes(sketch)) : NULL;
}

PyObject *ext_sketch_add_buckets(PyObject *module, PyObject *args)
{
    PyObject *capsule, *buckets;
    fla_sketch *sketch;
    Py_ssize_t rows, tables, hashes;
    Py_buffer in;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOnnn:sketch_add_buckets", &capsule, &buckets, &rows,
                          &tables, &hashes) ||
        (sketch = PyCapsule_GetPointer(capsule, SKETCH)) == NULL ||
        ext_output(buckets, 'q', (size_t)(rows * tables * hashes), &in) < 0)
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    fla_sketch_add_buckets(sketch, in.buf, (size_t)rows, (size_t)tables, (size_t)hashes);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&in);
    Py_RETURN_NONE;
}

/* Two sketches of a call's arguments; -1 with an exception. */
static int two_sketches(PyObject *args, fla_sketch **a, fla_sketch **b)
{
    PyObject *first, *second;
    if (!PyArg_ParseTuple(args, "OO:two sketches", &first, &second))
        return -1;
    *a = PyCapsule_GetPointer(first, SKETCH);
    *b = *a != NULL ? PyCapsule_GetPointer(second, SKETCH) : NULL;
    return *b != NULL ? 0 : -1;
}

PyObject *ext_sketch_merge(PyObject *module, PyObject *args)
{
    fla_sketch *sketch, *other;
    fla_error err;
    if (two_sketches(args, &sketch, &other) < 0)
        return NULL;
    fla_status status;
    Py_BEGIN_ALLOW_THREADS
    status = fla_sketch_merge(sketch, other, &err);
    Py_END_ALLOW_THREADS
    if (status != FLA_OK)
        return ext_raise(module, status, &err, NULL);
    Py_RETURN_NONE;
}

PyObject *ext_sketch_inner(PyObject *module, PyObject *args)
{
    fla_sketch *a, *b;
    uint64_t product;
    fla_error err;
    if (two_sketches(args, &a, &b) < 0)
        return NULL;
    fla_status status;
    Py_BEGIN_ALLOW_THREADS
    status = fla_sketch_inner(a, b, &product, &err);
    Py_END_ALLOW_THREADS
    if (status != FLA_OK)
        return ext_raise(module, status, &err, NULL);
    return PyLong_FromUnsignedLongLong(product);
}
