/* Models, hashing and nearest neighbors. */
#include "search.h"

#include <string.h>

static const char MODEL[] = "fast_lsh_ann.model";

static void free_model(PyObject *capsule)
{
    fla_model_free(PyCapsule_GetPointer(capsule, MODEL));
}

static PyObject *new_model(PyObject *module, const fla_model_options *options, size_t dim)
{
    fla_model *model;
    fla_error err;
    fla_status status;
    Py_BEGIN_ALLOW_THREADS
    status = fla_model_create(options, dim, &model, &err);
    Py_END_ALLOW_THREADS
    if (status != FLA_OK)
        return ext_raise(module, status, &err, NULL);
    PyObject *capsule = PyCapsule_New(model, MODEL, free_model);
    if (capsule == NULL)
        fla_model_free(model);
    return capsule;
}

PyObject *ext_model_new(PyObject *module, PyObject *args)
{
    fla_model_options options;
    Py_ssize_t tables, dim, hashes;
    long long seed;
    double bucket_length;
    int profile, projection;
    if (!PyArg_ParseTuple(args, "dnLnini:model_new", &bucket_length, &tables, &seed, &dim,
                          &profile, &hashes, &projection))
        return NULL;
    fla_model_options_init(&options);
    options.bucket_length = bucket_length;
    options.num_hash_tables = tables > 0 ? (uint64_t)tables : 0;
    options.seed = seed;
    options.profile = (fla_profile)profile;
    options.num_hashes_per_table = hashes > 0 ? (uint64_t)hashes : 0;
    options.projection = (fla_projection)projection;
    return new_model(module, &options, dim > 0 ? (size_t)dim : 0);
}

PyObject *ext_model_given(PyObject *module, PyObject *args)
{
    PyObject *object, *capsule;
    fla_model_options options;
    double bucket_length;
    Py_ssize_t tables;
    Py_buffer vectors;
    if (!PyArg_ParseTuple(args, "dnO:model_given", &bucket_length, &tables, &object) ||
        ext_doubles(object, &vectors) < 0)
        return NULL;
    const size_t values = (size_t)vectors.len / sizeof(double);
    if (tables < 1 || values % (size_t)tables != 0) {
        PyBuffer_Release(&vectors);
        PyErr_SetString(PyExc_ValueError, "vectors must be [tables, dim]");
        return NULL;
    }
    fla_model_options_init(&options);
    options.bucket_length = bucket_length;
    options.num_hash_tables = (uint64_t)tables;
    options.vectors = vectors.buf;
    capsule = new_model(module, &options, values / (size_t)tables);
    PyBuffer_Release(&vectors);
    return capsule;
}

/* None when the call went well, else NULL with its exception. */
static PyObject *finish_call(PyObject *module, const ext_call *c, fla_status status,
                             const fla_error *err, const char *name)
{
    if (status != FLA_OK || c->failed)
        return ext_raise(module, status, err, name);
    return Py_NewRef(Py_None);
}

int ext_model(PyObject *object, const fla_model **model)
{
    *model = NULL;
    if (object == Py_None)
        return 0;
    *model = PyCapsule_GetPointer(object, MODEL);
    return *model != NULL ? 0 : -1;
}

/* Hash functions of a model: buckets of a row. */
static size_t functions_of(const fla_model *model)
{
    return fla_model_tables(model) * fla_model_hashes(model);
}

PyObject *ext_model_functions(PyObject *module, PyObject *args)
{
    PyObject *capsule, *objects[2];
    const fla_model *model;
    Py_buffer vectors, offsets;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOO:model_functions", &capsule, &objects[0],
                          &objects[1]) ||
        (model = PyCapsule_GetPointer(capsule, MODEL)) == NULL)
        return NULL;
    const size_t functions = functions_of(model);
    const size_t values = functions * fla_model_dim(model);
    if (ext_output(objects[0], 'd', values, &vectors) < 0)
        return NULL;
    if (ext_output(objects[1], 'd', functions, &offsets) < 0) {
        PyBuffer_Release(&vectors);
        return NULL;
    }
    memcpy(vectors.buf, fla_model_vectors(model), values * sizeof(double));
    memcpy(offsets.buf, fla_model_offsets(model), functions * sizeof(double));
    PyBuffer_Release(&offsets);
    PyBuffer_Release(&vectors);
    Py_RETURN_NONE;
}

PyObject *ext_model_hash(PyObject *module, PyObject *args)
{
    PyObject *capsule, *object, *out_object, *progress, *result = NULL;
    Py_buffer in = {0}, out = {0};
    const fla_model *model;
    const char *name;
    long long first_row;
    fla_matrix rows;
    fla_error err;
    ext_call c;
    if (!PyArg_ParseTuple(args, "OOLOOs:model_hash", &capsule, &object, &first_row,
                          &out_object, &progress, &name) ||
        (model = PyCapsule_GetPointer(capsule, MODEL)) == NULL)
        return NULL;
    if (ext_rows(object, first_row, &in, &rows) < 0)
        return NULL;
    if (ext_output(out_object, 'q', rows.rows * functions_of(model), &out) < 0)
        goto in;
    if (ext_call_begin(&c, module, progress) < 0)
        goto out;
    /* Both buffers stay exported while the GIL is dropped, so neither can move. */
    const fla_status status = fla_model_hash(model, c.context, &c.call, &rows, out.buf,
                                             (size_t)out.len / 8, &err);
    ext_call_end(&c);
    result = finish_call(module, &c, status, &err, name);
out:
    PyBuffer_Release(&out);
in:
    PyBuffer_Release(&in);
    return result;
}

PyObject *ext_rows_finite(PyObject *module, PyObject *args)
{
    PyObject *object, *out_object, *result = NULL;
    Py_buffer in, out;
    fla_matrix rows;
    fla_error err;
    ext_call c;
    if (!PyArg_ParseTuple(args, "OO:rows_finite", &object, &out_object) ||
        ext_rows(object, 0, &in, &rows) < 0)
        return NULL;
    if (PyObject_GetBuffer(out_object, &out, PyBUF_WRITABLE) < 0)
        goto in;
    if (ext_call_begin(&c, module, Py_None) < 0)
        goto out;
    const fla_status status =
        fla_rows_find_finite(c.context, &c.call, &rows, out.buf, (size_t)out.len, &err);
    ext_call_end(&c);
    result = finish_call(module, &c, status, &err, NULL);
out:
    PyBuffer_Release(&out);
in:
    PyBuffer_Release(&in);
    return result;
}

/* ---- indexes ------------------------------------------------------------------- */

static const char INDEX[] = "fast_lsh_ann.index";

/* What an index capsule points to: the index and what it borrows. */
typedef struct index_object {
    fla_index *index;
    PyObject *model; /* the capsule, or None */
    Py_buffer rows;
} index_object;

static index_object *index_object_new(PyObject *model, PyObject *rows, int64_t first_row,
                                      fla_matrix *view)
{
    index_object *object = PyMem_Calloc(1, sizeof *object);
    if (object == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    if (ext_rows(rows, first_row, &object->rows, view) < 0) {
        PyMem_Free(object);
        return NULL;
    }
    object->model = Py_NewRef(model);
    return object;
}

static void index_object_free(index_object *object)
{
    fla_index_free(object->index);
    PyBuffer_Release(&object->rows);
    Py_DECREF(object->model);
    PyMem_Free(object);
}

static void free_index(PyObject *capsule)
{
    index_object_free(PyCapsule_GetPointer(capsule, INDEX));
}

PyObject *ext_index_new(PyObject *module, PyObject *args)
{
    PyObject *model_object, *rows_object, *capsule = NULL;
    const fla_model *model;
    const char *name;
    long long first_row;
    fla_matrix rows;
    fla_error err;
    ext_call c;
    if (!PyArg_ParseTuple(args, "OOLs:index_new", &model_object, &rows_object, &first_row,
                          &name) ||
        ext_model(model_object, &model) < 0)
        return NULL;
    index_object *object = index_object_new(model_object, rows_object, first_row, &rows);
    if (object == NULL)
        return NULL;
    if (ext_call_begin(&c, module, Py_None) == 0) {
        const fla_status status =
            fla_index_create(c.context, &c.call, model, &rows, &object->index, &err);
        ext_call_end(&c);
        if (status == FLA_OK)
            capsule = PyCapsule_New(object, INDEX, free_index);
        else
            ext_raise(module, status, &err, name);
    }
    if (capsule == NULL)
        index_object_free(object);
    return capsule;
}

const fla_index *ext_index(PyObject *capsule)
{
    const index_object *object = PyCapsule_GetPointer(capsule, INDEX);
    return object != NULL ? object->index : NULL;
}

/* ---- nearest neighbors --------------------------------------------------------- */

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
    result = finish_call(module, &c, status, &err, name);
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
    result = finish_call(module, &c, status, &err, of_rows ? rows_name : queries_name);
outputs:
    release_outputs(&out);
queries:
    PyBuffer_Release(&in_queries);
rows:
    PyBuffer_Release(&in_rows);
    return result;
}

PyObject *ext_index_measure(PyObject *module, PyObject *capsule)
{
    fla_index_memory memory = {.struct_size = sizeof memory};
    fla_error err;
    const fla_index *index = ext_index(capsule);
    if (index == NULL)
        return NULL;
    const fla_status status = fla_index_measure(index, &memory, &err);
    if (status != FLA_OK)
        return ext_raise(module, status, &err, NULL);
    return Py_BuildValue(
        "KKKKK", (unsigned long long)memory.rows, (unsigned long long)memory.codes,
        (unsigned long long)memory.short_forms, (unsigned long long)memory.buckets,
        (unsigned long long)memory.runs);
}

PyObject *ext_index_explain(PyObject *module, PyObject *args)
{
    PyObject *capsule;
    unsigned long long n_queries, min_collisions;
    int plan;
    fla_explanation why = {.struct_size = sizeof why};
    fla_search_options options;
    fla_error err;
    ext_call c;
    if (!PyArg_ParseTuple(args, "OKKi:index_explain", &capsule, &n_queries,
                          &min_collisions, &plan))
        return NULL;
    const fla_index *index = ext_index(capsule);
    if (index == NULL || ext_call_begin(&c, module, Py_None) < 0)
        return NULL;
    fla_search_options_init(&options);
    options.min_collisions = min_collisions;
    options.plan = (fla_plan)plan;
    const fla_status status =
        fla_index_explain(index, c.context, (size_t)n_queries, &options, &why, &err);
    ext_call_end(&c);
    if (status != FLA_OK)
        return finish_call(module, &c, status, &err, NULL);
    return Py_BuildValue(
        "idKKdd", (int)why.plan, why.candidate_share, (unsigned long long)why.short_form,
        (unsigned long long)why.row_bytes, why.dense_seconds, why.bucket_seconds);
}
