/*
 * The count-min sketch against a naive one, against exact counts, and against the bounds
 * of the paper it is from.
 *
 * Seen to fail: a level left out of the estimate; the greatest counter instead of the
 * least; one hash function for all levels; a hash without its c, with a for b, of the
 * lower half of a sum, of items that are not mixed; a counter that wraps; a merge that
 * takes the larger counter, or wraps; an admission that stops after one level, or asks
 * for more than least; an inner product of the last level, with full counters of either
 * side, beyond int64; hash tables that share items; widths that differ; a width of 0, or
 * one too large; counters that leak; a total of runs beyond int64.
 */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "check.h"
#include "data.h"
#include "search/runs.h"
#include "search/sketch.h"

static fla_sketch *new_sketch(uint64_t width)
{
    fla_sketch *sketch;
    if (fla_sketch_create(width, &sketch, NULL) != FLA_OK)
        abort();
    return sketch;
}

static size_t counters_of(const fla_sketch *sketch)
{
    return FLA_SKETCH_DEPTH * sketch->width;
}

static bool equal(const fla_sketch *a, const fla_sketch *b)
{
    return a->width == b->width &&
           memcmp(a->counters, b->counters, counters_of(a) * sizeof *a->counters) == 0;
}

/* ---- a naive sketch --------------------------------------------------------------- */

/* SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
   2014; its mixing, and its outputs. */
static uint64_t naive_mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t splitmix(uint64_t *state)
{
    return naive_mix(*state += UINT64_C(0x9e3779b97f4a7c15));
}

/* Where an item is counted: floor(width h / 2^32), h the top half of a x + b y + c, x and
   y the halves of the item mixed. */
static size_t naive_cell(size_t width, size_t level, uint64_t item)
{
    uint64_t state = 0, constants[3 * FLA_SKETCH_DEPTH];
    for (size_t i = 0; i < 3 * FLA_SKETCH_DEPTH; i++)
        constants[i] = splitmix(&state);
    const uint64_t *c = constants + 3 * level, mixed = naive_mix(item);
    const uint64_t sum = (mixed % (UINT64_C(1) << 32)) * c[0] +
                         (mixed / (UINT64_C(1) << 32)) * c[1] + c[2];
    return (size_t)((sum / (UINT64_C(1) << 32)) * width / (UINT64_C(1) << 32));
}

enum { ITEMS = 3000 };

/* Items as joins have them, and any others; how often each is counted. */
typedef struct counted {
    uint64_t item;
    uint32_t count;
} counted;

static void make_items(counted items[ITEMS])
{
    for (size_t i = 0; i < ITEMS; i++) {
        const uint64_t any = data_next();
        items[i].item = i % 2 == 0 ? (uint64_t)(i / 60) << 32 | i % 60 : any;
        items[i].count = 1 + (uint32_t)(data_next() % 5);
    }
}

static void add_items(fla_sketch *sketch, const counted items[ITEMS])
{
    for (size_t i = 0; i < ITEMS; i++)
        fla_sketch_add(sketch, items[i].item, items[i].count);
}

static void counters_are_where_the_naive_sketch_has_them(void)
{
    static const size_t widths[] = {1, 2, 7, 1000, 65536};
    counted items[ITEMS];
    make_items(items);
    for (size_t w = 0; w < 5; w++) {
        fla_sketch *sketch = new_sketch(widths[w]);
        uint64_t *naive = calloc(counters_of(sketch), sizeof *naive);
        size_t wrong = 0;
        add_items(sketch, items);
        for (size_t i = 0; i < ITEMS; i++)
            for (size_t level = 0; level < FLA_SKETCH_DEPTH; level++)
                naive[level * widths[w] + naive_cell(widths[w], level, items[i].item)] +=
                    items[i].count;
        for (size_t i = 0; i < counters_of(sketch); i++)
            wrong += naive[i] != sketch->counters[i];
        CHECK(wrong == 0, "width %zu: %zu counters differ", widths[w], wrong);
        for (size_t i = 0; i < ITEMS; i++) {
            uint64_t least = UINT64_MAX;
            for (size_t level = 0; level < FLA_SKETCH_DEPTH; level++) {
                const uint64_t counter =
                    naive[level * widths[w] +
                          naive_cell(widths[w], level, items[i].item)];
                least = counter < least ? counter : least;
            }
            wrong += fla_sketch_estimate(sketch, items[i].item) != least;
        }
        CHECK(wrong == 0, "width %zu: %zu estimates differ", widths[w], wrong);
        CHECK(fla_sketch_bytes(sketch) == 16 * widths[w], "bytes");
        free(naive);
        fla_sketch_free(sketch);
    }
}

/* ---- what a sketch promises ------------------------------------------------------- */

static void no_estimate_is_below_its_count(void)
{
    counted items[ITEMS];
    size_t below = 0, above = 0;
    make_items(items);
    for (uint64_t width = 1; width <= 10000; width *= 10) {
        fla_sketch *sketch = new_sketch(width);
        add_items(sketch, items);
        for (size_t i = 0; i < ITEMS; i++) {
            const uint32_t estimate = fla_sketch_estimate(sketch, items[i].item);
            below += estimate < items[i].count;
            above += estimate > items[i].count;
        }
        fla_sketch_free(sketch);
    }
    CHECK(below == 0, "%zu estimates are too low", below);
    CHECK(above > ITEMS, "only %zu estimates are too high: nothing was shared", above);
}

/* Excess of an item over its count: in each level, and of the least level. */
typedef struct excess {
    double levels[FLA_SKETCH_DEPTH]; /* means */
    double far; /* share of items whose estimate is too high by more than e N / width */
} excess;

static excess excess_of(const uint64_t *items, size_t n, size_t width)
{
    fla_sketch *sketch = new_sketch(width);
    excess mean = {{0}, 0};
    for (size_t i = 0; i < n; i++)
        fla_sketch_add(sketch, items[i], 1);
    for (size_t i = 0; i < n; i++) {
        const double most = 2.718281828 * (double)n / (double)width;
        mean.far += fla_sketch_estimate(sketch, items[i]) - 1 > most;
        for (size_t level = 0; level < FLA_SKETCH_DEPTH; level++) {
            const size_t at = level * width + naive_cell(width, level, items[i]);
            mean.levels[level] += (double)(sketch->counters[at] - 1) / (double)n;
        }
    }
    mean.far /= (double)n;
    fla_sketch_free(sketch);
    return mean;
}

/*
 * The paper's theorem 1: with pairwise independent hash functions a counter is too high
 * by N / width in expectation, so an estimate is by more than e N / width in at most one
 * of e^4 = 54.6 cases.  Items as a join has them (a block of numbers), spaced ones, and
 * random ones.
 */
static void errors_are_within_the_papers_bounds(void)
{
    enum { SIDE = 200, N = SIDE * SIDE };
    static const size_t widths[] = {97, 1000, 8192};
    uint64_t *items[3];
    for (size_t kind = 0; kind < 3; kind++) {
        items[kind] = malloc(N * sizeof *items[kind]);
        for (uint64_t i = 0; i < N; i++)
            items[kind][i] = kind == 0   ? (i / SIDE) << 32 | i % SIDE
                             : kind == 1 ? (i / SIDE) << 48 | (i % SIDE) << 12
                                         : data_next();
    }
    for (size_t kind = 0; kind < 3; kind++) {
        for (size_t w = 0; w < 3; w++) {
            const excess mean = excess_of(items[kind], N, widths[w]);
            const double expected = (double)N / (double)widths[w];
            for (size_t level = 0; level < FLA_SKETCH_DEPTH; level++)
                CHECK(mean.levels[level] < 1.1 * expected,
                      "items %zu, width %zu, level %zu: too high by %g, expected %g",
                      kind, widths[w], level, mean.levels[level], expected);
            CHECK(mean.far <= 1 / 54.6, "items %zu, width %zu: %g are far off", kind,
                  widths[w], mean.far);
        }
        free(items[kind]);
    }
}

/* Were one level's hashes another's, the least counter would be no better than any. */
static void levels_share_their_cells_with_other_items(void)
{
    enum { N = 20000, WIDTH = 20000 };
    fla_sketch *sketch = new_sketch(WIDTH);
    size_t exact = 0;
    for (uint64_t i = 0; i < N; i++)
        fla_sketch_add(sketch, (i / 100) << 32 | i % 100, 1);
    for (uint64_t i = 0; i < N; i++)
        exact += fla_sketch_estimate(sketch, (i / 100) << 32 | i % 100) == 1;
    /* One level is exact for exp(-1) of the items, four for 1 - (1 - exp(-1))^4. */
    CHECK(exact > N * 80 / 100 && exact < N * 88 / 100, "%zu of %d are exact", exact, N);
    fla_sketch_free(sketch);
}

static void order_and_parts_change_nothing(void)
{
    counted items[ITEMS];
    fla_sketch *whole = new_sketch(500), *reversed = new_sketch(500);
    fla_sketch *parts[3] = {new_sketch(500), new_sketch(500), new_sketch(500)};
    make_items(items);
    add_items(whole, items);
    for (size_t i = ITEMS; i-- > 0;)
        for (uint32_t c = 0; c < items[i].count; c++)
            fla_sketch_add(reversed, items[i].item, 1);
    CHECK(equal(whole, reversed), "one by one, from the end");
    for (size_t i = 0; i < ITEMS; i++)
        fla_sketch_add(parts[data_next() % 3], items[i].item, items[i].count);
    CHECK(!equal(whole, parts[2]), "the parts are the whole");
    CHECK(fla_sketch_merge(parts[2], parts[0], NULL) == FLA_OK &&
              fla_sketch_merge(parts[2], parts[1], NULL) == FLA_OK,
          "merge");
    CHECK(equal(whole, parts[2]), "three parts");
    for (size_t i = 0; i < 3; i++)
        fla_sketch_free(parts[i]);
    fla_sketch_free(reversed);
    fla_sketch_free(whole);
}

static void full_counters_stay_full(void)
{
    fla_sketch *sketch = new_sketch(3), *other = new_sketch(3);
    const uint32_t one[] = {7};
    fla_sketch_add(sketch, 7, UINT32_MAX - 1);
    CHECK(fla_sketch_estimate(sketch, 7) == UINT32_MAX - 1, "below the top");
    fla_sketch_add(sketch, 7, 1);
    CHECK(fla_sketch_estimate(sketch, 7) == UINT32_MAX, "at the top");
    fla_sketch_add(sketch, 7, 1);
    fla_sketch_add(sketch, 7, UINT32_MAX);
    for (unsigned level = 0; level < FLA_SKETCH_DEPTH; level++)
        fla_sketch_add_pairs(sketch, level, 0, one, 1);
    CHECK(fla_sketch_estimate(sketch, 7) == UINT32_MAX, "beyond");
    fla_sketch_add(other, 7, 5);
    CHECK(fla_sketch_merge(sketch, other, NULL) == FLA_OK, "merge");
    CHECK(fla_sketch_estimate(sketch, 7) == UINT32_MAX, "merged");
    fla_sketch_free(sketch);
    fla_sketch_free(other);
}

/* ---- as a join uses it ------------------------------------------------------------ */

static void pairs_are_items_counted_and_admitted_many_at_a_time(void)
{
    enum { QUERIES = 30, ROWS = 100 };
    static const size_t widths[] = {1, 300, 5000};
    uint32_t rows[ROWS], kept[ROWS];
    for (uint32_t i = 0; i < ROWS; i++)
        rows[i] = 3 * i + UINT32_MAX - 150; /* beyond the last number: 0 again */
    for (size_t w = 0; w < 3; w++) {
        fla_sketch *plain = new_sketch(widths[w]), *paired = new_sketch(widths[w]);
        size_t wrong = 0, admitted = 0;
        for (uint32_t q = 0; q < QUERIES; q++) {
            const size_t n = data_next() % (ROWS + 1);
            for (unsigned level = FLA_SKETCH_DEPTH; level-- > 0;)
                fla_sketch_add_pairs(paired, level, q * 7, rows, n);
            for (size_t i = 0; i < n; i++)
                fla_sketch_add(plain, (uint64_t)(q * 7) << 32 | rows[i], 1);
        }
        CHECK(equal(plain, paired), "width %zu: counters differ", widths[w]);
        for (uint32_t q = 0; q < QUERIES; q++) {
            for (uint64_t least = 0; least <= 4; least++) {
                const size_t n = fla_sketch_admit(paired, q * 7, rows, ROWS, least, kept);
                size_t k = 0;
                for (size_t i = 0; i < ROWS; i++) {
                    const uint64_t item = (uint64_t)(q * 7) << 32 | rows[i];
                    if (fla_sketch_estimate(paired, item) >= least)
                        wrong += k >= n || kept[k++] != rows[i];
                }
                wrong += k != n;
                admitted += n;
            }
        }
        CHECK(wrong == 0, "width %zu: %zu admitted wrongly", widths[w], wrong);
        CHECK(admitted > QUERIES * ROWS, "only %zu admitted", admitted);
        fla_sketch_free(plain);
        fla_sketch_free(paired);
    }
}

/* ---- inner products --------------------------------------------------------------- */

enum { SIDE_ROWS = 4000, SIDE_TABLES = 3, SIDE_HASHES = 2 };

/* Buckets of one side, some of them crowded; each function has numbers of its own. */
static void make_buckets(int64_t *buckets, int64_t shift, size_t hashes)
{
    for (size_t i = 0; i < SIDE_ROWS; i++)
        for (size_t f = 0; f < SIDE_TABLES * hashes; f++)
            *buckets++ = shift + (int64_t)(data_next() % (i % 3 == 0 ? 5 : 400)) -
                         200 * (int)(f / hashes);
}

static uint64_t naive_collisions_of(const int64_t *a, const int64_t *b, size_t hashes)
{
    const size_t functions = SIDE_TABLES * hashes;
    uint64_t total = 0;
    for (size_t i = 0; i < SIDE_ROWS; i++)
        for (size_t j = 0; j < SIDE_ROWS; j++)
            for (size_t f = 0; f < functions; f += hashes)
                total += memcmp(a + i * functions + f, b + j * functions + f,
                                hashes * sizeof *a) == 0;
    return total;
}

static void check_inner(const int64_t *a, const int64_t *b, size_t hashes)
{
    const uint64_t want = naive_collisions_of(a, b, hashes);
    const double totals = pow(SIDE_ROWS * SIDE_TABLES, 2);
    for (uint64_t width = 10; width <= 1000000; width *= 10) {
        fla_sketch *of_a = new_sketch(width), *of_b = new_sketch(width);
        const size_t half = SIDE_ROWS / 2;
        uint64_t product;
        fla_sketch_add_buckets(of_a, a, half, SIDE_TABLES, hashes);
        fla_sketch_add_buckets(of_a, a + half * SIDE_TABLES * hashes, half, SIDE_TABLES,
                               hashes);
        fla_sketch_add_buckets(of_b, b, SIDE_ROWS, SIDE_TABLES, hashes);
        CHECK(fla_sketch_inner(of_a, of_b, &product, NULL) == FLA_OK, "inner");
        CHECK(product >= want, "width %d: %.0f, want %.0f", (int)width, (double)product,
              (double)want);
        CHECK((double)(product - want) <= 2.718281828 / (double)width * totals,
              "width %d: %.0f, want %.0f", (int)width, (double)product, (double)want);
        if (width == 1000000)
            CHECK((double)(product - want) <= totals / (double)width,
                  "wide: %.0f, want %.0f", (double)product, (double)want);
        fla_sketch_free(of_a);
        fla_sketch_free(of_b);
    }
}

/* The paper's theorem 3: at least the product, and at most e / width of both totals'
   product more, but for one case in e^4. */
static void inner_products_bound_how_often_two_sides_collide(void)
{
    enum { VALUES = SIDE_ROWS * SIDE_TABLES * SIDE_HASHES };
    int64_t *a = malloc(VALUES * sizeof *a), *b = malloc(VALUES * sizeof *b);
    for (size_t hashes = 1; hashes <= SIDE_HASHES; hashes++) {
        make_buckets(a, 3, hashes);
        make_buckets(b, -4, hashes);
        check_inner(a, b, hashes);
    }
    free(a);
    free(b);
}

static void unknown_products_are_refused(void)
{
    fla_sketch *a = new_sketch(40), *b = new_sketch(40), *wider = new_sketch(41);
    uint64_t product = 1;
    fla_error err;
    CHECK(fla_sketch_inner(a, wider, &product, &err) == FLA_ERR_SHAPE && product == 0,
          "widths");
    CHECK(strstr(err.message, "40") != NULL && strstr(err.message, "41") != NULL, "%s",
          err.message);
    CHECK(fla_sketch_merge(a, wider, &err) == FLA_ERR_SHAPE, "widths");
    CHECK(fla_sketch_inner(a, b, &product, NULL) == FLA_OK && product == 0, "empty");
    fla_sketch_add(a, 1, UINT32_MAX - 1);
    fla_sketch_add(b, 1, UINT32_C(1) << 31);
    CHECK(fla_sketch_inner(a, b, &product, NULL) == FLA_OK &&
              product == (UINT64_C(1) << 31) * (UINT32_MAX - 1),
          "just below 2^63");
    fla_sketch_add(b, 1, 2);
    CHECK(fla_sketch_inner(a, b, &product, &err) == FLA_ERR_ARGUMENT && product == 0,
          "beyond 2^63: %.0f", (double)product);
    fla_sketch_add(a, 1, 1);
    fla_sketch_free(b);
    b = new_sketch(40);
    fla_sketch_add(b, 1, 1);
    CHECK(fla_sketch_inner(a, b, &product, &err) == FLA_ERR_ARGUMENT, "full");
    CHECK(fla_sketch_inner(b, a, &product, &err) == FLA_ERR_ARGUMENT, "full");
    fla_sketch_free(a);
    fla_sketch_free(b);
    fla_sketch_free(wider);
}

/* Sizes no test could fill: the sum must see that it passes int64. */
static void totals_beyond_int64_are_seen(void)
{
    uint32_t starts[] = {0, UINT32_MAX - 1, UINT32_MAX - 1};
    const fla_run_table table = {.n = 2, .starts = starts};
    uint32_t queries[] = {UINT32_C(1) << 31, 5};
    uint64_t total = 0;
    CHECK(fla_runs_total(&table, queries, &total), "just below");
    CHECK(total == (UINT64_C(1) << 31) * (UINT32_MAX - 1), "%.0f", (double)total);
    CHECK(!fla_runs_total(&table, queries, &total), "twice");
    total = 0;
    queries[0] += 2;
    CHECK(!fla_runs_total(&table, queries, &total), "beyond");
}

/* ---- edges ------------------------------------------------------------------------ */

static void absurd_widths_are_refused(void)
{
    static const uint64_t bad[] = {0, FLA_SKETCH_MOST_WIDTH + UINT64_C(1),
                                   UINT64_C(1) << 60, UINT64_MAX};
    for (size_t i = 0; i < 4; i++) {
        fla_sketch *sketch = (fla_sketch *)&bad;
        fla_error err;
        CHECK(fla_sketch_create(bad[i], &sketch, &err) == FLA_ERR_ARGUMENT, "width");
        CHECK(sketch == NULL && strcmp(err.argument, "width") == 0, "%s", err.message);
        CHECK(strstr(err.message, "268435456") != NULL, "%s", err.message);
    }
    fla_sketch_free(NULL);
}

static void every_allocation_may_fail(void)
{
    for (long n = 0;; n++) {
        fla_sketch *sketch;
        fla_error err;
        const long live = fla_test_alloc_live();
        fla_test_alloc_budget(n, true);
        const fla_status status = fla_sketch_create(100, &sketch, &err);
        fla_test_alloc_budget(-1, false);
        if (status == FLA_OK) {
            CHECK(n == 2, "%ld allocations failed", n);
            fla_sketch_free(sketch);
            return;
        }
        CHECK(status == FLA_ERR_MEMORY && sketch == NULL, "allocation %ld", n);
        CHECK(strstr(err.message, "sketch") != NULL, "%s", err.message);
        CHECK(fla_test_alloc_live() == live, "allocation %ld: blocks leaked", n);
    }
}

int main(void)
{
    RUN(counters_are_where_the_naive_sketch_has_them);
    RUN(no_estimate_is_below_its_count);
    RUN(errors_are_within_the_papers_bounds);
    RUN(levels_share_their_cells_with_other_items);
    RUN(order_and_parts_change_nothing);
    RUN(full_counters_stay_full);
    RUN(pairs_are_items_counted_and_admitted_many_at_a_time);
    RUN(inner_products_bound_how_often_two_sides_collide);
    RUN(unknown_products_are_refused);
    RUN(totals_beyond_int64_are_seen);
    RUN(absurd_widths_are_refused);
    RUN(every_allocation_may_fail);
    return check_report();
}
