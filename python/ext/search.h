/* The extension's functions on models, indexes and joins, and what they share. */
#ifndef FLA_EXT_SEARCH_H
#define FLA_EXT_SEARCH_H

#include "ext.h"

/* A model capsule's model; None gives NULL.  -1 with an exception for anything else. */
int ext_model(PyObject *object, const fla_model **model);

/* An index capsule's index; NULL with an exception for anything else. */
const fla_index *ext_index(PyObject *capsule);

/* Rows that may be None: then *given is NULL, else rows.  -1 with an exception. */
int ext_optional_rows(PyObject *object, int64_t first_row, Py_buffer *buffer,
                      fla_matrix *rows, const fla_matrix **given);

/* Give pairs' columns to Python, their owner from now on, as (pairs, owner, three
   addresses). */
PyObject *ext_pairs(fla_pairs *pairs);

PyObject *ext_model_new(PyObject *module, PyObject *args);
PyObject *ext_model_given(PyObject *module, PyObject *args);
PyObject *ext_model_functions(PyObject *module, PyObject *args);
PyObject *ext_model_hash(PyObject *module, PyObject *args);
PyObject *ext_rows_finite(PyObject *module, PyObject *args);
PyObject *ext_index_new(PyObject *module, PyObject *args);
PyObject *ext_index_neighbors(PyObject *module, PyObject *args);
PyObject *ext_index_measure(PyObject *module, PyObject *capsule);
PyObject *ext_index_explain(PyObject *module, PyObject *args);
PyObject *ext_rows_neighbors(PyObject *module, PyObject *args);
PyObject *ext_knn_new(PyObject *module, PyObject *args);
PyObject *ext_knn_memory(PyObject *module, PyObject *args);
PyObject *ext_knn_push(PyObject *module, PyObject *args);
PyObject *ext_knn_finish(PyObject *module, PyObject *args);
PyObject *ext_index_pairs(PyObject *module, PyObject *args);
PyObject *ext_index_pair_count(PyObject *module, PyObject *args);
PyObject *ext_index_radius(PyObject *module, PyObject *args);
PyObject *ext_join_open(PyObject *module, PyObject *args);
PyObject *ext_join_next(PyObject *module, PyObject *args);
PyObject *ext_sketch_join(PyObject *module, PyObject *args);
PyObject *ext_collisions_count(PyObject *module, PyObject *args);
PyObject *ext_sketch_new(PyObject *module, PyObject *args);
PyObject *ext_sketch_bytes(PyObject *module, PyObject *capsule);
PyObject *ext_sketch_add_buckets(PyObject *module, PyObject *args);
PyObject *ext_sketch_merge(PyObject *module, PyObject *args);
PyObject *ext_sketch_inner(PyObject *module, PyObject *args);

#endif
