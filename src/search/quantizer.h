/*
 * A scalar quantizer: a centre and a scale that turn rows into small integer codes.
 *
 * Codes are near (row - centre) / scale; how near is measured for every row, so that
 * distances between codes bound distances between rows (search/bound.c).
 */
#ifndef FLA_SEARCH_QUANTIZER_H
#define FLA_SEARCH_QUANTIZER_H

#include "lsh/rows.h"
#include "search/bound.h"

typedef struct fla_quantizer {
    const fla_kernels *kernels;
    size_t dim, steps; /* codes are padded to whole steps */
    float *centre;     /* [dim] */
    float scale;
    unsigned fits; /* how often it was fitted: codes of another fit mean nothing */
    double cap; /* rows with a larger residual are exceptions: decided exactly, always */
} fla_quantizer;

/* Room for rows of dim <= FLA_MAX_CODED_DIM.  False: no memory.  Clear in either case. */
bool fla_quantizer_init(fla_quantizer *quantizer, const fla_kernels *kernels, size_t dim);
void fla_quantizer_clear(fla_quantizer *quantizer);

/*
 * Choose centre, scale and cap for rows like these, from a sample of them.
 *
 * Whole numbers of a range that codes can hold are coded as they are.  Otherwise the
 * centre is the mean and the scale lets all but the farthest rows in without clamping.
 * Values that are not finite are passed over: whoever encodes the rows finds them.
 *
 * Returns FLA_OK or FLA_ERR_MEMORY.
 */
fla_status fla_quantizer_fit(fla_quantizer *quantizer, const fla_matrix *rows);

/* Choose the cap anew: room times the residuals of some rows, but for the farthest. */
void fla_quantizer_set_cap(fla_quantizer *quantizer, const double *residuals, size_t n,
                           double room);

/* Codes of 16 rows, and what the bounds need of each. */
typedef struct fla_encoded {
    double peak; /* largest magnitude as given; infinity if not all finite */
    double residual[FLA_GROUP]; /* bounds */
    double length[FLA_GROUP];
    float square_sum[FLA_GROUP]; /* of the row less the centre, in any order */
    int32_t squares[FLA_GROUP];
} fla_encoded;

/*
 * group  [dim x 16] floats to work in.
 * codes  a coded group, with the tier's offset.
 */
void fla_quantizer_encode(const fla_quantizer *quantizer, fla_dtype dtype,
                          const void *const rows[FLA_GROUP],
                          const void *const ahead[FLA_GROUP], float *group,
                          uint8_t *codes, fla_encoded *encoded);

/* The same for a packed group that the centre has been taken off; sets no peak. */
void fla_quantizer_encode_group(const fla_quantizer *quantizer, const float *group,
                                uint8_t *codes, fla_encoded *encoded);

#endif
