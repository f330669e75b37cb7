/* Which tiers there are, best first, and which one to use. */
#include "kernels/kernels.h"

#include <string.h>

/* The last tier needs nothing, so an unforced search always ends. */
static const fla_kernels *const tiers[] = {
#if defined(__x86_64__)
    &fla_kernels_avx512,
    &fla_kernels_avx2,
#endif
    &fla_kernels_scalar,
};
enum { N_TIERS = sizeof tiers / sizeof tiers[0] };

const fla_kernels *fla_kernels_at(size_t i)
{
    return i < N_TIERS ? tiers[i] : NULL;
}

const fla_kernels *fla_kernels_pick(uint32_t cpu, const char *want)
{
    for (size_t i = 0; i < N_TIERS; i++) {
        if ((tiers[i]->needs & ~cpu) != 0)
            continue;
        if (want == NULL || strcmp(want, tiers[i]->name) == 0)
            return tiers[i];
    }
    return NULL;
}
