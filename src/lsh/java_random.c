/*
 * java.util.Random, to the last bit.
 *
 * The generator and the polar method are those of the Java class's documentation; the
 * logarithm is fdlibm's e_log as published by Sun, because glibc's differs in the last
 * bit for 7 % of the arguments that occur.  Nothing here may be contracted to fused
 * steps.
 */
#include "lsh/java_random.h"

#include <math.h>
#include <string.h>

static const uint64_t STATE_MASK = ((uint64_t)1 << 48) - 1;
static const uint64_t MULTIPLIER = 0x5DEECE66D;

void fla_java_random_init(fla_java_random *random, int64_t seed)
{
    random->state = ((uint64_t)seed ^ MULTIPLIER) & STATE_MASK;
    random->spare = 0;
    random->has_spare = false;
}

/* The top bits of the next state; bits <= 31, so the sign of Java's int never matters. */
static uint64_t next(fla_java_random *random, int bits)
{
    random->state = (random->state * MULTIPLIER + 0xB) & STATE_MASK;
    return random->state >> (48 - bits);
}

double fla_java_random_double(fla_java_random *random)
{
    const uint64_t high = next(random, 26);
    const uint64_t low = next(random, 27);
    return (double)((high << 27) + low) * 0x1p-53;
}

double fla_java_random_gaussian(fla_java_random *random)
{
    double v1, v2, s;
    if (random->has_spare) {
        random->has_spare = false;
        return random->spare;
    }
    do {
        v1 = 2 * fla_java_random_double(random) - 1;
        v2 = 2 * fla_java_random_double(random) - 1;
        s = v1 * v1 + v2 * v2;
    } while (s >= 1 || s == 0);
    const double multiplier = sqrt(-2 * fla_strict_log(s) / s);
    random->spare = v2 * multiplier;
    random->has_spare = true;
    return v1 * multiplier;
}

static double with_high_word(double x, uint32_t high)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = ((uint64_t)high << 32) | (bits & 0xffffffffu);
    memcpy(&x, &bits, sizeof bits);
    return x;
}

static uint32_t high_word(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint32_t)(bits >> 32);
}

/* ln 2 in two parts: LN2_HIGH * k is exact for every exponent k. */
static const double LN2_HIGH = 0x1.62e42feep-1, LN2_LOW = 0x1.a39ef35793c76p-33;

/* log(1 + f) + k * ln 2 for |f| < 2^-20: two terms of the series are enough. */
static double log_near_one(double f, int k)
{
    const double dk = (double)k;
    if (f == 0)
        return k == 0 ? 0 : dk * LN2_HIGH + dk * LN2_LOW;
    const double r = f * f * (0.5 - 0.33333333333333333 * f);
    return k == 0 ? f - r : dk * LN2_HIGH - ((r - dk * LN2_LOW) - f);
}

double fla_strict_log(double x)
{
    /* Minimax coefficients of (log(1+s) - log(1-s) - 2s) / s in s^2 (fdlibm's Lg1..Lg7).
     */
    static const double c1 = 6.666666666666735130e-01, c2 = 3.999999999940941908e-01,
                        c3 = 2.857142874366239149e-01, c4 = 2.222219843214978396e-01,
                        c5 = 1.818357216161805012e-01, c6 = 1.531383769920937332e-01,
                        c7 = 1.479819860511658591e-01;
    /* x = 2^k * (1 + f) with sqrt(2)/2 < 1 + f < sqrt(2). */
    const int32_t high = (int32_t)high_word(x);
    const int32_t hx = high & 0xfffff;
    const int32_t i = (hx + 0x95f64) & 0x100000;
    const int k = (high >> 20) - 1023 + (i >> 20);
    const double f = with_high_word(x, (uint32_t)(hx | (i ^ 0x3ff00000))) - 1;
    if (((2 + hx) & 0xfffff) < 3)
        return log_near_one(f, k);

    const double dk = (double)k;
    const double s = f / (2 + f), z = s * s, w = z * z;
    const double t1 = w * (c2 + w * (c4 + w * c6));
    const double t2 = z * (c1 + w * (c3 + w * (c5 + w * c7)));
    const double r = t2 + t1;
    if (((hx - 0x6147a) | (0x6b851 - hx)) > 0) {
        const double h = 0.5 * f * f;
        return k == 0 ? f - (h - s * (h + r))
                      : dk * LN2_HIGH - ((h - (s * (h + r) + dk * LN2_LOW)) - f);
    }
    return k == 0 ? f - s * (f - r) : dk * LN2_HIGH - ((s * (f - r) - dk * LN2_LOW) - f);
}
