/* The extension module: its state, its method table, its start and end. */
#include "search.h"

static PyObject *set_threads(PyObject *module, PyObject *argument)
{
    ext_state *state = ext_state_of(module);
    const long threads = PyLong_AsLong(argument);
    if (threads == -1 && PyErr_Occurred())
        return NULL;
    if (threads < 0 || threads > 1 << 20) {
        PyErr_Format(PyExc_ValueError, "threads is out of range: %ld", threads);
        return NULL;
    }
    PyObject *context = ext_context_new(module, (unsigned)threads), *old = state->context;
    if (context == NULL)
        return NULL;
    state->context = context;
    Py_XDECREF(old);
    Py_RETURN_NONE;
}

static PyObject *simd_info(PyObject *module, PyObject *unused)
{
    enum { MOST = 16 };
    const char *names[MOST];
    fla_context *context = ext_context(module);
    const size_t n = fla_simd_tiers(names, MOST);
    (void)unused;
    PyObject *tiers = context != NULL ? PyList_New(0) : NULL;
    for (size_t i = 0; tiers != NULL && i < n; i++) {
        PyObject *name = PyUnicode_FromString(names[i]);
        if (name == NULL || PyList_Append(tiers, name) < 0)
            Py_CLEAR(tiers);
        Py_XDECREF(name);
    }
    if (tiers == NULL)
        return NULL;
    return Py_BuildValue("sNI", fla_context_simd(context), tiers,
                         fla_context_threads(context));
}

static PyObject *register_errors(PyObject *module, PyObject *classes)
{
    ext_state *state = ext_state_of(module);
    PyObject *old = state->errors;
    if (!PyDict_Check(classes)) {
        PyErr_SetString(PyExc_TypeError, "classes must be a dict");
        return NULL;
    }
    state->errors = Py_NewRef(classes);
    Py_XDECREF(old);
    Py_RETURN_NONE;
}

static PyObject *status_names(PyObject *module, PyObject *unused)
{
    PyObject *names = PyList_New(0);
    (void)module;
    (void)unused;
    for (int i = 0; names != NULL && i < FLA_STATUS_END; i++) {
        PyObject *name = PyUnicode_FromString(fla_status_name((fla_status)i));
        if (name == NULL || PyList_Append(names, name) < 0)
            Py_CLEAR(names);
        Py_XDECREF(name);
    }
    return names;
}

static PyMethodDef methods[] = {
    {"set_threads", set_threads, METH_O, NULL},
    {"simd_info", simd_info, METH_NOARGS, NULL},
    {"register_errors", register_errors, METH_O, NULL},
    {"status_names", status_names, METH_NOARGS, NULL},
    {"model_new", ext_model_new, METH_VARARGS, NULL},
    {"model_given", ext_model_given, METH_VARARGS, NULL},
    {"model_functions", ext_model_functions, METH_VARARGS, NULL},
    {"model_hash", ext_model_hash, METH_VARARGS, NULL},
    {"rows_finite", ext_rows_finite, METH_VARARGS, NULL},
    {"index_new", ext_index_new, METH_VARARGS, NULL},
    {"index_neighbors", ext_index_neighbors, METH_VARARGS, NULL},
    {"index_measure", ext_index_measure, METH_O, NULL},
    {"index_explain", ext_index_explain, METH_VARARGS, NULL},
    {"index_pairs", ext_index_pairs, METH_VARARGS, NULL},
    {"index_pair_count", ext_index_pair_count, METH_VARARGS, NULL},
    {"index_radius", ext_index_radius, METH_VARARGS, NULL},
    {"join_open", ext_join_open, METH_VARARGS, NULL},
    {"join_next", ext_join_next, METH_VARARGS, NULL},
    {"sketch_join", ext_sketch_join, METH_VARARGS, NULL},
    {"collisions_count", ext_collisions_count, METH_VARARGS, NULL},
    {"sketch_new", ext_sketch_new, METH_VARARGS, NULL},
    {"sketch_bytes", ext_sketch_bytes, METH_O, NULL},
    {"sketch_add_buckets", ext_sketch_add_buckets, METH_VARARGS, NULL},
    {"sketch_merge", ext_sketch_merge, METH_VARARGS, NULL},
    {"sketch_inner", ext_sketch_inner, METH_VARARGS, NULL},
    {"rows_neighbors", ext_rows_neighbors, METH_VARARGS, NULL},
    {"knn_new", ext_knn_new, METH_VARARGS, NULL},
    {"knn_memory", ext_knn_memory, METH_VARARGS, NULL},
    {"knn_push", ext_knn_push, METH_VARARGS, NULL},
    {"knn_finish", ext_knn_finish, METH_VARARGS, NULL},
    {"stream_open", ext_stream_open, METH_O, NULL},
    {"stream_next", ext_stream_next, METH_O, NULL},
    {"schema_fields", ext_schema_fields, METH_O, NULL},
    {"take_columns", ext_take_columns, METH_VARARGS, NULL},
    {"array_length", ext_array_length, METH_O, NULL},
    {"view_rows", ext_view_rows, METH_VARARGS, NULL},
    {"view_numbers", ext_view_numbers, METH_VARARGS, NULL},
    {"read_ids", ext_read_ids, METH_VARARGS, NULL},
    {"export_batch", ext_export_batch, METH_VARARGS, NULL},
    {"export_stream", ext_export_stream, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

#define STRING(x) #x
#define VERSION(major, minor, patch) STRING(major) "." STRING(minor) "." STRING(patch)

static int start(PyObject *module)
{
    if (PyModule_AddIntConstant(module, "SKETCH_DEPTH", FLA_SKETCH_DEPTH) < 0 ||
        PyModule_AddIntConstant(module, "SKETCH_WIDTH", FLA_SKETCH_WIDTH) < 0)
        return -1;
    return PyModule_AddStringConstant(
        module, "__version__",
        VERSION(FLA_VERSION_MAJOR, FLA_VERSION_MINOR, FLA_VERSION_PATCH));
}

static int traverse(PyObject *module, visitproc visit, void *arg)
{
    const ext_state *state = ext_state_of(module);
    Py_VISIT(state->errors);
    Py_VISIT(state->context);
    return 0;
}

static int clear(PyObject *module)
{
    ext_state *state = ext_state_of(module);
    Py_CLEAR(state->errors);
    Py_CLEAR(state->context);
    return 0;
}

static void end(void *module)
{
    clear(module);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)start},
    {0, NULL},
};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_core",
    .m_doc = "C functions over capsules; fast_lsh_ann is the package for people.",
    .m_size = sizeof(ext_state),
    .m_methods = methods,
    .m_slots = slots,
    .m_traverse = traverse,
    .m_clear = clear,
    .m_free = end,
};

PyMODINIT_FUNC PyInit__core(void);

PyMODINIT_FUNC PyInit__core(void)
{
    return PyModuleDef_Init(&definition);
}
