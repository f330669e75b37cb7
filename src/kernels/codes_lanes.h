/*
 * The code kernels in terms of vectors, written once: a file for an instruction set
 * defines the vector and the operations below and includes this one.
 *
 *   vi             a vector of LANES int32, or of as many rows' steps of codes
 *   vi_load, vi_store   at an aligned address, vi_loadu at any; vi_add; vi_max
 *   vi_load_first  n < LANES lanes from any address, 0 in the others
 *   vi_total       the sum of all lanes
 *   vi_zero        0, vi_set1 an int32, in every lane
 *   vb             a truth value a lane: vi_below(a, b) is a < b; vb_and; vb_bits is one
 *                  bit a lane
 *   vi_multiply_add(sum, rows, query, n)
 *                  adds to each lane's sum the products of n <= AT_ONCE steps
 *   AT_ONCE        steps that vi_multiply_add takes, 1 or 2
 *   QUERIES, ROWS  queries and row vectors of one register block
 *   CHAINS         chains of sums that a query alone is split into, to hide the latency
 *
 * A block is sized so that its sums, its row vectors of a step and temporaries fit in the
 * register file; loops over it have constant bounds and unroll completely.
 */
#ifndef FLA_KERNELS_CODES_LANES_H
#define FLA_KERNELS_CODES_LANES_H

#include <stdbool.h>
#include <string.h>

#include "kernels/bits.h"
#include "kernels/kernels.h"

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

enum {
    GROUP_V = FLA_GROUP / LANES, /* vectors of a group and of a tile */
    TILE_V = FLA_TILE / LANES,
    GROUP_STEP = FLA_GROUP * FLA_STEP, /* bytes of a group's step */
    EVERY_LANE = (1 << LANES) - 1,
    LINE = 64,
};

/* ---- scores ---------------------------------------------------------------------- */

/* A query's step of codes in every lane. */
INLINE vi broadcast(const int8_t *codes)
{
    int32_t step;
    memcpy(&step, codes, sizeof step);
    return vi_set1(step);
}

/*
 * Steps s to s + n of n_queries queries and m row vectors, which start at row[]; query
 * q's sums are sums[q * m] on.
 */
INLINE void add_steps(const uint8_t *const row[], const int8_t *queries, size_t steps,
                      size_t s, size_t n, size_t n_queries, size_t m, vi sums[])
{
    vi x[TILE_V][AT_ONCE], y[AT_ONCE];
    UNROLL
    for (size_t v = 0; v < m; v++) {
        UNROLL
        for (size_t i = 0; i < n; i++)
            x[v][i] = vi_load(row[v] + (s + i) * GROUP_STEP);
    }
    UNROLL
    for (size_t q = 0; q < n_queries; q++) {
        UNROLL
        for (size_t i = 0; i < n; i++)
            y[i] = broadcast(queries + (q * steps + s + i) * FLA_STEP);
        UNROLL
        for (size_t v = 0; v < m; v++)
            sums[q * m + v] = vi_multiply_add(sums[q * m + v], x[v], y, n);
    }
}

/* What to fetch towards the cache while a block is scored: a part of the next tile. */
typedef struct ahead {
    const uint8_t *at;
    size_t stride; /* bytes for every AT_ONCE steps */
} ahead;

INLINE void fetch(ahead *next)
{
    __builtin_prefetch(next->at);
    if (next->stride > LINE) {
        UNROLL
        for (size_t i = 1; i < FLA_TILE_GROUPS; i++)
            __builtin_prefetch(next->at + i * LINE);
    }
    next->at += next->stride;
}

/* QUERIES queries and ROWS row vectors from the first-th on. */
INLINE void score_block(const uint8_t *tile, const int32_t *bias, size_t steps,
                        size_t first, const int8_t *queries, ahead *next,
                        vi sums[QUERIES * ROWS])
{
    const uint8_t *row[ROWS];
    size_t s = 0;
    UNROLL
    for (size_t v = 0; v < ROWS; v++) {
        const size_t group = (first + v) / GROUP_V, part = (first + v) % GROUP_V;
        row[v] = tile + group * steps * GROUP_STEP + part * LANES * FLA_STEP;
        UNROLL
        for (size_t q = 0; q < QUERIES; q++)
            sums[q * ROWS + v] = vi_load(bias + (first + v) * LANES);
    }
    for (; s + AT_ONCE <= steps; s += AT_ONCE) {
        if (next != NULL)
            fetch(next);
        add_steps(row, queries, steps, s, AT_ONCE, QUERIES, ROWS, sums);
    }
    if (s < steps)
        add_steps(row, queries, steps, s, 1, QUERIES, ROWS, sums);
}

/*
 * One query and one group: the steps are dealt out to chains of sums, and memory is read
 * in one stream, which the hardware's prefetchers follow best.
 */
INLINE void score_group(const uint8_t *group, const int32_t *bias, size_t steps,
                        const int8_t *query, vi sums[GROUP_V])
{
    const uint8_t *row[GROUP_V];
    vi part[CHAINS][GROUP_V];
    size_t s = 0;
    UNROLL
    for (size_t v = 0; v < GROUP_V; v++) {
        row[v] = group + v * LANES * FLA_STEP;
        sums[v] = vi_load(bias + v * LANES);
        UNROLL
        for (size_t c = 1; c < CHAINS; c++)
            part[c][v] = vi_zero();
    }
    for (; s + CHAINS * AT_ONCE <= steps; s += CHAINS * AT_ONCE) {
        UNROLL
        for (size_t c = 0; c < CHAINS; c++)
            add_steps(row, query, steps, s + c * AT_ONCE, AT_ONCE, 1, GROUP_V,
                      c == 0 ? sums : part[c]);
    }
    for (; s < steps; s++)
        add_steps(row, query, steps, s, 1, 1, GROUP_V, sums);
    UNROLL
    for (size_t c = 1; c < CHAINS; c++) {
        UNROLL
        for (size_t v = 0; v < GROUP_V; v++)
            sums[v] = vi_add(sums[v], part[c][v]);
    }
}

/* ---- the filter ------------------------------------------------------------------ */

/* Whether every row of a block stays below its query's limit. */
INLINE bool all_below(const vi sums[QUERIES * ROWS], const int32_t limits[QUERIES])
{
    vb below;
    UNROLL
    for (size_t q = 0; q < QUERIES; q++) {
        vi most = sums[q * ROWS];
        UNROLL
        for (size_t v = 1; v < ROWS; v++)
            most = vi_max(most, sums[q * ROWS + v]);
        const vb one = vi_below(most, vi_set1(limits[q]));
        below = q == 0 ? one : vb_and(below, one);
    }
    return vb_bits(below) == EVERY_LANE;
}

/* The rows of m row vectors that reach a limit, as bits. */
INLINE uint64_t all_that_reach(const vi sums[], size_t m, int32_t limit)
{
    uint64_t rows = 0;
    UNROLL
    for (size_t v = 0; v < m; v++)
        rows |= (uint64_t)(vb_bits(vi_below(sums[v], vi_set1(limit))) ^ EVERY_LANE)
                << (v * LANES);
    return rows;
}

/* One compare a query and one branch a register block, as long as nothing passes. */
INLINE size_t filter_block(const uint8_t *tile, const int32_t *bias, size_t steps,
                           const int8_t *queries, size_t first, const int32_t *limits,
                           ahead next, fla_hit *hits)
{
    uint64_t rows[QUERIES] = {0};
    size_t found = 0;
    bool any = false;
    for (size_t v = 0; v < TILE_V; v += ROWS) {
        vi sums[QUERIES * ROWS];
        score_block(tile, bias, steps, v, queries + first * steps * FLA_STEP, &next,
                    sums);
        if (__builtin_expect(all_below(sums, limits + first), 1))
            continue;
        any = true;
        UNROLL
        for (size_t q = 0; q < QUERIES; q++)
            rows[q] |= all_that_reach(sums + q * ROWS, ROWS, limits[first + q])
                       << (v * LANES);
    }
    if (__builtin_expect(!any, 1))
        return 0;
    UNROLL
    for (size_t q = 0; q < QUERIES; q++) {
        hits[found] = (fla_hit){rows[q], first + q};
        found += rows[q] != 0;
    }
    return found;
}

INLINE uint64_t filter_one(const uint8_t *tile, const int32_t *bias, size_t steps,
                           const int8_t *query, int32_t limit)
{
    uint64_t rows = 0;
    for (size_t g = 0; g < FLA_TILE_GROUPS; g++) {
        vi sums[GROUP_V];
        score_group(tile + g * steps * GROUP_STEP, bias + g * FLA_GROUP, steps, query,
                    sums);
        rows |= all_that_reach(sums, GROUP_V, limit) << (g * FLA_GROUP);
    }
    return rows;
}

/*
 * While blocks of queries are scored, they fetch the tile that lies behind this one and
 * is most often the next: in equal parts, so that the memory is never waited for.
 */
static size_t filter(const uint8_t *tile, const int32_t *bias, size_t steps,
                     const int8_t *queries, size_t n_queries, const int32_t *limits,
                     fla_hit *hits)
{
    enum { ROUNDS = TILE_V / ROWS };
    const size_t bytes = steps * FLA_STEP * FLA_TILE, blocks = n_queries / QUERIES;
    const size_t share = blocks > 0 ? (bytes + blocks - 1) / blocks : 0;
    ahead next = {tile + bytes,
                  (share * AT_ONCE + ROUNDS * steps - 1) / (ROUNDS * steps)};
    size_t q = 0, n = 0;
    for (; q + QUERIES <= n_queries; q += QUERIES, next.at += share)
        n += filter_block(tile, bias, steps, queries, q, limits, next, hits + n);
    for (; q < n_queries; q++) {
        const uint64_t rows =
            filter_one(tile, bias, steps, queries + q * steps * FLA_STEP, limits[q]);
        hits[n] = (fla_hit){rows, q};
        n += rows != 0;
    }
    return n;
}

/* ---- the best -------------------------------------------------------------------- */

INLINE void raise(int32_t *best, const vi sums[], size_t m)
{
    UNROLL
    for (size_t v = 0; v < m; v++)
        vi_store(best + v * LANES, vi_max(vi_load(best + v * LANES), sums[v]));
}

static void best(const uint8_t *tile, const int32_t *bias, size_t steps,
                 const int8_t *queries, size_t n_queries, int32_t *scores, size_t stride)
{
    const size_t bytes = steps * FLA_STEP;
    size_t q = 0;
    for (; q + QUERIES <= n_queries; q += QUERIES) {
        for (size_t first = 0; first < TILE_V; first += ROWS) {
            vi sums[QUERIES * ROWS];
            score_block(tile, bias, steps, first, queries + q * bytes, NULL, sums);
            UNROLL
            for (size_t i = 0; i < QUERIES; i++)
                raise(scores + (q + i) * stride + first * LANES, sums + i * ROWS, ROWS);
        }
    }
    for (; q < n_queries; q++) {
        for (size_t g = 0; g < FLA_TILE_GROUPS; g++) {
            vi sums[GROUP_V];
            score_group(tile + g * steps * GROUP_STEP, bias + g * FLA_GROUP, steps,
                        queries + q * bytes, sums);
            raise(scores + q * stride + g * FLA_GROUP, sums, GROUP_V);
        }
    }
}

/* ---- single rows ----------------------------------------------------------------- */

/* One row; the rows that are checked after it hide the latency of its chain. */
INLINE int32_t score_record(const uint8_t *record, size_t steps, const int8_t *query)
{
    vi sum = vi_zero(), x[AT_ONCE], y[AT_ONCE];
    size_t s = 0;
    for (; s + AT_ONCE * LANES <= steps; s += AT_ONCE * LANES) {
        UNROLL
        for (size_t i = 0; i < AT_ONCE; i++) {
            x[i] = vi_loadu(record + (s + i * LANES) * FLA_STEP);
            y[i] = vi_loadu(query + (s + i * LANES) * FLA_STEP);
        }
        sum = vi_multiply_add(sum, x, y, AT_ONCE);
    }
    if (AT_ONCE > 1 && s + LANES <= steps) {
        x[0] = vi_loadu(record + s * FLA_STEP);
        y[0] = vi_loadu(query + s * FLA_STEP);
        sum = vi_multiply_add(sum, x, y, 1);
        s += LANES;
    }
    if (s < steps) {
        x[0] = vi_load_first(record + s * FLA_STEP, steps - s);
        y[0] = vi_load_first(query + s * FLA_STEP, steps - s);
        sum = vi_multiply_add(sum, x, y, 1);
    }
    return vi_total(sum);
}

static uint64_t check(const uint8_t *records, const int32_t *bias, size_t steps,
                      const int8_t *query, int32_t limit, uint64_t rows)
{
    uint64_t reach = 0;
    for (; rows != 0; rows &= rows - 1) {
        const size_t r = fla_lowest_bit(rows);
        const uint8_t *record = records + r * steps * FLA_STEP;
        const int32_t sum = bias[r] + score_record(record, steps, query);
        reach |= (uint64_t)(sum >= limit) << r;
    }
    return reach;
}

#endif
