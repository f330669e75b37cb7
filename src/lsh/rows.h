/* Borrowed rows: addressing, widening, checking their shape. */
#ifndef FLA_LSH_ROWS_H
#define FLA_LSH_ROWS_H

#include "fast_lsh_ann.h"
#include "kernels/kernels.h"

static inline const void *fla_row(const fla_matrix *rows, size_t i)
{
    return (const char *)rows->data + (ptrdiff_t)i * rows->row_stride_bytes;
}

/* Bytes of a row's coordinates. */
static inline size_t fla_row_bytes(const fla_matrix *rows)
{
    return rows->dim * (rows->dtype == FLA_F32 ? sizeof(float) : sizeof(double));
}

/* Coordinate j of a row, widened to double; the row may be unaligned. */
double fla_row_value(const fla_matrix *rows, size_t i, size_t j);

/* All coordinates of a row, widened to double. */
void fla_row_widen(const fla_matrix *rows, size_t i, double *out);

/* Pointers to 16 rows from first on; past the end they repeat the last row. */
void fla_rows_group(const fla_matrix *rows, size_t first, const void *group[FLA_GROUP]);

/* Rows first .. first + n - 1 as a matrix of their own. */
fla_matrix fla_rows_slice(const fla_matrix *rows, size_t first, size_t n);

/*
 * Check a view's own sense and, unless dim is 0, its dimension.  An empty matrix of
 * dimension 0 passes: nothing is known about rows that are not there.
 */
fla_status fla_rows_check_shape(const fla_matrix *rows, size_t dim, const char *argument,
                                fla_error *err);

/* The kernels for rows of this type. */
fla_pack_fn *fla_pack_kernel(const fla_kernels *kernels, fla_dtype dtype);
fla_center_fn *fla_center_kernel(const fla_kernels *kernels, fla_dtype dtype);

#endif
