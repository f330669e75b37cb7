/*
 * The code kernels of every tier, and of AMX over a model of its instructions, against
 * sums of 64-bit integers, and the encoders against double; knowing only the contract.
 * Buffers end at an unmapped page.
 */
#include <math.h>
#include <string.h>

#include "base/cpu.h"
#include "check.h"
#include "data.h"
#include "fast_lsh_ann.h"
#include "kernels/kernels.h"

enum { MOST_QUERIES = 49, MOST_STEPS = 300 };

/* ---- the kernels there are ------------------------------------------------------- */

#if defined(__x86_64__)
extern const fla_code_kernels amx_model_codes;
static const fla_kernels model = {"amx_model", FLA_CPU_AVX512 | FLA_CPU_AVX512_VNNI,
                                  &fla_floats_scalar, &amx_model_codes};
#endif

static const fla_kernels *kernels_at(size_t t)
{
    if (fla_kernels_at(t) != NULL)
        return fla_kernels_at(t);
#if defined(__x86_64__)
    if (t == 0 || fla_kernels_at(t - 1) != NULL)
        return &model;
#endif
    return NULL;
}

/* Call test for every tier that this processor has, and say which. */
static void each_tier(const char *what, void (*test)(const fla_kernels *))
{
    const uint32_t cpu = fla_cpu_detect();
    const char *none[1];
    size_t ran = 0, models = 0;
    for (size_t t = 0; kernels_at(t) != NULL; t++) {
        const fla_kernels *k = kernels_at(t);
        if ((k->needs & ~cpu) != 0) {
            printf("skip   %s on %s: not on this processor\n", what, k->name);
            continue;
        }
        test(k);
        printf("ran    %s on %s\n", what, k->name);
        ran++;
        models += fla_kernels_at(t) == NULL;
    }
    CHECK(ran == fla_simd_tiers(none, 0) + models, "%zu tiers ran of %zu", ran,
          fla_simd_tiers(none, 0) + models);
}

/* ---- one case -------------------------------------------------------------------- */

/* A tile and queries, their codes and scores. */
typedef struct fixture {
    size_t steps, n;
    guarded tile, records, bias, queries, limits, hits;
    int32_t scores[MOST_QUERIES][FLA_TILE];
} fixture;

enum { RANDOM, ALL_PLUS, ALL_MINUS, OPPOSITE, CORNERS, KINDS };

static int32_t code_of(int kind, int32_t most, bool query)
{
    switch (kind) {
        case ALL_PLUS:
            return most;
        case ALL_MINUS:
            return -most - 1;
        case OPPOSITE:
            return query ? -most - 1 : most;
        case CORNERS:
            return data_next() % 2 == 0 ? most : -most - 1;
        default:
            return (int32_t)(data_next() % (uint64_t)(2 * most + 2)) - most - 1;
    }
}

/* Where row r's code j of steps lies in a tile. */
static size_t place(size_t steps, size_t r, size_t j)
{
    return ((r / FLA_GROUP * steps + j / FLA_STEP) * FLA_GROUP + r % FLA_GROUP) *
               FLA_STEP +
           j % FLA_STEP;
}

static void fixture_new(fixture *f, const fla_code_kernels *k, int kind, size_t steps,
                        size_t n)
{
    static int32_t rows[FLA_TILE][MOST_STEPS * FLA_STEP];
    const size_t codes = steps * FLA_STEP;
    f->steps = steps;
    f->n = n;
    f->tile = guarded_new(codes * FLA_TILE);
    f->records = guarded_new(codes * FLA_TILE);
    f->bias = guarded_new(FLA_TILE * sizeof(int32_t));
    f->queries = guarded_new(n * codes);
    f->limits = guarded_new(n * sizeof(int32_t));
    f->hits = guarded_new(n * sizeof(fla_hit));
    for (size_t r = 0; r < FLA_TILE; r++) {
        ((int32_t *)f->bias.data)[r] = (int32_t)(data_next() % 2000001) - 1000000;
        for (size_t j = 0; j < codes; j++) {
            rows[r][j] = code_of(kind, k->code_max, false) + k->code_offset;
            ((uint8_t *)f->tile.data)[place(steps, r, j)] = (uint8_t)rows[r][j];
            ((uint8_t *)f->records.data)[r * codes + j] = (uint8_t)rows[r][j];
        }
    }
    for (size_t q = 0; q < n; q++) {
        int8_t *query = (int8_t *)f->queries.data + q * codes;
        for (size_t j = 0; j < codes; j++)
            query[j] = (int8_t)code_of(kind, k->code_max, true);
        for (size_t r = 0; r < FLA_TILE; r++) {
            int64_t sum = ((int32_t *)f->bias.data)[r];
            for (size_t j = 0; j < codes; j++)
                sum += (int64_t)rows[r][j] * query[j];
            f->scores[q][r] = (int32_t)sum;
        }
    }
}

static void fixture_free(fixture *f)
{
    guarded_free(&f->tile);
    guarded_free(&f->records);
    guarded_free(&f->bias);
    guarded_free(&f->queries);
    guarded_free(&f->limits);
    guarded_free(&f->hits);
}

/* Call a check with every kind of codes, many numbers of steps and of queries. */
static void each_fixture(const fla_kernels *k,
                         void (*check)(const fla_kernels *, fixture *))
{
    static const size_t sizes[] = {16, 17, 31, 32, 33, 40, MOST_QUERIES};
    static const size_t many_steps[] = {48, 63, 64, 65, 100, MOST_STEPS};
    static fixture f;
    size_t turn = 0;
    for (size_t i = 1; i < 41 + sizeof many_steps / sizeof many_steps[0]; i++) {
        const size_t steps = i < 41 ? i : many_steps[i - 41];
        for (int kind = 0; kind < KINDS; kind++) {
            for (size_t j = 0; j < 6; j++, turn++) { /* 0..13 and one of sizes */
                const size_t n = j < 5 ? turn % 14 : sizes[turn % 7];
                fixture_new(&f, k->codes, kind, steps, n);
                check(k, &f);
                fixture_free(&f);
            }
        }
    }
}

/* ---- the filter ------------------------------------------------------------------ */

static int32_t best_score(const fixture *f, size_t q)
{
    int32_t best = f->scores[q][0];
    for (size_t r = 1; r < FLA_TILE; r++)
        best = f->scores[q][r] > best ? f->scores[q][r] : best;
    return best;
}

enum { ANY_LIMIT, NOTHING_PASSES, ONE_QUERY_PASSES, LIMITS };

static int32_t limit_of(const fixture *f, int kind, size_t q, size_t chosen)
{
    const int32_t best = best_score(f, q);
    if (kind == NOTHING_PASSES || (kind == ONE_QUERY_PASSES && q != chosen))
        return best + 1;
    if (kind == ONE_QUERY_PASSES)
        return best;
    switch (data_next() % 6) {
        case 0:
            return INT32_MIN;
        case 1:
            return INT32_MAX;
        case 2:
            return best;
        case 3:
            return best + 1;
        default:
            return f->scores[q][data_next() % FLA_TILE];
    }
}

static void filter_lists(const fla_kernels *k, fixture *f)
{
    int32_t *limits = f->limits.data;
    fla_hit *hits = f->hits.data, want[MOST_QUERIES];
    for (int kind = 0; kind < LIMITS; kind++) {
        const size_t chosen = f->n > 0 ? data_next() % f->n : 0;
        size_t wanted = 0;
        for (size_t q = 0; q < f->n; q++) {
            uint64_t rows = 0;
            limits[q] = limit_of(f, kind, q, chosen);
            for (size_t r = 0; r < FLA_TILE; r++)
                rows |= (uint64_t)(f->scores[q][r] >= limits[q]) << r;
            if (rows != 0)
                want[wanted++] = (fla_hit){rows, q};
        }
        const size_t got = k->codes->filter(f->tile.data, f->bias.data, f->steps,
                                            f->queries.data, f->n, limits, hits);
        if (!CHECK(got == wanted, "%s steps %zu queries %zu: %zu hits, want %zu", k->name,
                   f->steps, f->n, got, wanted))
            continue;
        for (size_t h = 0; h < got; h++)
            CHECK(hits[h].query == want[h].query && hits[h].rows == want[h].rows,
                  "%s steps %zu queries %zu: hit %zu is query %llu rows %llx, want %llu "
                  "%llx",
                  k->name, f->steps, f->n, h, (unsigned long long)hits[h].query,
                  (unsigned long long)hits[h].rows, (unsigned long long)want[h].query,
                  (unsigned long long)want[h].rows);
    }
}

static void filter_of(const fla_kernels *k)
{
    each_fixture(k, filter_lists);
}

static void every_tier_lists_the_rows_that_reach_the_limit(void)
{
    each_tier("filter", filter_of);
}

/* A sum that only just fits: every product is at least 0, so no part of it overflows. */
static void filter_at_the_end_of_int32(const fla_kernels *k)
{
    static fixture f;
    for (size_t n = 1; n <= 8; n++) {
        fixture_new(&f, k->codes, ALL_PLUS, 32, n);
        int32_t *bias = f.bias.data, *limits = f.limits.data;
        fla_hit *hits = f.hits.data;
        const int32_t sum = f.scores[0][37] - bias[37];
        bias[37] = INT32_MAX - sum;
        for (size_t q = 0; q < n; q++)
            limits[q] = INT32_MAX;
        const size_t got =
            k->codes->filter(f.tile.data, bias, f.steps, f.queries.data, n, limits, hits);
        CHECK(got == n, "%s: %zu hits at INT32_MAX, want %zu", k->name, got, n);
        for (size_t h = 0; h < got; h++)
            CHECK(hits[h].query == h && hits[h].rows == (uint64_t)1 << 37,
                  "%s: hit %zu at INT32_MAX", k->name, h);
        fixture_free(&f);
    }
}

static void the_largest_score_reaches_the_largest_limit(void)
{
    each_tier("largest", filter_at_the_end_of_int32);
}

/* ---- the best -------------------------------------------------------------------- */

static void best_is_raised(const fla_kernels *k, fixture *f)
{
    if (f->n == 0)
        return;
    const size_t stride = FLA_TILE + data_next() % 4 * FLA_GROUP;
    const size_t values = (f->n - 1) * stride + FLA_TILE;
    guarded best = guarded_new(values * sizeof(int32_t));
    guarded want = guarded_new(values * sizeof(int32_t));
    int32_t *b = best.data, *w = want.data;
    for (size_t i = 0; i < values; i++) {
        const size_t q = i / stride, r = i % stride;
        const int32_t score = r < FLA_TILE ? f->scores[q][r] : 0;
        b[i] = data_next() % 4 == 0 ? INT32_MIN : score + (int32_t)(data_next() % 5) - 2;
        w[i] = r < FLA_TILE && score > b[i] ? score : b[i];
    }
    k->codes->best(f->tile.data, f->bias.data, f->steps, f->queries.data, f->n, b,
                   stride);
    CHECK(memcmp(b, w, values * sizeof *b) == 0, "%s steps %zu queries %zu stride %zu",
          k->name, f->steps, f->n, stride);
    guarded_free(&best);
    guarded_free(&want);
}

static void best_of(const fla_kernels *k)
{
    each_fixture(k, best_is_raised);
}

static void every_tier_raises_the_best(void)
{
    each_tier("best", best_of);
}

/* ---- single rows ----------------------------------------------------------------- */

/* No row, all rows, and some; limits that some reach, one by a tie. */
static void check_keeps(const fla_kernels *k, fixture *f)
{
    for (size_t q = 0; q < f->n; q++) {
        const int8_t *query = (const int8_t *)f->queries.data + q * f->steps * FLA_STEP;
        const int32_t limit = f->scores[q][data_next() % FLA_TILE];
        const uint64_t sets[] = {0, UINT64_MAX, data_next()};
        for (size_t i = 0; i < 3; i++) {
            uint64_t want = 0;
            for (size_t r = 0; r < FLA_TILE; r++)
                want |= (uint64_t)(f->scores[q][r] >= limit) << r;
            want &= sets[i];
            const uint64_t got = k->codes->check(f->records.data, f->bias.data, f->steps,
                                                 query, limit, sets[i]);
            CHECK(got == want, "%s steps %zu of %llx: %llx, want %llx", k->name, f->steps,
                  (unsigned long long)sets[i], (unsigned long long)got,
                  (unsigned long long)want);
        }
    }
}

static void check_of(const fla_kernels *k)
{
    each_fixture(k, check_keeps);
}

static void every_tier_checks_single_rows(void)
{
    each_tier("check", check_of);
}

/* ---- encoding -------------------------------------------------------------------- */

typedef struct encoding {
    size_t dim;
    float scale;
    int32_t code_max, code_offset;
} encoding;

/* Codes of row i: each next to the value in scales, the padding 0; their residue. */
static void check_row(const char *name, const encoding *e, const float *group, size_t i,
                      const uint8_t *codes, const fla_residue *residue)
{
    int32_t squares = 0;
    double residual = 0, length = 0;
    const double most = e->code_max, scale = (double)e->scale;
    for (size_t j = 0; j < (e->dim + 3) / FLA_STEP * FLA_STEP; j++) {
        /* the code that is stored as this byte; it lies in [-128, 127] */
        const uint8_t stored = codes[place(0, i, 0) + j / FLA_STEP * 64 + j % FLA_STEP];
        const int32_t code = (int8_t)(uint8_t)(stored - e->code_offset);
        const double value = j < e->dim ? (double)group[j * FLA_GROUP + i] : 0;
        const double exact = fmax(-most - 1, fmin(most, value / scale));
        CHECK(fabs(code - exact) <= (j < e->dim ? 0.5001 : 0),
              "%s dim %zu row %zu: code %d of %g", name, e->dim, i, code, exact);
        squares += code * code;
        residual += (value - scale * code) * (value - scale * code);
        length += value * value;
    }
    const double bound = (double)(e->dim + 8) * 0x1p-23;
    CHECK(residue->squares[i] == squares, "%s dim %zu row %zu: squares %d, want %d", name,
          e->dim, i, residue->squares[i], squares);
    CHECK(fabs((double)residue->residual[i] - residual) <= bound * residual + 0x1p-120,
          "%s dim %zu row %zu: residual %g, want %g", name, e->dim, i,
          (double)residue->residual[i], residual);
    CHECK(fabs((double)residue->length[i] - length) <= bound * length + 0x1p-120,
          "%s dim %zu row %zu: length %g, want %g", name, e->dim, i,
          (double)residue->length[i], length);
}

static void check_encoding(const fla_kernels *k, const encoding *e)
{
    const size_t bytes = (e->dim + 3) / FLA_STEP * FLA_STEP * FLA_GROUP;
    guarded group = guarded_new(e->dim * FLA_GROUP * sizeof(float));
    guarded codes = guarded_new(bytes);
    fla_residue residue;
    float *values = group.data;
    memset(codes.data, 0x55, bytes);
    for (size_t i = 0; i < e->dim * FLA_GROUP; i++)
        values[i] = (float)data_value() * e->scale * 200;
    k->floats->encode(values, e->dim, e->scale, e->code_max, e->code_offset, codes.data,
                      &residue);
    for (size_t i = 0; i < FLA_GROUP; i++)
        check_row(k->name, e, values, i, codes.data, &residue);

    static const float bad[] = {NAN, INFINITY, -INFINITY};
    const size_t row = data_next() % FLA_GROUP, at = data_next() % e->dim;
    values[at * FLA_GROUP + row] = bad[data_next() % 3];
    k->floats->encode(values, e->dim, e->scale, e->code_max, e->code_offset, codes.data,
                      &residue);
    for (size_t i = 0; i < FLA_GROUP; i++) {
        if (i == row)
            CHECK(!isfinite(residue.residual[i]), "%s dim %zu: a row that is not finite",
                  k->name, e->dim);
        else
            check_row(k->name, e, values, i, codes.data, &residue);
    }
    guarded_free(&group);
    guarded_free(&codes);
}

static void encoding_of(const fla_kernels *k)
{
    static const int32_t code_max[] = {127, 63, 127}, code_offset[] = {128, 64, 0};
    for (size_t dim = 1; dim <= 131; dim += dim < 36 ? 1 : 19)
        for (size_t i = 0; i < 3; i++)
            for (float scale = 0x1p-20f; scale < 1e6f; scale *= 37)
                check_encoding(k, &(encoding){dim, scale, code_max[i], code_offset[i]});
}

static void every_tier_encodes_next_to_the_value(void)
{
    each_tier("encode", encoding_of);
}

/* ---- products -------------------------------------------------------------------- */

/* Sums in runs: a term passes a run's additions, the runs', and its own rounding. */
static void check_products(const fla_kernels *k, size_t dim, size_t n)
{
    guarded group = guarded_new(dim * FLA_GROUP * sizeof(float));
    guarded vectors = guarded_new(n * dim * sizeof(float));
    guarded products = guarded_new(n * FLA_GROUP * sizeof(float));
    float *x = group.data, *y = vectors.data, *got = products.data;
    const double terms = (double)(FLA_RUN + dim / FLA_RUN + 3);
    for (size_t i = 0; i < dim * FLA_GROUP; i++)
        x[i] = (float)data_value();
    for (size_t i = 0; i < n * dim; i++)
        y[i] = (float)data_value();
    k->floats->multiply(x, dim, y, n, got);
    for (size_t i = 0; i < n * FLA_GROUP; i++) {
        double sum = 0, magnitude = 0;
        for (size_t j = 0; j < dim; j++) {
            const double product = (double)x[j * FLA_GROUP + i % FLA_GROUP] *
                                   (double)y[i / FLA_GROUP * dim + j];
            sum += product;
            magnitude += fabs(product);
        }
        CHECK(fabs((double)got[i] - sum) <= terms * 0x1p-24 * magnitude + 0x1p-120,
              "%s dim %zu of %zu: product %zu is %g, want %g", k->name, dim, n, i,
              (double)got[i], sum);
    }
    guarded_free(&group);
    guarded_free(&vectors);
    guarded_free(&products);
}

static void products_of(const fla_kernels *k)
{
    for (size_t dim = 1; dim <= 600; dim += dim < 70 ? 3 : 177)
        for (size_t n = 1; n <= 19; n++)
            check_products(k, dim, n);
}

static void every_tier_multiplies_in_runs(void)
{
    each_tier("products", products_of);
}

/* ---- ranges ---------------------------------------------------------------------- */

/* What a tier's codes mean for its instructions: stored codes fit a byte. */
static void codes_fit(const fla_kernels *k)
{
    const int32_t most = k->codes->code_max, offset = k->codes->code_offset;
    const bool as_unsigned = offset - most >= 0 && offset + most <= 255;
    const bool as_signed = offset - most >= -128 && offset + most <= 127;
    CHECK(most >= 1 && most <= 127 && (as_unsigned || as_signed), "%s: +-%d + %d",
          k->name, most, offset);
}

static void stored_codes_fit_a_byte(void)
{
    each_tier("range", codes_fit);
}

int main(void)
{
    RUN(every_tier_lists_the_rows_that_reach_the_limit);
    RUN(the_largest_score_reaches_the_largest_limit);
    RUN(every_tier_raises_the_best);
    RUN(every_tier_checks_single_rows);
    RUN(every_tier_encodes_next_to_the_value);
    RUN(every_tier_multiplies_in_runs);
    RUN(stored_codes_fit_a_byte);
    return check_report();
}
