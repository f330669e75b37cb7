/*
 * The count-min sketch of Cormode and Muthukrishnan, "An improved data stream summary:
 * the count-min sketch and its applications" (Journal of Algorithms, 2005).
 *
 * Every level counts every item, in a cell that a hash function of its own chooses.  A
 * cell holds its items' counts together, so none of them is less than the item's count,
 * and the least of them is the estimate.  Updates are plain: each adds to all its cells
 * whatever they hold, so that contents are a sum, which knows no order.
 */
#include "search/sketch.h"

#include <inttypes.h>

#include "base/alloc.h"
#include "base/error.h"

/*
 * A level's hash function takes the halves x and y of a mixed item to the upper 32 bits
 * of a x + b y + c modulo 2^64: Thorup, "High speed hashing for integers and strings"
 * (2015), pair-multiply-shift.  It is pairwise independent.  Let two items differ, say in
 * x, by 2^s times an odd number, s < 32: with a uniform, the bits from s on of the
 * difference of their sums are uniform, the upper 32 among them; and c makes one of the
 * hashes uniform whatever that difference.
 *
 * That is an expectation over constants, and these are fixed: linear functions could be
 * far from it on evenly spaced items, as pairs of row numbers are.  So items are mixed
 * first, one to one, which leaves pairs of them pairs.  Mixing and constants are those of
 * SplitMix64 (Steele, Lea and Flood, 2014), the constants its first twelve outputs from
 * state 0.
 */
typedef struct level_hash {
    uint64_t a, b, c;
} level_hash;

static const level_hash LEVELS[FLA_SKETCH_DEPTH] = {
    {UINT64_C(0xe220a8397b1dcdaf), UINT64_C(0x6e789e6aa1b965f4),
     UINT64_C(0x06c45d188009454f)},
    {UINT64_C(0xf88bb8a8724c81ec), UINT64_C(0x1b39896a51a8749b),
     UINT64_C(0x53cb9f0c747ea2ea)},
    {UINT64_C(0x2c829abe1f4532e1), UINT64_C(0xc584133ac916ab3c),
     UINT64_C(0x3ee5789041c98ac3)},
    {UINT64_C(0xf3b8488c368cb0a6), UINT64_C(0x657eecdd3cb13d09),
     UINT64_C(0xc2d326e0055bdef6)},
};

static uint64_t mix(uint64_t item)
{
    item = (item ^ (item >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    item = (item ^ (item >> 27)) * UINT64_C(0x94d049bb133111eb);
    return item ^ (item >> 31);
}

/* Where an item's counter is in a level: its hash, a fraction of 2^32, of the width. */
static size_t cell(const level_hash *hash, uint64_t width, uint64_t item)
{
    const uint64_t mixed = mix(item);
    const uint64_t sum =
        hash->a * (mixed & UINT32_MAX) + hash->b * (mixed >> 32) + hash->c;
    return (size_t)(((sum >> 32) * width) >> 32);
}

static uint32_t *counter_of(const fla_sketch *sketch, size_t level, uint64_t item)
{
    return sketch->counters + level * sketch->width +
           cell(&LEVELS[level], sketch->width, item);
}

static uint64_t pair_item(uint32_t query, uint32_t row)
{
    return (uint64_t)query << 32 | row;
}

static uint32_t add_saturated(uint32_t counter, uint32_t count)
{
    return count > UINT32_MAX - counter ? UINT32_MAX : counter + count;
}

fla_status fla_sketch_check_width(uint64_t width, fla_error *err)
{
    if (width < 1 || width > FLA_SKETCH_MOST_WIDTH)
        return fla_fail_argument(err, FLA_ERR_ARGUMENT, "width",
                                 "a sketch must be 1 to %d counters wide, got %" PRIu64,
                                 FLA_SKETCH_MOST_WIDTH, width);
    return FLA_OK;
}

fla_status fla_sketch_create(uint64_t width, fla_sketch **out, fla_error *err)
{
    *out = NULL;
    const fla_status status = fla_sketch_check_width(width, err);
    if (status != FLA_OK)
        return status;
    fla_sketch *sketch = fla_alloc(1, sizeof *sketch);
    if (sketch == NULL)
        return fla_fail_memory(err, "a sketch");
    sketch->width = (size_t)width;
    sketch->counters =
        fla_alloc_zeroed(sketch->width, FLA_SKETCH_DEPTH * sizeof *sketch->counters);
    if (sketch->counters == NULL) {
        fla_sketch_free(sketch);
        return fla_fail(err, FLA_ERR_MEMORY,
                        "out of memory for a sketch of %d x %" PRIu64 " counters",
                        FLA_SKETCH_DEPTH, width);
    }
    *out = sketch; /* ownership passes to the caller here and nowhere else */
    return FLA_OK;
}

void fla_sketch_free(fla_sketch *sketch)
{
    if (sketch == NULL)
        return;
    fla_free(sketch->counters);
    fla_free(sketch);
}

uint64_t fla_sketch_bytes(const fla_sketch *sketch)
{
    return (uint64_t)sketch->width * FLA_SKETCH_DEPTH * sizeof *sketch->counters;
}

void fla_sketch_add(fla_sketch *sketch, uint64_t item, uint32_t count)
{
    for (size_t level = 0; level < FLA_SKETCH_DEPTH; level++) {
        uint32_t *counter = counter_of(sketch, level, item);
        *counter = add_saturated(*counter, count);
    }
}

void fla_sketch_add_pairs(fla_sketch *sketch, unsigned level, uint32_t query,
                          const uint32_t *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t *counter = counter_of(sketch, level, pair_item(query, rows[i]));
        *counter = add_saturated(*counter, 1);
    }
}

uint32_t fla_sketch_estimate(const fla_sketch *sketch, uint64_t item)
{
    uint32_t least = UINT32_MAX;
    for (size_t level = 0; level < FLA_SKETCH_DEPTH; level++) {
        const uint32_t counter = *counter_of(sketch, level, item);
        least = counter < least ? counter : least;
    }
    return least;
}

/*
 * Level by level, and without a branch: guessing wrongly whether a pair is admitted would
 * end what is fetched ahead, and counters are far away.
 */
size_t fla_sketch_admit(const fla_sketch *sketch, uint32_t query, const uint32_t *rows,
                        size_t n, uint64_t least, uint32_t *kept)
{
    for (size_t level = 0; level < FLA_SKETCH_DEPTH; level++) {
        size_t left = 0;
        for (size_t i = 0; i < n; i++) {
            kept[left] = rows[i];
            left += *counter_of(sketch, level, pair_item(query, rows[i])) >= least;
        }
        rows = kept;
        n = left;
    }
    return n;
}

static fla_status check_widths(const fla_sketch *a, const fla_sketch *b, fla_error *err)
{
    if (a->width == b->width)
        return FLA_OK;
    return fla_fail_argument(err, FLA_ERR_SHAPE, "width",
                             "sketches must have the same width, got %zu and %zu",
                             a->width, b->width);
}

fla_status fla_sketch_merge(fla_sketch *sketch, const fla_sketch *other, fla_error *err)
{
    const fla_status status = check_widths(sketch, other, err);
    if (status != FLA_OK)
        return status;
    for (size_t i = 0; i < FLA_SKETCH_DEPTH * sketch->width; i++)
        sketch->counters[i] = add_saturated(sketch->counters[i], other->counters[i]);
    return FLA_OK;
}

/* ---- join sizes ------------------------------------------------------------------- */

/*
 * Bring a bucket and its hash table into one item.  Multiples of 2^64 / phi, phi the
 * golden ratio, stay far apart (Knuth, volume 3, section 6.4): of 2^26 hash tables no two
 * share an item unless their buckets lie 2^36 apart.  A tuple is mixed number by number;
 * that two tuples become one item is possible, and only adds to what is never too low.
 */
static uint64_t bucket_item(const int64_t *bucket, size_t hashes, size_t table)
{
    uint64_t item = (uint64_t)bucket[0] + UINT64_C(0x9e3779b97f4a7c15) * table;
    for (size_t k = 1; k < hashes; k++)
        item = mix(item) + (uint64_t)bucket[k];
    return item;
}

void fla_sketch_add_buckets(fla_sketch *sketch, const int64_t *buckets, size_t n,
                            size_t tables, size_t hashes)
{
    for (size_t i = 0; i < n; i++)
        for (size_t t = 0; t < tables; t++, buckets += hashes)
            fla_sketch_add(sketch, bucket_item(buckets, hashes, t), 1);
}

/* The inner product of a level; false where it is unknown: beyond int64, or a counter is
   full. */
static bool level_product(const fla_sketch *a, const fla_sketch *b, size_t level,
                          uint64_t *out)
{
    const uint32_t *x = a->counters + level * a->width;
    const uint32_t *y = b->counters + level * b->width;
    uint64_t sum = 0;
    for (size_t i = 0; i < a->width; i++) {
        const uint64_t product = (uint64_t)x[i] * y[i];
        if (x[i] == UINT32_MAX || y[i] == UINT32_MAX || product > INT64_MAX - sum)
            return false;
        sum += product;
    }
    *out = sum;
    return true;
}

fla_status fla_sketch_inner(const fla_sketch *a, const fla_sketch *b, uint64_t *product,
                            fla_error *err)
{
    uint64_t least = UINT64_MAX, of_level;
    *product = 0;
    const fla_status status = check_widths(a, b, err);
    if (status != FLA_OK)
        return status;
    for (size_t level = 0; level < FLA_SKETCH_DEPTH; level++)
        if (level_product(a, b, level, &of_level) && of_level < least)
            least = of_level;
    if (least == UINT64_MAX)
        return fla_fail(err, FLA_ERR_ARGUMENT,
                        "the product is unknown: it passes 2^63 - 1, or counters are "
                        "full (2^32 - 1)");
    *product = least;
    return FLA_OK;
}
