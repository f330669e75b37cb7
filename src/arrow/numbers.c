/* Arrow's number types by the letter of their format, and their way to floats. */
#include "arrow/numbers.h"

#include "base/fenv.h"

#include <string.h>

char fla_number_type(const char *format)
{
    if (format[0] == '\0' || format[1] != '\0')
        return 0;
    return strchr("cCsSiIlLefg", format[0]) != NULL ? format[0] : 0;
}

bool fla_number_is_integer(char type)
{
    return type != 0 && strchr("cCsSiIlL", type) != NULL;
}

size_t fla_number_size(char type)
{
    switch (type) {
        case 'c':
        case 'C':
            return 1;
        case 's':
        case 'S':
        case 'e':
            return 2;
        case 'i':
        case 'I':
        case 'f':
            return 4;
        default:
            return 8;
    }
}

fla_dtype fla_number_target(char type)
{
    return strchr("cCsSef", type) != NULL ? FLA_F32 : FLA_F64;
}

/* IEEE 754 binary16: 5 bits of exponent, 10 of fraction; subnormals are n / 2^24. */
static float widen_half(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16, fraction = half & 0x3ff;
    const uint32_t exponent = half >> 10 & 0x1f;
    uint32_t bits;
    float value = (float)fraction * 0x1p-24f;
    memcpy(&bits, &value, sizeof bits);
    if (exponent == 0x1f)
        bits = UINT32_C(0x7f800000) | fraction << 13;
    else if (exponent > 0)
        bits = (exponent + 127 - 15) << 23 | fraction << 13;
    bits |= sign;
    memcpy(&value, &bits, sizeof value);
    return value;
}

#define EACH(number, target, convert)                             \
    for (size_t i = 0; i < count; i++) {                          \
        number value;                                             \
        memcpy(&value, numbers + i * sizeof value, sizeof value); \
        ((target *)out)[i] = convert(value);                      \
    }                                                             \
    break

static void convert_each(char type, const unsigned char *numbers, size_t count, void *out)
{
    switch (type) {
        case 'c':
            EACH(int8_t, float, (float));
        case 'C':
            EACH(uint8_t, float, (float));
        case 's':
            EACH(int16_t, float, (float));
        case 'S':
            EACH(uint16_t, float, (float));
        case 'e':
            EACH(uint16_t, float, widen_half);
        case 'i':
            EACH(int32_t, double, (double));
        case 'I':
            EACH(uint32_t, double, (double));
        case 'l':
            EACH(int64_t, double, (double));
        case 'L':
            EACH(uint64_t, double, (double));
        default:
            memcpy(out, numbers, count * fla_number_size(type));
    }
}

void fla_numbers_convert(char type, const unsigned char *numbers, size_t count, void *out)
{
    fenv_t callers;
    fla_fenv_enter(&callers);
    convert_each(type, numbers, count, out);
    fla_fenv_leave(&callers);
}

#define WIDEN(number, wide)                                       \
    {                                                             \
        number value;                                             \
        memcpy(&value, numbers + i * sizeof value, sizeof value); \
        return (uint64_t)(wide)value;                             \
    }

uint64_t fla_integer_at(char type, const unsigned char *numbers, size_t i)
{
    switch (type) {
        case 'c':
            WIDEN(int8_t, int64_t)
        case 'C':
            WIDEN(uint8_t, uint64_t)
        case 's':
            WIDEN(int16_t, int64_t)
        case 'S':
            WIDEN(uint16_t, uint64_t)
        case 'i':
            WIDEN(int32_t, int64_t)
        case 'I':
            WIDEN(uint32_t, uint64_t)
        case 'l':
            WIDEN(int64_t, int64_t)
        default:
            WIDEN(uint64_t, uint64_t)
    }
}
