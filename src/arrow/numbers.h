/* Arrow's number types by the letter of their format, and their way to floats. */
#ifndef FLA_ARROW_NUMBERS_H
#define FLA_ARROW_NUMBERS_H

#include "fast_lsh_ann.h"

/* The letter of a number type, 0 for anything else. */
char fla_number_type(const char *format);

bool fla_number_is_integer(char type);
size_t fla_number_size(char type); /* in bytes */

/* FLA_F32 for what float32 holds exactly, else FLA_F64. */
fla_dtype fla_number_target(char type);

/* Write count numbers, which need no alignment, as fla_number_target says.  64-bit
   integers beyond 2^53 are rounded to the nearest double. */
void fla_numbers_convert(char type, const unsigned char *numbers, size_t count,
                         void *out);

/* Integer i, widened to 64 bits; a negative one in two's complement. */
uint64_t fla_integer_at(char type, const unsigned char *numbers, size_t i);

#endif
