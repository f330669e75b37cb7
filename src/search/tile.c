/* 64 base rows, prepared for a block of queries: packed, checked, bucketed when asked. */
#include "search/tile.h"

#include <math.h>

#include "base/alloc.h"
#include "lsh/model.h"
#include "search/bound.h"

bool fla_tile_init(fla_tile *tile, const fla_kernels *kernels, const fla_model *model,
                   size_t dim)
{
    size_t values;
    *tile = (fla_tile){.kernels = kernels, .dim = dim};
    if (!fla_size_mul(dim, FLA_TILE, &values) ||
        (tile->packed = fla_alloc(values, sizeof *tile->packed)) == NULL)
        return false;
    if (model == NULL)
        return true;
    if (!fla_size_mul(model->tables, FLA_TILE, &values) ||
        (tile->buckets = fla_alloc(values, sizeof *tile->buckets)) == NULL)
        return false;
    return fla_hasher_init(&tile->hasher, kernels, model);
}

void fla_tile_clear(fla_tile *tile)
{
    fla_hasher_clear(&tile->hasher);
    fla_free(tile->buckets);
    fla_free(tile->packed);
    *tile = (fla_tile){0};
}

fla_hasher *fla_tile_hasher(fla_tile *tile)
{
    return tile->buckets != NULL ? &tile->hasher : NULL;
}

fla_status fla_tile_load(fla_tile *tile, const fla_matrix *rows, size_t first)
{
    fla_pack_fn *pack = fla_pack_to_f32(tile->kernels, rows->dtype);
    const size_t left = rows->rows - first;
    double peak = 0;
    tile->count = fla_size_min(left, FLA_TILE);
    tile->number = rows->first_row + (int64_t)first;
    tile->dtype = rows->dtype;
    tile->bucketed = false;
    for (size_t i = 0; i < FLA_TILE; i += FLA_GROUP)
        fla_rows_group(rows, first + i, tile->rows + i);
    for (size_t i = 0; i < FLA_TILE; i += FLA_GROUP) {
        const void *ahead[FLA_GROUP];
        fla_rows_group(rows, first + i + FLA_GROUP, ahead);
        const double group_peak =
            pack(tile->rows + i, ahead, tile->dim, tile->packed + i * tile->dim);
        peak = group_peak > peak ? group_peak : peak;
    }
    if (!isfinite(peak))
        return FLA_ERR_NONFINITE;
    tile->rounding = rows->dtype == FLA_F32 ? 0 : fla_rounding_bound(peak, tile->dim);
    if (tile->buckets != NULL && !fla_buckets_surely_fit(tile->hasher.model, peak))
        return fla_tile_bucket(tile);
    return FLA_OK;
}

uint64_t fla_tile_all(const fla_tile *tile)
{
    return tile->count == FLA_TILE ? UINT64_MAX : ((uint64_t)1 << tile->count) - 1;
}

/* Copy a group's buckets to their place in the tile. */
static fla_status place_buckets(fla_tile *tile, size_t g)
{
    for (size_t t = 0; t < tile->hasher.model->tables; t++) {
        const double *from = tile->hasher.buckets + t * FLA_GROUP;
        int64_t *to = tile->buckets + t * FLA_TILE + g * FLA_GROUP;
        for (size_t i = 0; i < FLA_GROUP; i++) {
            if (!fla_bucket_fits(from[i]))
                return FLA_ERR_RANGE;
            to[i] = (int64_t)from[i];
        }
    }
    return FLA_OK;
}

fla_status fla_tile_bucket(fla_tile *tile)
{
    fla_status status = FLA_OK;
    if (tile->bucketed)
        return FLA_OK;
    for (size_t g = 0; status == FLA_OK && g < FLA_TILE_GROUPS; g++) {
        const void *const *rows = tile->rows + g * FLA_GROUP;
        status = fla_hash_group(&tile->hasher, tile->dtype, rows, rows);
        if (status == FLA_OK)
            status = place_buckets(tile, g);
    }
    tile->bucketed = status == FLA_OK;
    return status;
}

/* Rows of the set that collide at least once: 64 rows in a few compares per table. */
static uint64_t colliding_once(const fla_tile *tile, uint64_t set, const int64_t *buckets)
{
    uint64_t colliding = 0;
    for (size_t t = 0; t < tile->hasher.model->tables && (set & ~colliding) != 0; t++)
        colliding |= tile->kernels->match_i64(tile->buckets + t * FLA_TILE, buckets[t]);
    return set & colliding;
}

static uint64_t collisions(const fla_tile *tile, size_t row, const int64_t *buckets)
{
    uint64_t count = 0;
    for (size_t t = 0; t < tile->hasher.model->tables; t++)
        count += tile->buckets[t * FLA_TILE + row] == buckets[t];
    return count;
}

/* Position of the lowest bit; set is not 0. */
static size_t lowest(uint64_t set)
{
    size_t position = 0;
    for (unsigned width = 32; width > 0; width /= 2) {
        const uint64_t low = set & (((uint64_t)1 << width) - 1);
        if (low == 0) {
            set >>= width;
            position += width;
        } else {
            set = low;
        }
    }
    return position;
}

uint64_t fla_tile_candidates(const fla_tile *tile, uint64_t set, const int64_t *buckets,
                             uint64_t min_collisions)
{
    uint64_t candidates = colliding_once(tile, set, buckets);
    if (min_collisions == 1)
        return candidates;
    for (uint64_t rest = candidates; rest != 0; rest &= rest - 1) {
        const size_t row = lowest(rest);
        if (collisions(tile, row, buckets) < min_collisions)
            candidates &= ~((uint64_t)1 << row);
    }
    return candidates;
}

size_t fla_tile_distances(const fla_tile *tile, uint64_t set, const double *query,
                          size_t positions[FLA_TILE], double distances[FLA_TILE])
{
    fla_distance_fn *distance = tile->dtype == FLA_F32 ? tile->kernels->distance_f32
                                                       : tile->kernels->distance_f64;
    size_t n = 0;
    for (; set != 0; set &= set - 1)
        positions[n++] = lowest(set);
    for (size_t i = 0; i < n; i += FLA_PAIRS) {
        const void *rows[FLA_PAIRS];
        double four[FLA_PAIRS];
        for (size_t p = 0; p < FLA_PAIRS; p++)
            rows[p] = tile->rows[positions[i + p < n ? i + p : n - 1]];
        distance(rows, tile->dim, query, four);
        for (size_t p = 0; p < FLA_PAIRS && i + p < n; p++)
            distances[i + p] = four[p];
    }
    return n;
}
