/*
 * First radii for nearest neighbors, from the codes of a sample of the rows.
 *
 * The rows of the sample are dealt to lanes, and each lane keeps its best score: k lanes
 * whose best is at least s are k different rows that reached s, so the k-th largest best
 * bounds the k-th distance (fla_code_radius).  With a few more lanes than k the best of
 * the lanes are nearly the best of the sample.
 */
#include "search/seed.h"

#include <math.h>

#include "base/alloc.h"

enum {
    LANES_PER_NEIGHBOR = 5, /* so that few of the k best share a lane */
    TILES_PER_SET = 8,      /* rows a lane sees, at least */
    LEAST_TILES = 32,
    SHARE = 64, /* one tile in so many belongs to the sample, if that is more */
    MOST_SHARE = 8,
};

/* Sets of 64 lanes. */
static size_t lane_sets(size_t k)
{
    return fla_size_parts(k, FLA_TILE / LANES_PER_NEIGHBOR);
}

static size_t sample_tiles(const fla_base *base, size_t k)
{
    size_t tiles = lane_sets(k) * TILES_PER_SET;
    tiles = tiles < LEAST_TILES ? LEAST_TILES : tiles;
    tiles = tiles < base->tiles / SHARE ? base->tiles / SHARE : tiles;
    tiles = fla_size_min(tiles, base->tiles / MOST_SHARE);
    return fla_size_min(tiles, fla_base_samples(base));
}

bool fla_seed_pays(const fla_base *base, size_t k)
{
    return k <= base->rows.rows && sample_tiles(base, k) >= 2 * lane_sets(k);
}

/* The k-th best of n scores, 1 <= k <= n: the largest number that k scores reach. */
static int32_t select_score(const int32_t *scores, size_t n, size_t k)
{
    int64_t low = INT32_MIN, high = INT32_MAX; /* reached by k, by fewer beyond */
    while (low < high) {
        const int64_t middle = low + (high - low + 1) / 2;
        const int32_t score = (int32_t)middle;
        int32_t reach = 0;
        for (size_t i = 0; i < n; i++)
            reach += scores[i] >= score;
        if ((size_t)reach >= k)
            low = middle;
        else
            high = middle - 1;
    }
    return (int32_t)low;
}

double fla_seed_takes(size_t n, size_t k)
{
    return fla_alloc_takes((double)n * (double)lane_sets(k) * FLA_TILE * sizeof(int32_t));
}

bool fla_seed_radii(const fla_base *base, const fla_queries *queries, size_t first,
                    size_t n, size_t k, double *radius)
{
    const size_t sets = lane_sets(k), tiles = sample_tiles(base, k);
    const size_t lanes = sets * FLA_TILE;
    const double samples = (double)fla_base_samples(base);
    size_t values;
    if (!fla_size_mul(n, lanes, &values))
        return false;
    int32_t *best = fla_alloc(values, sizeof *best);
    if (best == NULL)
        return false;
    for (size_t i = 0; i < values; i++)
        best[i] = INT32_MIN;
    for (size_t i = 0; i < tiles; i++) {
        const int32_t *bias;
        const size_t t = (size_t)((double)i * (samples / (double)tiles)); /* spread */
        const uint8_t *tile = fla_base_sample(base, t, &bias);
        base->quantizer.kernels->codes->best(tile, bias, base->full.steps,
                                             fla_coded_query(&queries->full, first), n,
                                             best + i % sets * FLA_TILE, lanes);
    }
    for (size_t q = 0; q < n; q++)
        radius[q] = fla_code_radius(select_score(best + q * lanes, lanes, k),
                                    base->full.residual, (double)base->quantizer.scale,
                                    &queries->full.coded[first + q], queries->rows.dim);
    fla_free(best);
    return true;
}
