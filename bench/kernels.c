/*
 * Speed of the inner loops on one core, for every tier of this processor or the one
 * named, at 128 dimensions: scoring queries against tiles that stay in the second-level
 * cache and against a base that streams from memory, and exact distances of float32
 * pairs.
 *
 *   make test
 *   .venv/bin/cmake --build build/c --target bench_kernels
 *   build/c/bench_kernels [tier]
 *
 * A share is of the pairs that the processor's widest vpdpbusd could score, by a loop in
 * registers alone in the same round.  Numbers are medians of rounds in turns, by the
 * thread's own time, so that neighbours disturb less.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cpu.h"
#include "kernels/kernels.h"

enum {
    DIM = 128,
    STEPS = DIM / FLA_STEP,
    TILE_BYTES = DIM * FLA_TILE,
    QUERIES = 512,
    NEAR_TILES = 8,    /* 64 KiB, beside as much of queries */
    FAR_TILES = 16384, /* 128 MiB */
    PAIR_ROWS = 64,
    ROUNDS = 15,
    MAX_TIERS = 8,
};

/* Seconds of this thread on a processor: neighbours count less. */
static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- the peak -------------------------------------------------------------------- */

typedef struct peak {
    const char *name;
    uint32_t needs; /* FLA_CPU_* bits */
    size_t codes;   /* products of one instruction */
    void (*loop)(size_t times);
} peak;

enum { PEAK_UNROLL = 14 };

#if defined(__x86_64__)
#define PEAK_EACH(one)                                                               \
    one("0") one("1") one("2") one("3") one("4") one("5") one("6") one("7") one("8") \
        one("9") one("10") one("11") one("12") one("13")
#define PEAK_CLOBBERS                                                               \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", \
        "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"
#define ONE_ZMM(i) "vpdpbusd %%zmm14, %%zmm15, %%zmm" i "\n\t"
#define ONE_YMM(i) "%{vex%} vpdpbusd %%ymm14, %%ymm15, %%ymm" i "\n\t"

static void loop_zmm(size_t times)
{
    for (size_t i = 0; i < times; i++)
        __asm__ volatile(PEAK_EACH(ONE_ZMM)::: PEAK_CLOBBERS);
}

static void loop_ymm(size_t times)
{
    for (size_t i = 0; i < times; i++)
        __asm__ volatile(PEAK_EACH(ONE_YMM)::: PEAK_CLOBBERS);
}
#endif

static const peak peaks[] = {
#if defined(__x86_64__)
    {"zmm vpdpbusd", FLA_CPU_AVX512 | FLA_CPU_AVX512_VNNI, 64, loop_zmm},
    {"ymm vpdpbusd", FLA_CPU_AVX2 | FLA_CPU_AVX_VNNI, 32, loop_ymm},
#endif
    {"none", 0, 0, NULL},
};

static const peak *best_peak(uint32_t cpu)
{
    size_t i = 0;
    while ((peaks[i].needs & ~cpu) != 0)
        i++;
    return &peaks[i];
}

/* Billions of pairs a second that the instruction alone would do; 0: not known. */
static double time_peak(const peak *p)
{
    enum { TIMES = 2000000 };
    if (p->loop == NULL)
        return 0;
    const double start = now();
    p->loop(TIMES);
    return (double)TIMES * PEAK_UNROLL * (double)p->codes / DIM / (now() - start) * 1e-9;
}

/* ---- the kernels ----------------------------------------------------------------- */

typedef struct work {
    uint8_t *tiles;
    int32_t *bias, *best;
    int8_t *queries;
    int32_t limits[QUERIES];
    fla_hit hits[QUERIES];
    float *rows;
    double sum; /* keeps results alive */
} work;

static void *aligned(size_t bytes)
{
    void *block = aligned_alloc(64, bytes);
    if (block == NULL)
        abort();
    memset(block, 0, bytes);
    return block;
}

static void fill(work *w)
{
    uint32_t random = 1;
    w->tiles = aligned((size_t)FAR_TILES * TILE_BYTES);
    w->bias = aligned(FLA_TILE * sizeof *w->bias);
    w->best = aligned((size_t)QUERIES * FLA_TILE * sizeof *w->best);
    w->queries = aligned((size_t)QUERIES * DIM);
    w->rows = aligned((size_t)PAIR_ROWS * DIM * sizeof *w->rows);
    for (size_t i = 0; i < (size_t)FAR_TILES * TILE_BYTES; i++)
        w->tiles[i] = (uint8_t)((random = random * 1664525 + 1013904223) >> 25);
    for (size_t i = 0; i < (size_t)QUERIES * DIM; i++)
        w->queries[i] =
            (int8_t)((int)((random = random * 1664525 + 1013904223) >> 25) - 64);
    for (size_t i = 0; i < (size_t)PAIR_ROWS * DIM; i++)
        w->rows[i] = (float)((random = random * 1664525 + 1013904223) >> 8) * 0x1p-24f;
    for (size_t q = 0; q < QUERIES; q++)
        w->limits[q] = INT32_MAX;
}

/* Billions of pairs a second over some tiles, several times. */
static double time_filter(const fla_code_kernels *k, work *w, size_t n_queries,
                          size_t tiles, size_t times)
{
    const double start = now();
    for (size_t i = 0; i < times; i++)
        for (size_t t = 0; t < tiles; t++)
            w->sum += (double)k->filter(w->tiles + t * TILE_BYTES, w->bias, STEPS,
                                        w->queries, n_queries, w->limits, w->hits);
    return (double)(times * tiles * n_queries) * FLA_TILE / (now() - start) * 1e-9;
}

static double time_best(const fla_code_kernels *k, work *w, size_t times)
{
    const double start = now();
    for (size_t i = 0; i < times; i++)
        for (size_t t = 0; t < NEAR_TILES; t++)
            k->best(w->tiles + t * TILE_BYTES, w->bias, STEPS, w->queries, QUERIES,
                    w->best, FLA_TILE);
    return (double)(times * NEAR_TILES * QUERIES) * FLA_TILE / (now() - start) * 1e-9;
}

/* Nanoseconds a pair of rows in the first-level cache. */
static double time_distance(const fla_float_kernels *k, work *w, size_t times)
{
    const void *rows[FLA_PAIRS], *queries[FLA_PAIRS];
    double distances[FLA_PAIRS];
    const double start = now();
    for (size_t i = 0; i < times; i++) {
        for (size_t p = 0; p < FLA_PAIRS; p++) {
            rows[p] = w->rows + (i * FLA_PAIRS + p) % PAIR_ROWS * DIM;
            queries[p] = w->rows + i % PAIR_ROWS * DIM;
        }
        k->distance[0][0](rows, queries, DIM, distances);
        w->sum += distances[0];
    }
    return (now() - start) / (double)(times * FLA_PAIRS) * 1e9;
}

/* ---- the table ------------------------------------------------------------------- */

enum { PEAK, NEAR, FAR, EIGHT, ONE, BEST, DISTANCE, N_COLUMNS };

typedef struct line {
    const fla_kernels *kernels;
    double column[N_COLUMNS][ROUNDS];
} line;

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const double values[ROUNDS])
{
    double sorted[ROUNDS];
    memcpy(sorted, values, sizeof sorted);
    qsort(sorted, ROUNDS, sizeof sorted[0], by_value);
    return sorted[ROUNDS / 2];
}

static double median_ratio(const double a[ROUNDS], const double b[ROUNDS])
{
    double ratio[ROUNDS];
    for (size_t i = 0; i < ROUNDS; i++)
        ratio[i] = a[i] / b[i];
    return median(ratio);
}

static void run(line *l, size_t round, const peak *p, work *w)
{
    const fla_code_kernels *codes = l->kernels->codes;
    const bool slow = l->kernels->needs == 0;
    l->column[PEAK][round] = time_peak(p);
    l->column[NEAR][round] = time_filter(codes, w, QUERIES, NEAR_TILES, slow ? 1 : 200);
    l->column[FAR][round] = time_filter(codes, w, QUERIES, slow ? 8 : 4096, 1);
    l->column[EIGHT][round] = time_filter(codes, w, 8, slow ? 128 : FAR_TILES, 1);
    l->column[ONE][round] = time_filter(codes, w, 1, slow ? 1024 : FAR_TILES, 1);
    l->column[BEST][round] = time_best(codes, w, slow ? 1 : 100);
    l->column[DISTANCE][round] = time_distance(l->kernels->floats, w, 20000);
}

static void print(const line *l)
{
    static const int shown[] = {NEAR, FAR, EIGHT, ONE, BEST, DISTANCE};
    printf("%-12s", l->kernels->name);
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++)
        printf(" %9.2f", median(l->column[shown[i]]));
    if (l->column[PEAK][0] > 0)
        printf(" %8.1f %% %8.1f %%", 100 * median_ratio(l->column[NEAR], l->column[PEAK]),
               100 * median_ratio(l->column[FAR], l->column[PEAK]));
    printf("\n");
}

int main(int argc, char **argv)
{
    static line lines[MAX_TIERS];
    static work w;
    size_t n = 0;
    const uint32_t cpu = fla_cpu_detect();
    const peak *p = best_peak(cpu);
    fill(&w);
    for (size_t t = 0; fla_kernels_at(t) != NULL && n < MAX_TIERS; t++) {
        const fla_kernels *k = fla_kernels_at(t);
        const bool wanted = argc < 2 || strcmp(argv[1], k->name) == 0;
        if (wanted && (k->needs & ~cpu) == 0)
            lines[n++].kernels = k;
    }
    for (size_t round = 0; round < ROUNDS; round++)
        for (size_t i = 0; i < n; i++)
            run(&lines[i], round, p, &w);
    printf("peak of %s: %.2f Gp/s at %d dimensions\n", p->name,
           n > 0 ? median(lines[0].column[PEAK]) : 0, DIM);
    printf("%-12s %9s %9s %9s %9s %9s %9s %10s %10s\n", "Gp/s", "cached", "stream",
           "8 queries", "1 query", "best", "ns a pair", "cached", "stream");
    for (size_t i = 0; i < n; i++)
        print(&lines[i]);
    return w.sum < 0 || n == 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
