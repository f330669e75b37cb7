/* The only door to the heap, and arithmetic on sizes. */
#if defined(__linux__)
#define _DEFAULT_SOURCE /* madvise */
#endif

#include "base/alloc.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif
#if defined(__GLIBC__)
#include <malloc.h>
#endif

#ifdef FLA_TEST_ALLOC
#include <stdatomic.h>

static atomic_long test_budget = -1;
static atomic_bool test_persistent;
static atomic_long test_live;

void fla_test_alloc_budget(long budget, bool persistent)
{
    atomic_store(&test_persistent, persistent);
    atomic_store(&test_budget, budget);
}

long fla_test_alloc_live(void)
{
    return atomic_load(&test_live);
}

/* Spend one allocation of the budget; false when it must fail. */
static bool test_allows(void)
{
    long left = atomic_load(&test_budget);
    for (;;) {
        if (left < 0)
            return true;
        if (left == 0 && atomic_load(&test_persistent))
            return false;
        /* The one that fails without persistence takes the budget to "never". */
        if (atomic_compare_exchange_weak(&test_budget, &left, left - 1))
            return left > 0;
    }
}
#endif

bool fla_size_mul(size_t a, size_t b, size_t *out)
{
    if (b != 0 && a > SIZE_MAX / b)
        return false;
    *out = a * b;
    return true;
}

bool fla_size_add(size_t a, size_t b, size_t *out)
{
    if (a > SIZE_MAX - b)
        return false;
    *out = a + b;
    return true;
}

/* Large blocks are asked for in huge pages: fewer faults to fill them, fewer misses of
   the translation cache to scan them. */
enum { HUGE_PAGE = 1 << 21, LARGE = 2 * HUGE_PAGE };

static void advise(void *block, size_t bytes)
{
#if defined(MADV_HUGEPAGE)
    if (block != NULL && bytes >= LARGE)
        (void)madvise(block, bytes, MADV_HUGEPAGE); /* a wish: refused changes nothing */
#else
    (void)block;
    (void)bytes;
#endif
}

void *fla_alloc(size_t count, size_t size)
{
    size_t bytes;
    if (!fla_size_mul(count, size, &bytes) || bytes > PTRDIFF_MAX - HUGE_PAGE)
        return NULL;
    const size_t alignment = bytes >= LARGE ? HUGE_PAGE : FLA_ALIGNMENT;
    /* aligned_alloc wants a multiple of the alignment; never 0. */
    bytes += alignment - bytes % alignment;
#ifdef FLA_TEST_ALLOC
    if (!test_allows())
        return NULL;
#endif
    void *block = aligned_alloc(alignment, bytes);
    advise(block, bytes);
#ifdef FLA_TEST_ALLOC
    if (block != NULL)
        atomic_fetch_add(&test_live, 1);
#endif
    return block;
}

void *fla_alloc_zeroed(size_t count, size_t size)
{
    void *block = fla_alloc(count, size);
    if (block != NULL)
        memset(block, 0, count * size);
    return block;
}

void *fla_regrow(void *block, size_t old_count, size_t new_count, size_t size)
{
    void *grown = fla_alloc(new_count, size);
    if (grown != NULL && block != NULL) {
        memcpy(grown, block, fla_size_min(old_count, new_count) * size);
        fla_free(block);
    }
    return grown;
}

void fla_free(void *block)
{
#ifdef FLA_TEST_ALLOC
    if (block != NULL)
        atomic_fetch_sub(&test_live, 1);
#endif
    free(block);
}

void fla_alloc_trim(void)
{
#if defined(__GLIBC__)
    (void)malloc_trim(0);
#endif
}

double fla_alloc_takes(double bytes)
{
    /* The alignment rounds up, and the allocator's own words keep the next block from
       beginning where this one ends. */
    return bytes + (bytes >= LARGE ? HUGE_PAGE : 2 * FLA_ALIGNMENT);
}
