/*
 * Codes by AMX: a tile register of 16 queries times one of 16 rows, 64 codes each.
 *
 * A multiplication takes 16 steps: A is [queries x steps x 4] signed, and B [steps x rows
 * x 4] unsigned is a coded group as it lies in memory.  Two As and two Bs make four tiles
 * of sums, which with them are all eight registers.
 *
 * tests/c/amx_model.c compiles this file with a model of the tile instructions, which
 * holds its shapes, layout and arithmetic on processors without AMX.
 */
#include "kernels/kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <stdbool.h>

/*
 * Assembly, because the intrinsics of gcc 12 do not say that they read memory.  Strides
 * are in bytes.
 */
#ifndef TILE_LOAD
#define TILES_CONFIGURE(shapes) __asm__ volatile("ldtilecfg %0" ::"m"(*(shapes)))
#define TILES_RELEASE() __asm__ volatile("tilerelease")
#define TILE_LOAD(tile, from, stride)                               \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #tile::"r"(from), \
                     "r"((size_t)(stride))                          \
                     : "memory")
#define TILE_STORE(tile, to, stride)                                   \
    __asm__ volatile("tilestored %%tmm" #tile ", (%0,%1,1)" ::"r"(to), \
                     "r"((size_t)(stride))                             \
                     : "memory")
#define TILE_MULTIPLY_ADD(sums, a, b) \
    __asm__ volatile("tdpbsud %%tmm" #b ", %%tmm" #a ", %%tmm" #sums::)
#endif

enum {
    SIDE = 16,       /* rows of a tile register, and its int32 columns */
    PAIR = 2 * SIDE, /* queries of two As, rows of two Bs */
    TILES = 8,       /* 0..3 sums, 4 and 5 As, 6 and 7 Bs */
    TOGETHER = 8,    /* queries that share the branch on a hit */
    GROUP_STEP = FLA_GROUP * FLA_STEP, /* bytes of a group's step */
    LINE = 64,
};

/* The operand of ldtilecfg. */
typedef struct tile_shapes {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_shapes;

/* How the queries and steps of a call are cut into tiles. */
typedef struct plan {
    size_t steps;  /* of a row */
    size_t chunk;  /* steps of a multiplication: 16, or all where there are fewer */
    size_t whole;  /* steps in whole chunks */
    size_t height; /* queries of an A: 16, or all where there are fewer */
} plan;

static plan configure(size_t steps, size_t n_queries)
{
    tile_shapes shapes = {.palette = 1};
    const size_t chunk = steps < SIDE ? steps : SIDE;
    const size_t height = n_queries < SIDE ? n_queries : SIDE;
    for (size_t t = 0; t < TILES; t++) {
        shapes.rows[t] = (uint8_t)(t < 6 ? height : chunk);
        shapes.row_bytes[t] =
            (uint16_t)(t == 4 || t == 5 ? chunk * FLA_STEP : SIDE * sizeof(int32_t));
    }
    TILES_CONFIGURE(&shapes);
    return (plan){steps, chunk, steps / chunk * chunk, height};
}

/* Queries that are scored together: those of an A each, of the second one if it is used.
 */
typedef struct block {
    const int8_t *codes[2];
    bool two;
    int8_t last[PAIR][SIDE * FLA_STEP] __attribute__((aligned(64)));
    int32_t scores[PAIR][FLA_TILE] __attribute__((aligned(64)));
} block;

/*
 * Steps past the last whole chunk are multiplied as a chunk that ends with them, and so
 * begins with steps that have been taken: these are zero in a copy of the queries.
 */
static void copy_last(const plan *p, block *b)
{
    const size_t left = p->steps - p->whole;
    const __mmask16 kept = (__mmask16)(0xffffu << (SIDE - left));
    for (size_t i = 0; i < 2 * p->height; i++) {
        const int8_t *codes =
            b->codes[i / p->height] + i % p->height * p->steps * FLA_STEP;
        _mm512_store_si512(b->last[i], _mm512_maskz_loadu_epi32(
                                           kept, codes + (p->steps - SIDE) * FLA_STEP));
    }
}

/* One chunk of both halves of the queries and two groups of the rows. */
static inline void multiply(const int8_t *a0, const int8_t *a1, size_t stride, bool two,
                            const uint8_t *b0, const uint8_t *b1)
{
    TILE_LOAD(6, b0, GROUP_STEP);
    TILE_LOAD(4, a0, stride);
    TILE_MULTIPLY_ADD(0, 4, 6);
    TILE_LOAD(7, b1, GROUP_STEP);
    TILE_MULTIPLY_ADD(1, 4, 7);
    if (two) {
        TILE_LOAD(5, a1, stride);
        TILE_MULTIPLY_ADD(2, 5, 6);
        TILE_MULTIPLY_ADD(3, 5, 7);
    }
}

/* The scores of two groups from rows r on; a stride of 0 gives every query the bias. */
static inline void score_groups(const plan *p, const uint8_t *tile, const int32_t *bias,
                                size_t r, block *b)
{
    const size_t bytes = p->steps * FLA_STEP;
    const uint8_t *b0 = tile + r * bytes, *b1 = b0 + FLA_GROUP * bytes;
    TILE_LOAD(0, bias + r, 0);
    TILE_LOAD(1, bias + r + SIDE, 0);
    TILE_LOAD(2, bias + r, 0);
    TILE_LOAD(3, bias + r + SIDE, 0);
    for (size_t s = 0; s < p->whole; s += p->chunk)
        multiply(b->codes[0] + s * FLA_STEP, b->codes[1] + s * FLA_STEP, bytes, b->two,
                 b0 + s * GROUP_STEP, b1 + s * GROUP_STEP);
    if (p->whole < p->steps)
        multiply(b->last[0], b->last[p->height], sizeof b->last[0], b->two,
                 b0 + (p->steps - SIDE) * GROUP_STEP,
                 b1 + (p->steps - SIDE) * GROUP_STEP);
    TILE_STORE(0, &b->scores[0][r], sizeof b->scores[0]);
    TILE_STORE(1, &b->scores[0][r + SIDE], sizeof b->scores[0]);
    if (b->two) {
        TILE_STORE(2, &b->scores[p->height][r], sizeof b->scores[0]);
        TILE_STORE(3, &b->scores[p->height][r + SIDE], sizeof b->scores[0]);
    }
}

/* Use of the scores of n queries from the first-th on. */
typedef void use_fn(const int32_t (*scores)[FLA_TILE], size_t first, size_t n, void *to);

/*
 * Score all queries, an A's worth at a time.  The last A ends with the last query, and so
 * may begin with queries that have been scored: these are not used again.
 */
static inline __attribute__((always_inline)) void score(const uint8_t *tile,
                                                        const int32_t *bias, size_t steps,
                                                        const int8_t *queries,
                                                        size_t n_queries, use_fn *use,
                                                        void *to)
{
    if (n_queries == 0)
        return;
    const plan p = configure(steps, n_queries);
    const size_t bytes = steps * FLA_STEP, last = n_queries - p.height;
    block b;
    for (size_t q = 0; q < n_queries; q += PAIR) {
        const size_t start[2] = {q < last ? q : last, q + SIDE < last ? q + SIDE : last};
        b.two = q + SIDE < n_queries;
        for (size_t i = 0; i < 2; i++)
            b.codes[i] = queries + start[i] * bytes;
        if (p.whole < steps)
            copy_last(&p, &b);
        for (size_t r = 0; r < FLA_TILE; r += PAIR)
            score_groups(&p, tile, bias, r, &b);
        for (size_t i = 0; i < (b.two ? 2u : 1u); i++) {
            const size_t skip = q + i * SIDE - start[i];
            use((const int32_t (*)[FLA_TILE])b.scores + i * p.height + skip,
                start[i] + skip, p.height - skip, to);
        }
    }
    TILES_RELEASE();
}

/* ---- the filter ------------------------------------------------------------------ */

typedef struct listing {
    const int32_t *limits;
    fla_hit *hits;
    size_t found;
    const uint8_t *next; /* the tile behind this one, most often the next */
    size_t share;        /* bytes of it that are fetched for every query scored */
} listing;

static inline __mmask16 reach(__m512i scores, int32_t limit)
{
    return _mm512_cmpge_epi32_mask(scores, _mm512_set1_epi32(limit));
}

static inline bool any_reaches(const int32_t scores[FLA_TILE], int32_t limit)
{
    __m512i most = _mm512_load_si512(scores);
    for (size_t r = SIDE; r < FLA_TILE; r += SIDE)
        most = _mm512_max_epi32(most, _mm512_load_si512(scores + r));
    return reach(most, limit) != 0;
}

static inline uint64_t all_that_reach(const int32_t scores[FLA_TILE], int32_t limit)
{
    uint64_t rows = 0;
    for (size_t r = 0; r < FLA_TILE; r += SIDE)
        rows |= (uint64_t)reach(_mm512_load_si512(scores + r), limit) << r;
    return rows;
}

/* List the hits of a few queries: one compare a query as long as nothing passes. */
static inline void list_few(const int32_t (*scores)[FLA_TILE], size_t first, size_t n,
                            listing *l)
{
    bool any = false;
    for (size_t i = 0; i < n; i++)
        any |= any_reaches(scores[i], l->limits[first + i]);
    if (__builtin_expect(!any, 1))
        return;
    for (size_t i = 0; i < n; i++) {
        const uint64_t rows = all_that_reach(scores[i], l->limits[first + i]);
        l->hits[l->found] = (fla_hit){rows, first + i};
        l->found += rows != 0;
    }
}

static void list(const int32_t (*scores)[FLA_TILE], size_t first, size_t n, void *to)
{
    listing *l = to;
    for (size_t at = 0; at < n * l->share; at += LINE)
        __builtin_prefetch(l->next + first * l->share + at);
    for (size_t i = 0; i < n; i += TOGETHER)
        list_few(scores + i, first + i, n - i < TOGETHER ? n - i : TOGETHER, l);
}

static size_t filter(const uint8_t *tile, const int32_t *bias, size_t steps,
                     const int8_t *queries, size_t n_queries, const int32_t *limits,
                     fla_hit *hits)
{
    const size_t bytes = steps * FLA_STEP * FLA_TILE;
    listing l = {limits, hits, 0, tile + bytes, bytes / (n_queries + 1) + 1};
    score(tile, bias, steps, queries, n_queries, list, &l);
    return l.found;
}

/* ---- the best -------------------------------------------------------------------- */

typedef struct raising {
    int32_t *best;
    size_t stride;
} raising;

static void raise(const int32_t (*scores)[FLA_TILE], size_t first, size_t n, void *to)
{
    const raising *target = to;
    for (size_t i = 0; i < n; i++) {
        int32_t *at = target->best + (first + i) * target->stride;
        for (size_t r = 0; r < FLA_TILE; r += SIDE)
            _mm512_store_si512(at + r,
                               _mm512_max_epi32(_mm512_load_si512(at + r),
                                                _mm512_load_si512(scores[i] + r)));
    }
}

static void best(const uint8_t *tile, const int32_t *bias, size_t steps,
                 const int8_t *queries, size_t n_queries, int32_t *scores, size_t stride)
{
    raising target = {scores, stride};
    score(tile, bias, steps, queries, n_queries, raise, &target);
}

/* Single rows are no work for tiles; processors that have them have VNNI. */
const fla_code_kernels fla_codes_amx = {
    .step_time = 0.0028F,
    .code_max = 127,
    .code_offset = 128,
    .filter = filter,
    .best = best,
    .check = fla_check_codes_avx512_vnni,
};
#endif
