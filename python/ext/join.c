/* Similarity joins: pairs collected into columns, counted, or taken chunk by chunk. */
#include "search.h"

static const char PAIRS[] = "fast_lsh_ann.pairs", JOIN[] = "fast_lsh_ann.join";

/* What every kind of join is asked. */
typedef struct asked {
    double threshold;
    fla_search_options options;
} asked;

static void ask(asked *a, double threshold, unsigned long long min_collisions, int plan,
                int strict, int upper)
{
    a->threshold = threshold;
    fla_search_options_init(&a->options);
    a->options.min_collisions = min_collisions;
    a->options.plan = (fla_plan)plan;
    a->options.strict = strict != 0;
    a->options.upper = upper != 0;
}

/* ---- collected and counted ------------------------------------------------------- */

static void free_pairs(PyObject *capsule)
{
    fla_pairs_free(PyCapsule_GetPointer(capsule, PAIRS));
}

PyObject *ext_pairs(fla_pairs *pairs)
{
    PyObject *owner = PyCapsule_New(pairs, PAIRS, free_pairs);
    if (owner == NULL) {
        fla_pairs_free(pairs);
        return NULL;
    }
    return Py_BuildValue("nNKKK", (Py_ssize_t)pairs->n, owner,
                         (unsigned long long)(uintptr_t)pairs->left,
                         (unsigned long long)(uintptr_t)pairs->right,
                         (unsigned long long)(uintptr_t)pairs->distances);
}

int ext_optional_rows(PyObject *object, int64_t first_row, Py_buffer *buffer,
                      fla_matrix *rows, const fla_matrix **given)
{
    *given = NULL;
    if (object == Py_None)
        return 0;
    if (ext_rows(object, first_row, buffer, rows) < 0)
        return -1;
    *given = rows;
    return 0;
}

PyObject *ext_index_pairs(PyObject *module, PyObject *args)
{
    PyObject *capsule, *rows_object, *progress, *result = NULL;
    const fla_index *index;
    const fla_matrix *given;
    unsigned long long min_collisions;
    long long first_row;
    int plan;
    const char *name;
    double threshold;
    int rows_are_left, strict, upper;
    Py_buffer in = {0};
    fla_pairs *pairs = NULL;
    fla_error err = {.row = -1, .column = -1};
    fla_matrix rows;
    ext_call c;
    asked a;
    if (!PyArg_ParseTuple(args, "OOLpdKippOs:index_pairs", &capsule, &rows_object,
                          &first_row, &rows_are_left, &threshold, &min_collisions, &plan,
                          &strict, &upper, &progress, &name) ||
        (index = ext_index(capsule)) == NULL ||
        ext_optional_rows(rows_object, first_row, &in, &rows, &given) < 0)
        return NULL;
    ask(&a, threshold, min_collisions, plan, strict, upper);
    if (ext_call_begin(&c, module, progress) == 0) {
        const fla_status status = fla_pairs_collect(
            index, c.context, &c.call, rows_are_left ? given : NULL,
            rows_are_left ? NULL : given, a.threshold, &a.options, &pairs, &err);
        ext_call_end(&c);
        if (status == FLA_OK && !c.failed)
            result = ext_pairs(pairs);
        else
            ext_raise(module, status, &err, err.argument != NULL ? name : NULL);
        if (c.failed)
            fla_pairs_free(pairs);
    }
    PyBuffer_Release(&in);
    return result;
}

PyObject *ext_index_pair_count(PyObject *module, PyObject *args)
{
    PyObject *capsule, *rows_object, *progress, *result = NULL;
    const fla_index *index;
    const fla_matrix *given;
    unsigned long long min_collisions;
    long long first_row;
    int plan;
    const char *name;
    double threshold;
    int strict, upper;
    uint64_t count;
    Py_buffer in = {0};
    fla_error err = {.row = -1, .column = -1};
    fla_matrix rows;
    ext_call c;
    asked a;
    if (!PyArg_ParseTuple(args, "OOLdKippOs:index_pair_count", &capsule, &rows_object,
                          &first_row, &threshold, &min_collisions, &plan, &strict, &upper,
                          &progress, &name) ||
        (index = ext_index(capsule)) == NULL ||
        ext_optional_rows(rows_object, first_row, &in, &rows, &given) < 0)
        return NULL;
    ask(&a, threshold, min_collisions, plan, strict, upper);
    if (ext_call_begin(&c, module, progress) == 0) {
        const fla_status status = fla_pairs_count(index, c.context, &c.call, given,
                                                  a.threshold, &a.options, &count, &err);
        ext_call_end(&c);
        if (status == FLA_OK && !c.failed)
            result = PyLong_FromUnsignedLongLong(count);
        else
            ext_raise(module, status, &err, err.argument != NULL ? name : NULL);
    }
    PyBuffer_Release(&in);
    return result;
}

/* ---- chunk by chunk -------------------------------------------------------------- */

/* What a join capsule points to: the join and what it borrows. */
typedef struct join_object {
    fla_join *join;
    PyObject *left, *right; /* index capsules; right may be None */
    PyObject *context;      /* although set_threads may replace it */
    bool busy;              /* a chunk is being taken: under the GIL, so no race */
} join_object;

static void free_join(PyObject *capsule)
{
    join_object *object = PyCapsule_GetPointer(capsule, JOIN);
    fla_join_free(object->join);
    Py_DECREF(object->left);
    Py_DECREF(object->right);
    Py_DECREF(object->context);
    PyMem_Free(object);
}

PyObject *ext_join_open(PyObject *module, PyObject *args)
{
    PyObject *left_object, *right_object, *capsule;
    const fla_index *left, *right = NULL;
    unsigned long long min_collisions;
    int plan;
    fla_error err = {.row = -1, .column = -1};
    fla_join *join;
    double threshold;
    int strict, upper;
    asked a;
    if (!PyArg_ParseTuple(args, "OOdKipp:join_open", &left_object, &right_object,
                          &threshold, &min_collisions, &plan, &strict, &upper) ||
        (left = ext_index(left_object)) == NULL)
        return NULL;
    if (right_object != Py_None && (right = ext_index(right_object)) == NULL)
        return NULL;
    fla_context *context = ext_context(module);
    if (context == NULL)
        return NULL;
    ask(&a, threshold, min_collisions, plan, strict, upper);
    const fla_status status =
        fla_join_open(left, context, right, a.threshold, &a.options, &join, &err);
    if (status != FLA_OK)
        return ext_raise(module, status, &err, NULL);
    join_object *object = PyMem_Calloc(1, sizeof *object);
    if (object == NULL || (capsule = PyCapsule_New(object, JOIN, free_join)) == NULL) {
        PyMem_Free(object);
        fla_join_free(join);
        return object == NULL ? PyErr_NoMemory() : NULL;
    }
    object->join = join;
    object->left = Py_NewRef(left_object);
    object->right = Py_NewRef(right_object);
    object->context = Py_NewRef(ext_state_of(module)->context);
    return capsule;
}

/* The columns of a chunk, borrowed together. */
typedef struct chunk {
    Py_buffer left, right, distances;
    size_t room, n;
} chunk;

static int borrow_chunk(PyObject *const objects[3], chunk *out)
{
    if (PyObject_GetBuffer(objects[0], &out->left, PyBUF_SIMPLE) < 0)
        return -1;
    out->room = (size_t)out->left.len / sizeof(int64_t);
    out->n = 0;
    PyBuffer_Release(&out->left);
    if (ext_output(objects[0], 'q', out->room, &out->left) < 0)
        return -1;
    if (ext_output(objects[1], 'q', out->room, &out->right) < 0)
        goto left;
    if (ext_output(objects[2], 'd', out->room, &out->distances) < 0)
        goto right;
    return 0;
right:
    PyBuffer_Release(&out->right);
left:
    PyBuffer_Release(&out->left);
    return -1;
}

static fla_status fill(chunk *out, fla_join *join, const fla_call *call, fla_error *err)
{
    int64_t *left = out->left.buf, *right = out->right.buf;
    double *distances = out->distances.buf;
    const fla_pair *pairs;
    size_t n = 1;
    fla_status status = FLA_OK;
    while (out->n < out->room && status == FLA_OK && n > 0) {
        status = fla_join_next(join, call, out->room - out->n, &pairs, &n, err);
        for (size_t i = 0; i < n; i++, out->n++) {
            left[out->n] = pairs[i].left;
            right[out->n] = pairs[i].right;
            distances[out->n] = pairs[i].distance;
        }
    }
    return status;
}

PyObject *ext_join_next(PyObject *module, PyObject *args)
{
    PyObject *capsule, *outputs[3], *progress, *result = NULL;
    fla_error err = {.row = -1, .column = -1};
    join_object *object;
    chunk out;
    ext_call c;
    if (!PyArg_ParseTuple(args, "OOOOO:join_next", &capsule, &outputs[0], &outputs[1],
                          &outputs[2], &progress) ||
        (object = PyCapsule_GetPointer(capsule, JOIN)) == NULL)
        return NULL;
    if (object->busy) {
        PyErr_SetString(PyExc_RuntimeError, "another thread takes pairs of this join");
        return NULL;
    }
    if (borrow_chunk(outputs, &out) < 0)
        return NULL;
    if (ext_call_begin(&c, module, progress) == 0) {
        object->busy = true;
        const fla_status status = fill(&out, object->join, &c.call, &err);
        ext_call_end(&c);
        object->busy = false;
        if (status == FLA_OK && !c.failed)
            result = PyLong_FromSize_t(out.n);
        else
            ext_raise(module, status, &err, NULL);
    }
    PyBuffer_Release(&out.distances);
    PyBuffer_Release(&out.right);
    PyBuffer_Release(&out.left);
    return result;
}
