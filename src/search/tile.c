/* 64 base rows as a scan looks at them: as floats, and by their buckets. */
#include "search/tile.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "kernels/bits.h"
#include "lsh/model.h"

bool fla_tile_init(fla_tile *tile, const fla_kernels *kernels, const fla_model *model,
                   size_t dim)
{
    size_t values;
    *tile = (fla_tile){.kernels = kernels};
    if (!fla_size_mul(dim, FLA_TILE, &values) ||
        (tile->floats = fla_alloc(values, sizeof *tile->floats)) == NULL)
        return false;
    tile->origin = fla_alloc_zeroed(dim, sizeof *tile->origin);
    if (tile->origin == NULL)
        return false;
    if (model == NULL)
        return true;
    if (!fla_size_mul(model->functions, FLA_TILE, &values) ||
        (tile->buckets = fla_alloc(values, sizeof *tile->buckets)) == NULL)
        return false;
    return fla_hasher_init(&tile->hasher, kernels, model);
}

void fla_tile_clear(fla_tile *tile)
{
    fla_hasher_clear(&tile->hasher);
    fla_free(tile->buckets);
    fla_free(tile->floats);
    fla_free(tile->origin);
    *tile = (fla_tile){0};
}

fla_hasher *fla_tile_hasher(fla_tile *tile)
{
    return tile->buckets != NULL ? &tile->hasher : NULL;
}

void fla_tile_take(fla_tile *tile, const fla_base *base, size_t t)
{
    tile->base = base;
    tile->list = NULL;
    tile->first = t * FLA_TILE;
    tile->count = fla_size_min(base->rows.rows - tile->first, FLA_TILE);
    tile->bucketed = false;
    tile->packed = false;
}

void fla_tile_take_list(fla_tile *tile, const fla_base *base, const uint32_t *list,
                        size_t n)
{
    tile->base = base;
    tile->list = list;
    tile->count = n;
    tile->bucketed = false;
    tile->packed = false;
}

/* Pointers to the tile's rows from the first-th on; past the end the last one again. */
static void take_group(const fla_tile *tile, size_t first, const void *group[FLA_GROUP])
{
    const fla_matrix *rows = &tile->base->rows;
    if (tile->list == NULL) {
        fla_rows_group(rows, tile->first + first, group);
        return;
    }
    for (size_t i = 0; i < FLA_GROUP; i++)
        group[i] = fla_row(rows, tile->list[fla_size_min(first + i, tile->count - 1)]);
}

uint64_t fla_tile_all(const fla_tile *tile)
{
    return tile->count == FLA_TILE ? UINT64_MAX : ((uint64_t)1 << tile->count) - 1;
}

/* Copy a group's buckets to their place in the tile. */
static void place_buckets(fla_tile *tile, size_t g)
{
    for (size_t f = 0; f < tile->hasher.model->functions; f++)
        memcpy(tile->buckets + f * FLA_TILE + g * FLA_GROUP,
               tile->hasher.buckets + f * FLA_GROUP, FLA_GROUP * sizeof *tile->buckets);
}

static fla_status bucket(fla_tile *tile)
{
    const void *rows[FLA_GROUP];
    fla_status status = FLA_OK;
    for (size_t g = 0; status == FLA_OK && g < FLA_TILE_GROUPS; g++) {
        fla_rows_group(&tile->base->rows, tile->first + g * FLA_GROUP, rows);
        status = fla_hash_group(&tile->hasher, tile->base->rows.dtype, rows);
        if (status == FLA_OK)
            place_buckets(tile, g);
    }
    tile->bucketed = status == FLA_OK;
    return status;
}

fla_status fla_tile_pack(fla_tile *tile)
{
    const fla_matrix *rows = &tile->base->rows;
    const float *centre = tile->base->coded ? tile->base->quantizer.centre : tile->origin;
    fla_center_fn *center = fla_center_kernel(tile->kernels, rows->dtype);
    const void *group[FLA_GROUP], *ahead[FLA_GROUP];
    tile->peak = 0;
    for (size_t i = 0; i < FLA_TILE; i += FLA_GROUP) {
        take_group(tile, i, group);
        take_group(tile, i + FLA_GROUP, ahead);
        const double peak =
            center(group, ahead, rows->dim, centre, tile->floats + i * rows->dim);
        tile->peak = peak > tile->peak ? peak : tile->peak;
    }
    tile->packed = true;
    if (!isfinite(tile->peak))
        return FLA_ERR_NONFINITE;
    if (!tile->base->checked && tile->buckets != NULL &&
        !fla_buckets_surely_fit(tile->hasher.model, tile->peak))
        return bucket(tile);
    return FLA_OK;
}

/* The tile's rows that collide in table t: 64 rows in a few compares a hash. */
static uint64_t colliding(const fla_tile *tile, size_t t, const int64_t *buckets)
{
    const size_t hashes = tile->hasher.model->hashes;
    fla_match_fn *match = tile->kernels->floats->match_i64;
    uint64_t rows = UINT64_MAX;
    for (size_t f = t * hashes; f < (t + 1) * hashes; f++)
        rows &= match(tile->buckets + f * FLA_TILE, buckets[f]);
    return rows;
}

/* Rows of the set that collide at least once. */
static uint64_t colliding_once(const fla_tile *tile, uint64_t set, const int64_t *buckets)
{
    uint64_t rows = 0;
    for (size_t t = 0; t < tile->hasher.model->tables && (set & ~rows) != 0; t++)
        rows |= colliding(tile, t, buckets);
    return set & rows;
}

/* Whether a row of the tile collides in at least so many tables. */
static bool collides(const fla_tile *tile, size_t row, const int64_t *buckets,
                     uint64_t min_collisions)
{
    const fla_model *model = tile->hasher.model;
    uint64_t count = 0;
    for (size_t t = 0; t < model->tables && count < min_collisions; t++)
        count += fla_collides(model, t, tile->buckets + row, FLA_TILE, buckets);
    return count >= min_collisions;
}

/* Among the buckets that the base has kept; a few rows, one by one.  Inlined, so that a
   table of one hash is no loop. */
static inline uint64_t kept_candidates(const fla_tile *tile, uint64_t set,
                                       const int64_t *buckets, uint64_t min_collisions,
                                       size_t hashes)
{
    const fla_model *model = tile->hasher.model;
    const size_t functions = model->functions;
    const int64_t *low = tile->base->bucket_low;
    uint64_t candidates = 0;
    for (uint64_t rest = set; rest != 0; rest &= rest - 1) {
        const size_t row = fla_lowest_bit(rest);
        const uint8_t *mine = tile->base->buckets + (tile->first + row) * functions;
        uint64_t count = 0;
        for (size_t f = 0; f < functions && count < min_collisions; f += hashes) {
            bool same = true;
            for (size_t k = f; k < f + hashes; k++)
                same &= mine[k] == (uint64_t)buckets[k] - (uint64_t)low[k];
            count += same;
        }
        candidates |= (uint64_t)(count >= min_collisions) << row;
    }
    return candidates;
}

uint64_t fla_tile_candidates(fla_tile *tile, uint64_t set, const int64_t *buckets,
                             uint64_t min_collisions)
{
    const size_t hashes = tile->hasher.model->hashes;
    if (tile->base->buckets != NULL)
        return hashes == 1 ? kept_candidates(tile, set, buckets, min_collisions, 1)
                           : kept_candidates(tile, set, buckets, min_collisions, hashes);
    if (!tile->bucketed && bucket(tile) != FLA_OK)
        return 0;
    uint64_t candidates = colliding_once(tile, set, buckets);
    if (min_collisions == 1)
        return candidates;
    for (uint64_t rest = candidates; rest != 0; rest &= rest - 1) {
        const size_t row = fla_lowest_bit(rest);
        if (!collides(tile, row, buckets, min_collisions))
            candidates &= ~((uint64_t)1 << row);
    }
    return candidates;
}
