/* Made-up rows for the C tests, and memory that ends where reading on faults. */
#ifndef FLA_TESTS_DATA_H
#define FLA_TESTS_DATA_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct guarded {
    void *data; /* bytes long, ending at an unmapped page */
    void *map;
    size_t mapped;
} guarded;

static inline guarded guarded_new(size_t bytes)
{
    guarded g;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t pages = (bytes + page - 1) / page + 1;
    g.mapped = pages * page;
    g.map = mmap(NULL, g.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
    if (g.map == MAP_FAILED)
        abort();
    mprotect((char *)g.map + g.mapped - page, page, PROT_NONE);
    g.data = (char *)g.map + g.mapped - page - bytes;
    return g;
}

static inline void guarded_free(guarded *g)
{
    munmap(g->map, g->mapped);
}

/* A small generator of its own (xorshift), so that failures can be repeated. */
static uint64_t data_state = 88172645463325252u;

static inline uint64_t data_next(void)
{
    data_state ^= data_state << 13;
    data_state ^= data_state >> 7;
    data_state ^= data_state << 17;
    return data_state;
}

/* Uniform in [-1, 1), now and then 0, or scaled up or down by a power of two. */
static inline double data_value(void)
{
    const double x = (double)(int64_t)data_next() * 0x1p-63;
    switch (data_next() % 16) {
        case 0:
            return 0;
        case 1:
            return x * 0x1p20;
        case 2:
            return x * 0x1p-60;
        default:
            return x;
    }
}

#endif
