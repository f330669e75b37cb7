/* Which tiers there are, best first, and which one to use. */
#include "kernels/kernels.h"

#include <string.h>

#include "base/cpu.h"

/* The last tier needs nothing, so an unforced search always ends. */
static const fla_kernels tiers[] = {
#if defined(__x86_64__)
    {"amx", FLA_CPU_AVX512 | FLA_CPU_AVX512_VNNI | FLA_CPU_AMX, &fla_floats_avx512,
     &fla_codes_amx},
    {"avx512_vnni", FLA_CPU_AVX512 | FLA_CPU_AVX512_VNNI, &fla_floats_avx512,
     &fla_codes_avx512_vnni},
    {"avx512", FLA_CPU_AVX512, &fla_floats_avx512, &fla_codes_avx512},
    {"avx_vnni", FLA_CPU_AVX2 | FLA_CPU_AVX_VNNI, &fla_floats_avx2, &fla_codes_avx_vnni},
    {"avx2", FLA_CPU_AVX2, &fla_floats_avx2, &fla_codes_avx2},
#elif defined(__aarch64__)
    {"neon_dot", FLA_CPU_NEON_DOT, &fla_floats_scalar, &fla_codes_neon},
#endif
    {"scalar", 0, &fla_floats_scalar, &fla_codes_scalar},
};
enum { N_TIERS = sizeof tiers / sizeof tiers[0] };

const fla_kernels *fla_kernels_at(size_t i)
{
    return i < N_TIERS ? &tiers[i] : NULL;
}

const fla_kernels *fla_kernels_pick(uint32_t cpu, const char *want)
{
    for (size_t i = 0; i < N_TIERS; i++) {
        if ((tiers[i].needs & ~cpu) != 0)
            continue;
        if (want == NULL || strcmp(want, tiers[i].name) == 0)
            return &tiers[i];
    }
    return NULL;
}
