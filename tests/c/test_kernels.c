/*
 * Every tier of the processor against the scalar one, knowing only the contract; rows and
 * buffers end at an unmapped page.  The scalar tier is held by golden files elsewhere,
 * and here by one sum whose order shows.
 */
#include "kernels/kernels.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cpu.h"
#include "check.h"
#include "data.h"
#include "fast_lsh_ann.h"
#include "search/bound.h"

enum { MAX_DIM = 131, MAX_FUNCTIONS = 19, QUERIES = 9 };

/* Rows that end at a page border, one mapping each, of float or double. */
static guarded rows32[FLA_TILE], rows64[FLA_TILE];
static const void *pointers32[FLA_TILE], *pointers64[FLA_TILE];

static void fill_rows(size_t dim)
{
    for (size_t i = 0; i < FLA_TILE; i++) {
        rows32[i] = guarded_new(dim * sizeof(float));
        rows64[i] = guarded_new(dim * sizeof(double));
        pointers32[i] = rows32[i].data;
        pointers64[i] = rows64[i].data;
        for (size_t j = 0; j < dim; j++) {
            const double value = data_value();
            ((double *)rows64[i].data)[j] = value;
            ((float *)rows32[i].data)[j] = (float)value;
        }
    }
}

static void free_rows(void)
{
    for (size_t i = 0; i < FLA_TILE; i++) {
        guarded_free(&rows32[i]);
        guarded_free(&rows64[i]);
    }
}

/* Call test for every tier above scalar that this processor has, and say which. */
static void each_tier(const char *what, void (*test)(const fla_kernels *, size_t dim))
{
    size_t ran = 0;
    for (size_t t = 0; fla_kernels_at(t) != NULL; t++) {
        const fla_kernels *k = fla_kernels_at(t);
        if ((k->needs & ~fla_cpu_detect()) != 0) {
            printf("skip   %s on %s: not on this processor\n", what, k->name);
            continue;
        }
        for (size_t dim = 1; dim <= MAX_DIM; dim += dim < 36 ? 1 : 19) {
            fill_rows(dim);
            test(k, dim);
            free_rows();
        }
        printf("ran    %s on %s\n", what, k->name);
        ran++;
    }
    const char *none[1];
    CHECK(ran == fla_simd_tiers(none, 0), "%zu tiers ran of %zu", ran,
          fla_simd_tiers(none, 0));
}

/* Pack 16 rows of a type into a group of doubles (0), or less a centre of floats (1). */
static double pack(const fla_float_kernels *k, int centred, fla_dtype type, size_t dim,
                   const float *centre, void *group)
{
    const void **rows = type == FLA_F32 ? pointers32 : pointers64;
    fla_pack_fn *const plain = type == FLA_F32 ? k->pack_f32 : k->pack_f64;
    fla_center_fn *const center = type == FLA_F32 ? k->center_f32 : k->center_f64;
    return centred != 0 ? center(rows, rows, dim, centre, group)
                        : plain(rows, rows, dim, group);
}

static void pack_matches(const fla_kernels *k, size_t dim)
{
    guarded centre = guarded_new(dim * sizeof(float));
    for (size_t j = 0; j < dim; j++)
        ((float *)centre.data)[j] = (float)data_value();
    for (int p = 0; p < 4; p++) {
        const int centred = p / 2;
        const fla_dtype type = p % 2 == 0 ? FLA_F32 : FLA_F64;
        const size_t bytes = dim * FLA_GROUP * (centred ? sizeof(float) : sizeof(double));
        guarded a = guarded_new(bytes), b = guarded_new(bytes);
        const double peak_a = pack(k->floats, centred, type, dim, centre.data, a.data);
        const double peak_b =
            pack(&fla_floats_scalar, centred, type, dim, centre.data, b.data);
        CHECK(memcmp(a.data, b.data, bytes) == 0, "%s pack %d dim %zu", k->name, p, dim);
        CHECK(peak_a == peak_b, "%s pack %d dim %zu: peak %g, want %g", k->name, p, dim,
              peak_a, peak_b);
        guarded_free(&a);
        guarded_free(&b);
    }
    guarded_free(&centre);
}

static void every_tier_packs_alike(void)
{
    each_tier("pack", pack_matches);
}

static void pack_sees_nonfinite(const fla_kernels *k, size_t dim)
{
    static const double bad[] = {NAN, INFINITY, -INFINITY};
    double *out = fla_alloc(dim * FLA_GROUP, sizeof *out);
    float *centre = fla_alloc_zeroed(dim, sizeof *centre);
    for (size_t trial = 0; trial < 8; trial++) {
        const size_t i = data_next() % FLA_GROUP, j = data_next() % dim;
        double *at64 = (double *)rows64[i].data + j;
        float *at32 = (float *)rows32[i].data + j;
        const double old64 = *at64;
        const float old32 = *at32;
        *at64 = bad[trial % 3];
        *at32 = (float)bad[trial % 3];
        for (int p = 0; p < 4; p++)
            CHECK(pack(k->floats, p / 2, p % 2 == 0 ? FLA_F32 : FLA_F64, dim, centre,
                       out) == INFINITY,
                  "%s pack %d dim %zu missed row %zu, column %zu", k->name, p, dim, i, j);
        *at64 = old64;
        *at32 = old32;
    }
    fla_free(out);
    fla_free(centre);
}

static void every_tier_sees_nan_and_infinity(void)
{
    each_tier("nonfinite", pack_sees_nonfinite);
}

static void project_matches(const fla_kernels *k, size_t dim)
{
    double *group = fla_alloc(dim * FLA_GROUP, sizeof *group);
    double *vectors = fla_alloc(dim * MAX_FUNCTIONS, sizeof *vectors);
    double offsets[MAX_FUNCTIONS];
    double got[MAX_FUNCTIONS * FLA_GROUP] __attribute__((aligned(64)));
    double want[MAX_FUNCTIONS * FLA_GROUP] __attribute__((aligned(64)));
    k->floats->pack_f64(pointers64, pointers64, dim, group);
    for (size_t i = 0; i < dim * MAX_FUNCTIONS; i++)
        vectors[i] = data_value();
    for (size_t f = 0; f < MAX_FUNCTIONS; f++)
        offsets[f] = data_value();
    for (size_t n = 1; n <= MAX_FUNCTIONS; n++) {
        /* So fine a bucket that the last bits of the sum show. */
        k->floats->project(group, dim, vectors, offsets, n, 0x1p60, got);
        fla_floats_scalar.project(group, dim, vectors, offsets, n, 0x1p60, want);
        CHECK(memcmp(got, want, n * FLA_GROUP * sizeof *got) == 0,
              "%s project dim %zu functions %zu", k->name, dim, n);
    }
    fla_free(group);
    fla_free(vectors);
}

static void every_tier_projects_alike(void)
{
    each_tier("project", project_matches);
}

/* Pairs of rows and vectors, against the group's projection with a fine bucket. */
static void chain_matches(const fla_kernels *k, size_t dim)
{
    double *group = fla_alloc(dim * FLA_GROUP, sizeof *group);
    double *vectors = fla_alloc(dim * FLA_PAIRS, sizeof *vectors);
    const double offsets[FLA_PAIRS] = {0};
    double want[FLA_PAIRS * FLA_GROUP] __attribute__((aligned(64))), got[FLA_PAIRS];
    const double *each[FLA_PAIRS];
    for (size_t i = 0; i < dim * FLA_PAIRS; i++)
        vectors[i] = data_value();
    for (size_t i = 0; i < FLA_PAIRS; i++)
        each[i] = vectors + i * dim;
    for (int type = 0; type < 2; type++) {
        const void **rows = type == 0 ? pointers32 : pointers64;
        (type == 0 ? k->floats->chain_f32 : k->floats->chain_f64)(rows, each, dim, got);
        pack(&fla_floats_scalar, 0, type == 0 ? FLA_F32 : FLA_F64, dim, NULL, group);
        fla_floats_scalar.project(group, dim, vectors, offsets, FLA_PAIRS, 0x1p60, want);
        for (size_t i = 0; i < FLA_PAIRS; i++)
            CHECK(floor(0x1p60 * got[i]) == want[i * FLA_GROUP + i],
                  "%s chain dim %zu pair %zu", k->name, dim, i);
    }
    fla_free(group);
    fla_free(vectors);
}

static void every_tier_chains_alike(void)
{
    each_tier("chain", chain_matches);
}

/* The group to the bit, and norms as near as additions in any order may be. */
static void narrow_matches(const fla_kernels *k, size_t dim)
{
    const size_t bytes = dim * FLA_GROUP * sizeof(float);
    guarded a = guarded_new(bytes), b = guarded_new(bytes);
    for (int type = 0; type < 2; type++) {
        const void **rows = type == 0 ? pointers32 : pointers64;
        const fla_float_kernels *scalar = &fla_floats_scalar;
        float norms[FLA_GROUP], want[FLA_GROUP];
        (type == 0 ? k->floats->narrow_f32 : k->floats->narrow_f64)(rows, dim, a.data,
                                                                    norms);
        (type == 0 ? scalar->narrow_f32 : scalar->narrow_f64)(rows, dim, b.data, want);
        CHECK(memcmp(a.data, b.data, bytes) == 0, "%s narrow dim %zu", k->name, dim);
        for (size_t i = 0; i < FLA_GROUP; i++) {
            double sum = 0;
            for (size_t j = 0; j < dim; j++) {
                const double value = (double)((float *)a.data)[j * FLA_GROUP + i];
                sum += value * value;
            }
            CHECK(fabs((double)norms[i] - sqrt(sum)) <=
                      sqrt(sum) * ((double)dim + 3) * 0x1p-24 + 0x1p-70,
                  "%s norm dim %zu: %g, want %g", k->name, dim, (double)norms[i],
                  sqrt(sum));
        }
    }
    guarded_free(&a);
    guarded_free(&b);
}

static void every_tier_narrows_alike(void)
{
    each_tier("narrow", narrow_matches);
}

static void narrow_sees_nonfinite(const fla_kernels *k, size_t dim)
{
    static const double bad[] = {NAN, INFINITY, -INFINITY, 1e30};
    float *group = fla_alloc(dim * FLA_GROUP, sizeof *group), norms[FLA_GROUP];
    for (size_t trial = 0; trial < 8; trial++) {
        const size_t i = data_next() % FLA_GROUP, j = data_next() % dim;
        ((double *)rows64[i].data)[j] = bad[trial % 4];
        ((float *)rows32[i].data)[j] = (float)bad[trial % 4];
        k->floats->narrow_f32(pointers32, dim, group, norms);
        CHECK(!(norms[i] < INFINITY), "%s dim %zu column %zu", k->name, dim, j);
        k->floats->narrow_f64(pointers64, dim, group, norms);
        CHECK(!(norms[i] < INFINITY), "%s dim %zu column %zu", k->name, dim, j);
    }
    fla_free(group);
}

static void norms_are_not_finite_where_a_value_is_not(void)
{
    each_tier("norms", narrow_sees_nonfinite);
}

/* On multiples of 1/16 that are small every order of additions gives the same. */
static void bucket_matches(const fla_kernels *k, size_t dim)
{
    enum { GROUPS = 3, MOST = GROUPS * MAX_FUNCTIONS };
    const size_t n_values = GROUPS * FLA_GROUP * dim;
    float *groups = fla_alloc(n_values, sizeof *groups), norms[GROUPS * FLA_GROUP];
    float *vectors = fla_alloc(MAX_FUNCTIONS * dim, sizeof *vectors);
    float offsets[MAX_FUNCTIONS], tolerances[MAX_FUNCTIONS];
    int64_t got[MOST * FLA_GROUP] __attribute__((aligned(64)));
    int64_t want[MOST * FLA_GROUP] __attribute__((aligned(64)));
    uint16_t unsure[MOST], want_unsure[MOST];
    for (size_t i = 0; i < n_values; i++)
        groups[i] = (float)(int)(data_next() % 15) - 7;
    for (size_t i = 0; i < MAX_FUNCTIONS * dim; i++)
        vectors[i] = ((float)(int)(data_next() % 15) - 7) / 16;
    for (size_t i = 0; i < GROUPS * FLA_GROUP; i++)
        norms[i] = (float)(data_next() % 16);
    for (size_t f = 0; f < MAX_FUNCTIONS; f++) {
        offsets[f] = (float)(data_next() % 16) / 16;
        tolerances[f] = (float)(data_next() % 4) / 128;
    }
    for (size_t functions = 1; functions <= MAX_FUNCTIONS; functions++) {
        const fla_narrow narrow = {functions, dim, vectors, offsets, tolerances, 0x1p-6f};
        for (size_t n = 1; n <= GROUPS; n++) {
            const size_t count = n * functions;
            const uint32_t any = k->floats->bucket(&narrow, groups, norms, n, groups,
                                                   64 * dim, got, unsure);
            const uint32_t want_any = fla_floats_scalar.bucket(
                &narrow, groups, norms, n, groups, 0, want, want_unsure);
            CHECK(memcmp(got, want, count * FLA_GROUP * sizeof *got) == 0 &&
                      memcmp(unsure, want_unsure, count * sizeof *unsure) == 0 &&
                      any == want_any,
                  "%s bucket dim %zu functions %zu groups %zu", k->name, dim, functions,
                  n);
        }
    }
    fla_free(groups);
    fla_free(vectors);
}

static void every_tier_buckets_alike(void)
{
    each_tier("bucket", bucket_matches);
}

/* (dim stands for the functions here.) */
static void lay_out_matches(const fla_kernels *k, size_t dim)
{
    int64_t *buckets = fla_alloc(dim * FLA_GROUP, sizeof *buckets);
    for (size_t i = 0; i < dim * FLA_GROUP; i++)
        buckets[i] = (int64_t)data_next();
    for (size_t n = 1; n <= FLA_GROUP; n++) {
        guarded out = guarded_new(n * dim * sizeof(int64_t));
        size_t wrong = 0;
        k->floats->lay_out(buckets, dim, n, out.data);
        for (size_t i = 0; i < n * dim; i++)
            wrong += ((int64_t *)out.data)[i] != buckets[i % dim * FLA_GROUP + i / dim];
        CHECK(wrong == 0, "%s: %zu wrong of %zu rows x %zu", k->name, wrong, n, dim);
        guarded_free(&out);
    }
    fla_free(buckets);
}

static void every_tier_lays_out_buckets(void)
{
    each_tier("lay out", lay_out_matches);
}

/* A row and another one as the query, of any two types. */
static void distance_matches(const fla_kernels *k, size_t dim)
{
    const void *const *types[] = {pointers32, pointers64};
    double got[FLA_PAIRS], want[FLA_PAIRS];
    for (size_t i = 0; i + FLA_PAIRS < FLA_TILE; i += FLA_PAIRS) {
        for (size_t t = 0; t < 4; t++) {
            const void *const *rows = types[t / 2] + i;
            const void *const *queries = types[t % 2] + FLA_TILE - FLA_PAIRS - i;
            k->floats->distance[t / 2][t % 2](rows, queries, dim, got);
            fla_floats_scalar.distance[t / 2][t % 2](rows, queries, dim, want);
            CHECK(memcmp(got, want, sizeof got) == 0, "%s types %zu dim %zu", k->name, t,
                  dim);
        }
    }
}

static void every_tier_measures_alike(void)
{
    each_tier("distance", distance_matches);
}

/*
 * (1 + 2^-30)^2 rounds to 1 + 2^-29, and each addition to a sum near 2^24 is then a tie
 * that loses the 2^-29.  Fused, the 2^-60 survives and breaks every tie upwards.
 */
static void a_distance_is_not_fused(const fla_kernels *k)
{
    const double x = 1 + 0x1p-30, query[9] = {0};
    const double row[9] = {0x1p12, x, x, x, x, x, x, x, x};
    const void *rows[FLA_PAIRS], *queries[FLA_PAIRS];
    double got[FLA_PAIRS];
    for (size_t i = 0; i < FLA_PAIRS; i++) {
        rows[i] = row;
        queries[i] = query;
    }
    k->floats->distance[FLA_F64][FLA_F64](rows, queries, 9, got);
    for (size_t i = 0; i < FLA_PAIRS; i++)
        CHECK(got[i] == sqrt(0x1p24 + 8), "%s: %a, want %a", k->name, got[i],
              sqrt(0x1p24 + 8));
}

static void no_tier_fuses_distances(void)
{
    for (size_t t = 0; fla_kernels_at(t) != NULL; t++)
        if ((fla_kernels_at(t)->needs & ~fla_cpu_detect()) == 0)
            a_distance_is_not_fused(fla_kernels_at(t));
}

/* (1 + 2^-30)^2 - (1 + 2^-29) is 2^-60 exactly, and 0 if the product is rounded first. */
static void the_projection_is_fused(void)
{
    double group[2 * FLA_GROUP] __attribute__((aligned(64)));
    double bucket[FLA_GROUP] __attribute__((aligned(64)));
    const double vectors[2] = {-(1 + 0x1p-29), 1 + 0x1p-30}, offset = 0x1p-54;
    for (size_t i = 0; i < FLA_GROUP; i++) {
        group[i] = 1;
        group[FLA_GROUP + i] = 1 + 0x1p-30;
    }
    fla_floats_scalar.project(group, 2, vectors, &offset, 1, 0x1p70, bucket);
    CHECK(bucket[0] == 0x1p16 + 0x1p10, "got %g, want 2^16 + 2^10", bucket[0]);
}

static void match_finds(const fla_kernels *k, size_t dim)
{
    int64_t buckets[FLA_TILE] __attribute__((aligned(64)));
    uint64_t want = 0;
    for (size_t i = 0; i < FLA_TILE; i++) {
        buckets[i] = (int64_t)(data_next() % 3) - 1 + (dim % 2 == 0 ? INT64_MIN / 2 : 0);
        want |= (uint64_t)(buckets[i] == buckets[0]) << i;
    }
    const uint64_t got = k->floats->match_i64(buckets, buckets[0]);
    CHECK(got == want, "%s: %llx, want %llx", k->name, (unsigned long long)got,
          (unsigned long long)want);
    CHECK(k->floats->match_i64(buckets, 99) == 0, "%s found what is not there", k->name);
}

static void every_tier_matches_buckets(void)
{
    each_tier("match", match_finds);
}

/*
 * The filter's promise: with the limit for a radius, no row within the radius is dropped;
 * and it is worth having: rows 1 % beyond the radius are dropped.
 */
static void filter_keeps_all_within(const fla_kernels *k, size_t dim)
{
    float *tile = fla_alloc(dim * FLA_TILE, sizeof *tile);
    float *queries = fla_alloc(dim * QUERIES, sizeof *queries);
    float *centre = fla_alloc_zeroed(dim, sizeof *centre);
    float limits[QUERIES];
    double radius[QUERIES], distances[QUERIES][FLA_TILE];
    uint64_t keep[QUERIES];
    for (size_t g = 0; g < FLA_TILE; g += FLA_GROUP)
        k->floats->center_f32(pointers32 + g, pointers32 + g, dim, centre,
                              tile + g * dim);
    for (size_t q = 0; q < QUERIES; q++) {
        const void *query[FLA_PAIRS];
        for (size_t j = 0; j < dim; j++)
            queries[q * dim + j] = (float)data_value();
        for (size_t i = 0; i < FLA_PAIRS; i++)
            query[i] = queries + q * dim;
        for (size_t i = 0; i < FLA_TILE; i += FLA_PAIRS)
            fla_floats_scalar.distance[FLA_F32][FLA_F32](pointers32 + i, query, dim,
                                                         distances[q] + i);
        radius[q] = distances[q][data_next() % FLA_TILE]; /* a tie at the radius */
        limits[q] = fla_filter_limit(radius[q], 0, dim);
    }
    k->floats->filter(tile, dim, queries, QUERIES, limits, keep);
    for (size_t q = 0; q < QUERIES; q++) {
        for (size_t i = 0; i < FLA_TILE; i++) {
            const bool kept = keep[q] >> i & 1;
            CHECK(kept || distances[q][i] > radius[q], "%s dim %zu lost %a within %a",
                  k->name, dim, distances[q][i], radius[q]);
            CHECK(!kept || distances[q][i] <= 1.01 * radius[q],
                  "%s dim %zu kept %g beyond %g", k->name, dim, distances[q][i],
                  radius[q]);
        }
    }
    fla_free(tile);
    fla_free(queries);
    fla_free(centre);
}

static void no_tier_loses_a_row_within_the_radius(void)
{
    each_tier("filter", filter_keeps_all_within);
}

static void a_nan_score_keeps_its_row(void)
{
    for (size_t t = 0; fla_kernels_at(t) != NULL; t++) {
        const fla_kernels *k = fla_kernels_at(t);
        if ((k->needs & ~fla_cpu_detect()) != 0)
            continue;
        float tile[FLA_TILE] __attribute__((aligned(64)));
        float query[16] __attribute__((aligned(64))) = {INFINITY}, limit = 1;
        uint64_t keep = 0;
        for (size_t i = 0; i < FLA_TILE; i++)
            tile[i] = i == 5 ? INFINITY : 0;
        k->floats->filter(tile, 1, query, 1, &limit, &keep);
        CHECK(keep == (uint64_t)1 << 5, "%s kept %llx", k->name,
              (unsigned long long)keep);
    }
}

static void limits_never_shrink_below_the_radius(void)
{
    static const double radii[] = {0, 5e-324, 1e-300, 1e-30, 1e-10,
                                   1, 3,      1e10,   1e19,  1e200};
    for (size_t r = 0; r < sizeof radii / sizeof radii[0]; r++) {
        for (size_t dim = 1; dim < 100000; dim *= 7) {
            const double limit = (double)fla_filter_limit(radii[r], 0, dim);
            CHECK(limit >= radii[r] * radii[r], "radius %g dim %zu: %g", radii[r], dim,
                  limit);
            CHECK((double)fla_filter_limit(radii[r], 0.5, dim) >=
                      (radii[r] + 0.5) * (radii[r] + 0.5),
                  "radius %g with rounding", radii[r]);
        }
    }
    for (size_t i = 0; i < 1000; i++) { /* float rounds up, never to the nearest */
        const double radius = fabs(data_value());
        const double least = radius * radius / (1 - 103 * 0x1p-24);
        CHECK((double)fla_filter_limit(radius, 0, 100) >= least, "radius %a", radius);
    }
    CHECK(isinf(fla_filter_limit(INFINITY, 0, 3)), "no radius, no limit");
    CHECK(isinf(fla_filter_limit(1, INFINITY, 3)), "unbounded rounding, no limit");
    CHECK(isinf(fla_filter_limit(1, 0, (size_t)1 << 23)), "too many roundings, no limit");
    CHECK(isinf(fla_rounding_bound(1e39, 3)), "beyond float32");
    CHECK(fla_rounding_bound(1, 4) >= 0x1p-23, "half an ulp, four times");
}

static void a_tier_is_picked_by_name_or_the_best(void)
{
    const uint32_t cpu = fla_cpu_detect();
    const fla_kernels *last = NULL;
    for (size_t t = 0; fla_kernels_at(t) != NULL; t++)
        last = fla_kernels_at(t);
    CHECK(fla_kernels_pick(0, NULL) == last, "an old processor gets scalar");
    CHECK(fla_kernels_pick(cpu, "scalar") == last, "by name");
    CHECK(fla_kernels_pick(cpu, "nonsense") == NULL, "unknown");
    for (size_t t = 0; fla_kernels_at(t) != NULL; t++) {
        const fla_kernels *k = fla_kernels_at(t);
        CHECK(fla_kernels_pick(k->needs, NULL) == k, "%s is the best of its kind",
              k->name);
        CHECK(k->needs == 0 || fla_kernels_pick(0, k->name) == NULL, "%s unusable",
              k->name);
    }
}

int main(void)
{
    RUN(every_tier_packs_alike);
    RUN(every_tier_sees_nan_and_infinity);
    RUN(every_tier_projects_alike);
    RUN(every_tier_chains_alike);
    RUN(every_tier_narrows_alike);
    RUN(norms_are_not_finite_where_a_value_is_not);
    RUN(every_tier_buckets_alike);
    RUN(every_tier_lays_out_buckets);
    RUN(every_tier_measures_alike);
    RUN(no_tier_fuses_distances);
    RUN(the_projection_is_fused);
    RUN(every_tier_matches_buckets);
    RUN(no_tier_loses_a_row_within_the_radius);
    RUN(a_nan_score_keeps_its_row);
    RUN(limits_never_shrink_below_the_radius);
    RUN(a_tier_is_picked_by_name_or_the_best);
    return check_report();
}
