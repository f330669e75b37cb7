/* Neighbors within a radius: lists that Python then owns. */
#include "search.h"

static const char LISTS[] = "fast_lsh_ann.lists";

static void free_lists(PyObject *capsule)
{
    fla_neighbor_lists_free(PyCapsule_GetPointer(capsule, LISTS));
}

/* Give the lists to Python as (neighbors, owner, three addresses). */
static PyObject *result_of(fla_neighbor_lists *lists)
{
    const Py_ssize_t neighbors = (Py_ssize_t)lists->indptr[lists->queries];
    PyObject *owner = PyCapsule_New(lists, LISTS, free_lists);
    if (owner == NULL) {
        fla_neighbor_lists_free(lists);
        return NULL;
    }
    return Py_BuildValue("nNKKK", neighbors, owner,
                         (unsigned long long)(uintptr_t)lists->indptr,
                         (unsigned long long)(uintptr_t)lists->indices,
                         (unsigned long long)(uintptr_t)lists->distances);
}

PyObject *ext_index_radius(PyObject *module, PyObject *args)
{
    PyObject *capsule, *queries_object, *radius_object, *progress, *result = NULL;
    const fla_index *index;
    unsigned long long min_collisions;
    int plan;
    Py_buffer in, radius;
    fla_neighbor_lists *lists = NULL;
    fla_search_options options;
    fla_matrix queries;
    fla_error err = {.row = -1, .column = -1};
    const char *name;
    int strict;
    ext_call c;
    if (!PyArg_ParseTuple(args, "OOOKipOs:index_radius", &capsule, &queries_object,
                          &radius_object, &min_collisions, &plan, &strict, &progress,
                          &name) ||
        (index = ext_index(capsule)) == NULL ||
        ext_rows(queries_object, 0, &in, &queries) < 0)
        return NULL;
    if (ext_doubles(radius_object, &radius) < 0)
        goto in;
    fla_search_options_init(&options);
    options.min_collisions = min_collisions;
    options.plan = (fla_plan)plan;
    options.strict = strict != 0;
    if (ext_call_begin(&c, module, progress) == 0) {
        const fla_status status =
            fla_radius_neighbors(index, c.context, &c.call, &queries, radius.buf,
                                 (size_t)radius.len / 8, &options, &lists, &err);
        ext_call_end(&c);
        if (status == FLA_OK && !c.failed)
            result = result_of(lists);
        else
            ext_raise(module, status, &err, name);
        if (c.failed)
            fla_neighbor_lists_free(lists);
    }
    PyBuffer_Release(&radius);
in:
    PyBuffer_Release(&in);
    return result;
}
