/* Models, hashing and indexes. */
#include "search.h"

#include <string.h>

static const char MODEL[] = "fast_lsh_ann.model";

static void free_model(PyObject *capsule)
{
    fla_model_free(PyCapsule_GetPointer(capsule, MODEL));
}

static PyObject *new_model(PyObject *module, fla_model_options *options, size_t dim)
{
    fla_model *model;
    fla_error err;
    ext_call c;
    if (ext_call_begin(&c, module, Py_None) < 0)
        return NULL;
    options->call = &c.call;
    const fla_status status = fla_model_create(options, dim, &model, &err);
    ext_call_end(&c);
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
    result = ext_call_result(&c, module, status, &err, name);
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
    result = ext_call_result(&c, module, status, &err, NULL);
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
        return ext_call_result(&c, module, status, &err, NULL);
    return Py_BuildValue(
        "idKKdd", (int)why.plan, why.candidate_share, (unsigned long long)why.short_form,
        (unsigned long long)why.row_bytes, why.dense_seconds, why.bucket_seconds);
}
