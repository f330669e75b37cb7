/* 64 base rows, prepared for a block of queries: packed, checked, bucketed when asked. */
#ifndef FLA_SEARCH_TILE_H
#define FLA_SEARCH_TILE_H

#include "lsh/hash.h"

typedef struct fla_tile {
    const fla_kernels *kernels;
    size_t dim;
    float *packed;     /* [4 x dim x 16] */
    fla_hasher hasher; /* unused without a model */
    int64_t *buckets;  /* [tables x 64], valid when bucketed; NULL without a model */
    bool bucketed;
    const void *rows[FLA_TILE];
    fla_dtype dtype;
    size_t count;    /* rows that are real; the others repeat the last */
    int64_t number;  /* of the first row */
    double rounding; /* at least what rounding to float32 moved any of the rows */
} fla_tile;

/* model may be NULL.  False: no memory.  Clear in either case. */
bool fla_tile_init(fla_tile *tile, const fla_kernels *kernels, const fla_model *model,
                   size_t dim);
void fla_tile_clear(fla_tile *tile);

/* The tile's hasher, which other rows may use between loads; NULL without a model. */
fla_hasher *fla_tile_hasher(fla_tile *tile);

/*
 * Take up to 64 rows from position first on.
 * Returns FLA_OK, FLA_ERR_NONFINITE or FLA_ERR_RANGE, without describing it.
 */
fla_status fla_tile_load(fla_tile *tile, const fla_matrix *rows, size_t first);

/* The rows that exist (bit r: row r). */
uint64_t fla_tile_all(const fla_tile *tile);

/* Bucket the rows unless that was done.  Returns as fla_tile_load. */
fla_status fla_tile_bucket(fla_tile *tile);

/*
 * Of the rows in the set, those that collide with a query in at least min_collisions hash
 * tables.  The tile must be bucketed.
 *
 * buckets  [tables], the query's.
 */
uint64_t fla_tile_candidates(const fla_tile *tile, uint64_t set, const int64_t *buckets,
                             uint64_t min_collisions);

/*
 * Exact distances of the rows in the set, in row order.
 * Returns how many; positions and distances have room for 64.
 */
size_t fla_tile_distances(const fla_tile *tile, uint64_t set, const double *query,
                          size_t positions[FLA_TILE], double distances[FLA_TILE]);

#endif
