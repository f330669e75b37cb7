/* 64 base rows as a scan looks at them: as floats, and by their buckets. */
#ifndef FLA_SEARCH_TILE_H
#define FLA_SEARCH_TILE_H

#include "lsh/hash.h"
#include "search/base.h"

typedef struct fla_tile {
    const fla_kernels *kernels;
    fla_hasher hasher; /* unused without a model */
    int64_t *buckets;  /* [functions x 64], valid when bucketed; NULL without a model */
    bool bucketed;
    float
        *floats; /* [4 x dim x 16], valid when packed: less the centre of a coded base */
    float *origin; /* [dim] zeros: the centre of any other */
    bool packed;
    const fla_base *base;
    const uint32_t *list; /* the rows, or NULL: they are in order from first on */
    size_t first;
    size_t count; /* rows that are real; in lanes the others repeat the last */
    double peak;  /* when packed: largest magnitude of the rows as given */
} fla_tile;

/* model may be NULL.  False: no memory.  Clear in either case. */
bool fla_tile_init(fla_tile *tile, const fla_kernels *kernels, const fla_model *model,
                   size_t dim);
void fla_tile_clear(fla_tile *tile);

/* The tile's hasher, which other rows may use between tiles; NULL without a model. */
fla_hasher *fla_tile_hasher(fla_tile *tile);

/* Look at tile t of a base. */
void fla_tile_take(fla_tile *tile, const fla_base *base, size_t t);

/* Look at some rows, up to 64 of them; none of what follows about buckets holds then. */
void fla_tile_take_list(fla_tile *tile, const fla_base *base, const uint32_t *list,
                        size_t n);

/*
 * Pack the rows as floats, and check them if the base has not.
 * Returns FLA_OK, FLA_ERR_NONFINITE or FLA_ERR_RANGE, without describing it.
 */
fla_status fla_tile_pack(fla_tile *tile);

/* The rows that exist (bit r: row r). */
uint64_t fla_tile_all(const fla_tile *tile);

/*
 * Of the rows in the set, those that collide with a query in at least min_collisions hash
 * tables.  There must be a model, and no bucket beyond int64.
 *
 * buckets  [functions], the query's.
 */
uint64_t fla_tile_candidates(fla_tile *tile, uint64_t set, const int64_t *buckets,
                             uint64_t min_collisions);

#endif
