/* Rows of an Arrow column that cannot be vectors: the first is told, all are counted. */
#include "arrow/faults.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

void fla_row_fault(fla_row_faults *faults, size_t row, int64_t column, const char *format,
                   ...)
{
    if (faults->count++ > 0)
        return;
    va_list values;
    faults->row = row;
    faults->column = column;
    va_start(values, format);
    vsnprintf(faults->what, sizeof faults->what, format, values);
    va_end(values);
}

fla_status fla_row_faults_status(const fla_row_faults *faults, size_t rows,
                                 int64_t first_row, fla_error *err)
{
    if (faults->count == 0)
        return FLA_OK;
    const int64_t row = first_row + (int64_t)faults->row;
    return fla_fail_row(err, FLA_ERR_ROW, "rows", row, faults->column,
                        (int64_t)faults->count,
                        "row %" PRId64
                        " %s; %zu of %zu rows are null, empty, of another length or hold "
                        "a null: remove or repair them",
                        row, faults->what, faults->count, rows);
}
