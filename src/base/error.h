/* Filling the caller's fla_error: the one way a failure is reported. */
#ifndef FLA_BASE_ERROR_H
#define FLA_BASE_ERROR_H

#include "fast_lsh_ann.h"

#if defined(__GNUC__)
#define FLA_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define FLA_PRINTF(text, first)
#endif

/* Describe a failure that no row is to blame for, and return status. */
fla_status fla_fail(fla_error *err, fla_status status, const char *format, ...)
    FLA_PRINTF(3, 4);

/* The same for a failure in a row of an argument; column and bad_rows as in fla_error. */
fla_status fla_fail_row(fla_error *err, fla_status status, const char *argument,
                        int64_t row, int64_t column, int64_t bad_rows, const char *format,
                        ...) FLA_PRINTF(7, 8);

/* The same for an argument as a whole. */
fla_status fla_fail_argument(fla_error *err, fla_status status, const char *argument,
                             const char *format, ...) FLA_PRINTF(4, 5);

/*
 * Check an option struct's leading size: FLA_OK, or FLA_ERR_ARGUMENT naming the _init
 * function that was not called.  A larger size is a newer caller's, whose further fields
 * are not read.
 */
fla_status fla_check_struct(size_t struct_size, size_t known_size, const char *type,
                            fla_error *err);

/* "out of memory", with what the memory was for. */
fla_status fla_fail_memory(fla_error *err, const char *purpose);

#endif
