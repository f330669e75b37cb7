/* Filling the caller's fla_error: the one way a failure is reported. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>

static const char *const status_names[FLA_STATUS_END] = {
    [FLA_OK] = "FLA_OK",
    [FLA_ERR_ARGUMENT] = "FLA_ERR_ARGUMENT",
    [FLA_ERR_SHAPE] = "FLA_ERR_SHAPE",
    [FLA_ERR_NONFINITE] = "FLA_ERR_NONFINITE",
    [FLA_ERR_ROW] = "FLA_ERR_ROW",
    [FLA_ERR_RANGE] = "FLA_ERR_RANGE",
    [FLA_ERR_MEMORY] = "FLA_ERR_MEMORY",
    [FLA_ERR_CANCELLED] = "FLA_ERR_CANCELLED",
    [FLA_ERR_SIMD] = "FLA_ERR_SIMD",
    [FLA_ERR_ARROW] = "FLA_ERR_ARROW",
    [FLA_ERR_SINK] = "FLA_ERR_SINK",
    [FLA_ERR_TYPE] = "FLA_ERR_TYPE",
};

const char *fla_status_name(fla_status status)
{
    if ((int)status < 0 || status >= FLA_STATUS_END)
        return "unknown status";
    return status_names[status];
}

static void fill(fla_error *err, fla_status status, const char *argument, int64_t row,
                 int64_t column, int64_t bad_rows)
{
    err->status = status;
    err->argument = argument;
    err->row = row;
    err->column = column;
    err->bad_rows = bad_rows;
}

fla_status fla_fail(fla_error *err, fla_status status, const char *format, ...)
{
    if (err != NULL) {
        va_list values;
        fill(err, status, NULL, -1, -1, 0);
        va_start(values, format);
        vsnprintf(err->message, sizeof err->message, format, values);
        va_end(values);
    }
    return status;
}

fla_status fla_fail_argument(fla_error *err, fla_status status, const char *argument,
                             const char *format, ...)
{
    if (err != NULL) {
        va_list values;
        fill(err, status, argument, -1, -1, 0);
        va_start(values, format);
        vsnprintf(err->message, sizeof err->message, format, values);
        va_end(values);
    }
    return status;
}

fla_status fla_fail_row(fla_error *err, fla_status status, const char *argument,
                        int64_t row, int64_t column, int64_t bad_rows, const char *format,
                        ...)
{
    if (err != NULL) {
        va_list values;
        fill(err, status, argument, row, column, bad_rows);
        va_start(values, format);
        vsnprintf(err->message, sizeof err->message, format, values);
        va_end(values);
    }
    return status;
}

fla_status fla_check_struct(size_t struct_size, size_t known_size, const char *type,
                            fla_error *err)
{
    if (struct_size >= known_size)
        return FLA_OK;
    return fla_fail_argument(err, FLA_ERR_ARGUMENT, "struct_size",
                             "struct_size of %s is %zu, at least %zu is known here: call "
                             "%s_init before setting fields",
                             type, struct_size, known_size, type);
}

fla_status fla_fail_memory(fla_error *err, const char *purpose)
{
    return fla_fail(err, FLA_ERR_MEMORY, "out of memory for %s", purpose);
}
