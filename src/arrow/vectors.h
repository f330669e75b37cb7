/* Spark ML's vectors: a struct of type, size, indices and values. */
#ifndef FLA_ARROW_VECTORS_H
#define FLA_ARROW_VECTORS_H

#include "arrow/memory.h"

bool fla_vectors_type(const struct ArrowSchema *schema);

/*
 * Write vectors of a known type out as dense rows of float64, which memory owns; view's
 * data, rows and dim are set.  Statuses as of fla_arrow_import_rows.
 */
fla_status fla_vectors_read(const struct ArrowSchema *schema,
                            const struct ArrowArray *array, int64_t first_row,
                            fla_arrow_memory *memory, fla_matrix *view, fla_error *err);

#endif
