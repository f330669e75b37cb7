/* Rows of an Arrow column that cannot be vectors: the first is told, all are counted. */
#ifndef FLA_ARROW_FAULTS_H
#define FLA_ARROW_FAULTS_H

#include "base/error.h"

typedef struct fla_row_faults {
    size_t count;
    size_t row;     /* the first one */
    int64_t column; /* where in it; -1: as a whole */
    char what[112]; /* what is wrong with it, to follow "row 7" */
} fla_row_faults;

/* Count a row, and describe it if it is the first. */
void fla_row_fault(fla_row_faults *faults, size_t row, int64_t column, const char *format,
                   ...) FLA_PRINTF(4, 5);

/* FLA_OK when there are none, else FLA_ERR_ROW.  rows: how many were looked at. */
fla_status fla_row_faults_status(const fla_row_faults *faults, size_t rows,
                                 int64_t first_row, fla_error *err);

#endif
