/* Nearest neighbors: in an index, in rows, and in rows that are pushed block by block. */
#include "search.h"

#include <string.h>

/* The outputs of a search and their sizes, borrowed together. */
typedef struct neighbor_buffers {
    Py_buffer indices, distances, counts;
} neighbor_buffers;

static int borrow_outputs(PyObject *const objects[3], size_t queries,
                          neighbor_buffers *out)
{
    if (PyObject_GetBuffer(objects[0], &out->indices, PyBUF_SIMPLE) < 0)
        return -1;
    const size_t values = (size_t)out->indices.len / sizeof(int64_t);
    PyBuffer_Release(&out->indices);
    if (ext_output(objects[0], 'q', values, &out->indices) < 0)
        return -1;
    if (ext_output(objects[1], 'd', values, &out->distances) < 0)
        goto indices;
    if (ext_output(objects[2], 'q', queries, &out->counts) < 0)
        goto distances;
    return 0;
distances:
    PyBuffer_Release(&out->distances);
indices:
    PyBuffer_Release(&out->indices);
    return -1;
}

static void release_outputs(neighbor_buffers *out)
{
    PyBuffer_Release(&out->counts);
    PyBuffer_Release(&out->distances);
    PyBuffer_Release(&out->indices);
}

PyObject *ext_index_neighbors(PyObject *module, PyObject *args)
{
    PyObject *capsule, *queries_object, *outputs[3], *progress, *result = NULL;
    unsigned long long k, min_collisions;
    int plan;
    Py_buffer in;
    neighbor_buffers out;
    fla_search_options options;
    fla_matrix queries;
    fla_error err;
    const char *name;
    ext_call c;
    if (!PyArg_ParseTuple(args, "OOKKiOOOOs:index_neighbors", &capsule, &queries_object,
                          &k, &min_collisions, &plan, &outputs[0], &outputs[1],
                          &outputs[2], &progress, &name))
        return NULL;
    const fla_index *index = ext_index(capsule);
    if (index == NULL || ext_rows(queries_object, 0, &in, &queries) < 0)
        return NULL;
    if (borrow_outputs(outputs, queries.rows, &out) < 0)
        goto in;
    fla_search_options_init(&options);
    options.min_collisions = min_collisions;
    options.plan = (fla_plan)plan;
    if (ext_call_begin(&c, module, progress) < 0)
        goto out;
    const fla_status status = fla_nearest_neighbors(
        index, c.context, &c.call, &queries, (size_t)k, &options, out.indices.buf,
        out.distances.buf, (size_t)out.distances.len / 8, out.counts.buf, &err);
    ext_call_end(&c);
    result = ext_call_result(&c, module, status, &err, name);
out:
    release_outputs(&out);
in:
    PyBuffer_Release(&in);
    return result;
}

static fla_status search_rows(fla_context *context, const fla_call *call,
                              const fla_model *model, const fla_matrix *rows,
                              const fla_matrix *queries, size_t k,
                              const fla_search_options *options, neighbor_buffers *out,
                              fla_error *err)
{
    fla_knn *knn;
    const size_t width = k < rows->rows ? k : rows->rows;
    if ((size_t)out->distances.len / sizeof(double) != queries->rows * width) {
        PyOS_snprintf(err->message, sizeof err->message,
                      "the outputs must have %zu x %zu elements", queries->rows, width);
        return FLA_ERR_SHAPE;
    }
    fla_status status =
        fla_knn_create(context, call, model, queries, k, options, &knn, err);
    if (status != FLA_OK)
        return status;
    status = fla_knn_push(knn, call, rows, err);
    if (status == FLA_OK)
        status = fla_knn_finish(knn, call, width, out->indices.buf, out->distances.buf,
                                out->counts.buf, err);
    fla_knn_free(knn);
    return status;
}

PyObject *ext_rows_neighbors(PyObject *module, PyObject *args)
{
    PyObject *model_object, *rows_object, *queries_object, *outputs[3], *progress;
    PyObject *result = NULL;
    unsigned long long k, min_collisions;
    Py_buffer in_rows, in_queries;
    neighbor_buffers out;
    fla_search_options options;
    fla_matrix rows, queries;
    const fla_model *model;
    const char *rows_name, *queries_name;
    fla_error err = {.row = -1, .column = -1};
    ext_call c;
    if (!PyArg_ParseTuple(args, "OOOKKOOOO(ss):rows_neighbors", &model_object,
                          &rows_object, &queries_object, &k, &min_collisions, &outputs[0],
                          &outputs[1], &outputs[2], &progress, &rows_name,
                          &queries_name) ||
        ext_model(model_object, &model) < 0)
        return NULL;
    if (ext_rows(rows_object, 0, &in_rows, &rows) < 0)
        return NULL;
    if (ext_rows(queries_object, 0, &in_queries, &queries) < 0)
        goto rows;
    if (borrow_outputs(outputs, queries.rows, &out) < 0)
        goto queries;
    fla_search_options_init(&options);
    options.min_collisions = min_collisions;
    if (ext_call_begin(&c, module, progress) < 0)
        goto outputs;
    const fla_status status = search_rows(c.context, &c.call, model, &rows, &queries,
                                          (size_t)k, &options, &out, &err);
    ext_call_end(&c);
    const bool of_rows = err.argument != NULL && strcmp(err.argument, "rows") == 0;
    result =
        ext_call_result(&c, module, status, &err, of_rows ? rows_name : queries_name);
outputs:
    release_outputs(&out);
queries:
    PyBuffer_Release(&in_queries);
rows:
    PyBuffer_Release(&in_rows);
    return result;
}

/* ---- pushed ---------------------------------------------------------------------- */

static const char KNN[] = "fast_lsh_ann.knn";

/* What a knn capsule points to: the search and what it borrows. */
typedef struct knn_object {
    fla_knn *knn;      /* NULL: it failed or was finished */
    PyObject *model;   /* the capsule, or None */
    PyObject *context; /* although set_threads may replace it */
    Py_buffer queries;
    size_t n_queries;
    bool busy; /* a call uses it: read and written under the GIL */
} knn_object;

static void knn_object_free(knn_object *object)
{
    fla_knn_free(object->knn);
    PyBuffer_Release(&object->queries);
    Py_DECREF(object->model);
    Py_XDECREF(object->context);
    PyMem_Free(object);
}

static void free_knn(PyObject *capsule)
{
    knn_object_free(PyCapsule_GetPointer(capsule, KNN));
}

static knn_object *knn_object_new(PyObject *model, PyObject *queries, fla_matrix *view)
{
    knn_object *object = PyMem_Calloc(1, sizeof *object);
    if (object == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    if (ext_rows(queries, 0, &object->queries, view) < 0) {
        PyMem_Free(object);
        return NULL;
    }
    object->model = Py_NewRef(model);
    object->n_queries = view->rows;
    return object;
}

PyObject *ext_knn_new(PyObject *module, PyObject *args)
{
    PyObject *model_object, *queries_object, *capsule = NULL;
    unsigned long long k, min_collisions;
    int plan;
    const fla_model *model;
    const char *name;
    fla_search_options options;
    fla_matrix queries;
    fla_error err;
    ext_call c;
    if (!PyArg_ParseTuple(args, "OOKKis:knn_new", &model_object, &queries_object, &k,
                          &min_collisions, &plan, &name) ||
        ext_model(model_object, &model) < 0)
        return NULL;
    knn_object *object = knn_object_new(model_object, queries_object, &queries);
    if (object == NULL)
        return NULL;
    fla_search_options_init(&options);
    options.min_collisions = min_collisions;
    options.plan = (fla_plan)plan;
    /* Referenced before the GIL is dropped: another thread may replace the context. */
    if (ext_context(module) != NULL)
        object->context = Py_NewRef(ext_state_of(module)->context);
    if (object->context != NULL && ext_call_begin(&c, module, Py_None) == 0) {
        const fla_status status = fla_knn_create(c.context, &c.call, model, &queries,
                                                 (size_t)k, &options, &object->knn, &err);
        ext_call_end(&c);
        if (status == FLA_OK && !c.failed)
            capsule = PyCapsule_New(object, KNN, free_knn);
        else
            ext_raise(module, status, &err, name);
    }
    if (capsule == NULL)
        knn_object_free(object);
    return capsule;
}

/* Take a knn for one call and drop the GIL; NULL with an exception. */
static knn_object *begin_knn_call(ext_call *c, PyObject *module, PyObject *capsule,
                                  PyObject *progress)
{
    knn_object *object = PyCapsule_GetPointer(capsule, KNN);
    if (object == NULL)
        return NULL;
    if (object->busy || object->knn == NULL) {
        PyErr_SetString(PyExc_RuntimeError,
                        object->busy ? "another call uses this search"
                                     : "this search failed or was finished before: make "
                                       "a new one");
        return NULL;
    }
    object->busy = true;
    if (ext_call_begin(c, module, progress) == 0)
        return object;
    object->busy = false;
    return NULL;
}

/* Take the GIL again; over: the search failed or is finished. */
static void end_knn_call(ext_call *c, knn_object *object, bool over)
{
    if (over) { /* every query has a list to free, so not under the GIL */
        fla_knn_free(object->knn);
        object->knn = NULL;
    }
    ext_call_end(c);
    object->busy = false;
}

PyObject *ext_knn_push(PyObject *module, PyObject *args)
{
    PyObject *capsule, *rows_object, *progress, *result = NULL;
    long long first_row;
    const char *name;
    knn_object *object;
    Py_buffer in;
    fla_matrix rows;
    fla_error err;
    ext_call c;
    if (!PyArg_ParseTuple(args, "OOLOs:knn_push", &capsule, &rows_object, &first_row,
                          &progress, &name) ||
        ext_rows(rows_object, first_row, &in, &rows) < 0)
        return NULL;
    if ((object = begin_knn_call(&c, module, capsule, progress)) != NULL) {
        const fla_status status = fla_knn_push(object->knn, &c.call, &rows, &err);
        end_knn_call(&c, object, status != FLA_OK || c.failed);
        result = ext_call_result(&c, module, status, &err, name);
    }
    PyBuffer_Release(&in);
    return result;
}

PyObject *ext_knn_finish(PyObject *module, PyObject *args)
{
    PyObject *capsule, *outputs[3], *progress, *result = NULL;
    Py_ssize_t width;
    knn_object *object;
    neighbor_buffers out;
    fla_error err;
    ext_call c;
    if (!PyArg_ParseTuple(args, "OnOOOO:knn_finish", &capsule, &width, &outputs[0],
                          &outputs[1], &outputs[2], &progress) ||
        (object = PyCapsule_GetPointer(capsule, KNN)) == NULL ||
        borrow_outputs(outputs, object->n_queries, &out) < 0)
        return NULL;
    if ((size_t)out.distances.len / 8 != object->n_queries * (size_t)width)
        PyErr_Format(PyExc_ValueError, "the outputs must have %zu x %zd elements",
                     object->n_queries, width);
    else if (begin_knn_call(&c, module, capsule, progress) != NULL) {
        const fla_status status =
            fla_knn_finish(object->knn, &c.call, (size_t)width, out.indices.buf,
                           out.distances.buf, out.counts.buf, &err);
        end_knn_call(&c, object, true);
        result = ext_call_result(&c, module, status, &err, NULL);
    }
    release_outputs(&out);
    return result;
}

PyObject *ext_knn_memory(PyObject *module, PyObject *args)
{
    PyObject *model_object;
    const fla_model *model;
    unsigned long long n_queries, dim, k, min_collisions, n_rows;
    int plan;
    fla_knn_memory memory = {.struct_size = sizeof memory};
    fla_search_options options;
    fla_error err;
    if (!PyArg_ParseTuple(args, "OKKKKiK:knn_memory", &model_object, &n_queries, &dim, &k,
                          &min_collisions, &plan, &n_rows) ||
        ext_model(model_object, &model) < 0)
        return NULL;
    const fla_context *context = ext_context(module);
    if (context == NULL)
        return NULL;
    fla_search_options_init(&options);
    options.min_collisions = min_collisions;
    options.plan = (fla_plan)plan;
    const fla_status status =
        fla_knn_measure(context, model, (size_t)n_queries, (size_t)dim, (size_t)k,
                        &options, (size_t)n_rows, &memory, &err);
    if (status != FLA_OK)
        return ext_raise(module, status, &err, NULL);
    return Py_BuildValue("KK", (unsigned long long)memory.held,
                         (unsigned long long)memory.passing);
}
