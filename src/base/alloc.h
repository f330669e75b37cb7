/* The only door to the heap, and arithmetic on sizes. */
#ifndef FLA_BASE_ALLOC_H
#define FLA_BASE_ALLOC_H

#include <stdbool.h>
#include <stddef.h>

/* Every block starts on a cache line, which is also the widest vector. */
#define FLA_ALIGNMENT 64

static inline size_t fla_size_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* How many parts of a size cover n; part is not 0. */
static inline size_t fla_size_parts(size_t n, size_t part)
{
    return n / part + (n % part != 0);
}

/* Store a * b (a + b) and return true, or return false when it does not fit. */
bool fla_size_mul(size_t a, size_t b, size_t *out);
bool fla_size_add(size_t a, size_t b, size_t *out);

/*
 * Memory for count elements of size bytes each; contents undefined.  Never NULL for
 * count 0.  Returns NULL when there is no room or the product does not fit.
 */
void *fla_alloc(size_t count, size_t size);
void *fla_alloc_zeroed(size_t count, size_t size);

/*
 * A block of new_count elements that begins with the old ones; the old block is freed on
 * success and untouched on failure.  block may be NULL when old_count is 0.
 */
void *fla_regrow(void *block, size_t old_count, size_t new_count, size_t size);

void fla_free(void *block); /* NULL is fine */

/* Hand what was freed back to the system, where the allocator would keep it: many blocks
   that are too small to be given back one by one.  Takes some milliseconds. */
void fla_alloc_trim(void);

/* At most what a block of so many bytes takes of the machine's memory. */
double fla_alloc_takes(double bytes);

#ifdef FLA_TEST_ALLOC
/*
 * Test builds only: after budget more allocations every one fails (persistent) or exactly
 * one does; a negative budget never fails.  live: blocks not yet freed.
 */
void fla_test_alloc_budget(long budget, bool persistent);
long fla_test_alloc_live(void);
#endif

#endif
