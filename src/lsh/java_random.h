/* java.util.Random, to the last bit: the generator Spark draws its unit vectors from. */
#ifndef FLA_LSH_JAVA_RANDOM_H
#define FLA_LSH_JAVA_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

typedef struct fla_java_random {
    uint64_t state; /* 48 bits */
    double spare;   /* the second Gaussian of a pair */
    bool has_spare;
} fla_java_random;

void fla_java_random_init(fla_java_random *random, int64_t seed);
double fla_java_random_double(fla_java_random *random);   /* uniform in [0, 1) */
double fla_java_random_gaussian(fla_java_random *random); /* standard normal */

/* The natural logarithm of the JDK's StrictMath (fdlibm); x finite, normal, > 0. */
double fla_strict_log(double x);

#endif
