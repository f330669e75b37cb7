/* Borrowed rows: addressing, widening, checking their shape. */
#include "lsh/rows.h"

#include <string.h>

#include "base/alloc.h"
#include "base/error.h"

static double read_f32(const char *row, size_t j)
{
    float value;
    memcpy(&value, row + j * sizeof value, sizeof value);
    return (double)value;
}

static double read_f64(const char *row, size_t j)
{
    double value;
    memcpy(&value, row + j * sizeof value, sizeof value);
    return value;
}

double fla_row_value(const fla_matrix *rows, size_t i, size_t j)
{
    const char *row = fla_row(rows, i);
    return rows->dtype == FLA_F32 ? read_f32(row, j) : read_f64(row, j);
}

void fla_row_widen(const fla_matrix *rows, size_t i, double *out)
{
    const char *row = fla_row(rows, i);
    if (rows->dtype == FLA_F32) {
        for (size_t j = 0; j < rows->dim; j++)
            out[j] = read_f32(row, j);
    } else {
        for (size_t j = 0; j < rows->dim; j++)
            out[j] = read_f64(row, j);
    }
}

void fla_rows_group(const fla_matrix *rows, size_t first, const void *group[FLA_GROUP])
{
    const size_t last = rows->rows - 1;
    if (first + FLA_GROUP <= rows->rows) { /* nearly always */
        for (size_t i = 0; i < FLA_GROUP; i++)
            group[i] = fla_row(rows, first + i);
        return;
    }
    for (size_t i = 0; i < FLA_GROUP; i++)
        group[i] = fla_row(rows, fla_size_min(first + i, last));
}

fla_matrix fla_rows_slice(const fla_matrix *rows, size_t first, size_t n)
{
    fla_matrix slice = *rows;
    slice.data = n > 0 ? fla_row(rows, first) : rows->data;
    slice.rows = n;
    slice.first_row += (int64_t)first;
    return slice;
}

fla_status fla_rows_check_shape(const fla_matrix *rows, size_t dim, const char *argument,
                                fla_error *err)
{
    const size_t size = rows->dtype == FLA_F32 ? sizeof(float) : sizeof(double);
    if (rows->dtype != FLA_F32 && rows->dtype != FLA_F64)
        return fla_fail_argument(err, FLA_ERR_ARGUMENT, argument,
                                 "dtype %d is not one of fla_dtype", (int)rows->dtype);
    if (rows->rows == 0 && rows->dim == 0)
        return FLA_OK;
    if (rows->dim == 0)
        return fla_fail_argument(
            err, FLA_ERR_SHAPE, argument,
            "rows must have at least 1 coordinate, got %zu rows of 0", rows->rows);
    if (dim != 0 && rows->dim != dim)
        return fla_fail_argument(err, FLA_ERR_SHAPE, argument,
                                 "rows must have %zu coordinates, got %zu", dim,
                                 rows->dim);
    if (rows->rows > 0 && rows->data == NULL)
        return fla_fail_argument(err, FLA_ERR_ARGUMENT, argument,
                                 "data is NULL for %zu rows", rows->rows);
    if (rows->dim > PTRDIFF_MAX / size || rows->rows > INT64_MAX)
        return fla_fail_argument(err, FLA_ERR_SHAPE, argument,
                                 "%zu rows of %zu coordinates pass the address space",
                                 rows->rows, rows->dim);
    return FLA_OK;
}

fla_pack_fn *fla_pack_kernel(const fla_kernels *kernels, fla_dtype dtype)
{
    return dtype == FLA_F32 ? kernels->floats->pack_f32 : kernels->floats->pack_f64;
}

fla_center_fn *fla_center_kernel(const fla_kernels *kernels, fla_dtype dtype)
{
    return dtype == FLA_F32 ? kernels->floats->center_f32 : kernels->floats->center_f64;
}
