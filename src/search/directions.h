/* Leading principal directions of a sample of rows. */
#ifndef FLA_SEARCH_DIRECTIONS_H
#define FLA_SEARCH_DIRECTIONS_H

#include <stdbool.h>

#include "kernels/kernels.h"

/* Rows of a sample, less their centre, laid out for products with vectors of either side.
 */
typedef struct fla_sample {
    size_t n, dim;  /* n is a multiple of 16 */
    float *groups;  /* [n / 16][dim x 16]: packed groups of rows */
    float *columns; /* [padded dim / 16][n x 16]: packed groups of coordinates */
} fla_sample;

/*
 * About the m orthonormal directions along which the sample's rows vary most, [m x dim]:
 * the first i of them serve as well as if only i had been asked for.
 *
 * By orthogonal iteration (Golub and Van Loan, Matrix Computations, 8.2.4): O(n dim m).
 *
 * m  at most dim, a multiple of 8.
 *
 * Returns false when there is no memory.
 */
bool fla_directions_find(const fla_kernels *kernels, const fla_sample *sample, size_t m,
                         float *directions);

/*
 * Turn directions [m x dim] among themselves so that none of them stands out: each
 * becomes a mixture of all, and their span stays.
 */
void fla_directions_mix(const float *directions, size_t m, size_t dim, float *mixed);

#endif
