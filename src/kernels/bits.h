/* Sets of up to 64 rows as bits, and fetching memory ahead of its use. */
#ifndef FLA_KERNELS_BITS_H
#define FLA_KERNELS_BITS_H

#include <stddef.h>
#include <stdint.h>

/* Position of the lowest bit; set is not 0. */
static inline size_t fla_lowest_bit(uint64_t set)
{
    return (size_t)__builtin_ctzll(set);
}

static inline size_t fla_count_bits(uint64_t set)
{
    return (size_t)__builtin_popcountll(set);
}

/* Fetch the first bytes of a row towards the cache; the hardware follows a longer one. */
static inline void fla_prefetch(const void *row, size_t bytes)
{
    enum { LINE = 64, MOST = 64 * LINE };
    for (size_t i = 0; i < bytes && i < MOST; i += LINE)
        __builtin_prefetch((const char *)row + i);
}

/* Fetch a cache line that is needed later, not as far as the first levels. */
static inline void fla_prefetch_far(const void *line)
{
    __builtin_prefetch(line, 0, 1);
}

#endif
