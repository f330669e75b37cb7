/* The vector of codes_lanes.h for AVX-512: 16 int32, truth values in mask registers. */
#ifndef FLA_KERNELS_CODES_ZMM_H
#define FLA_KERNELS_CODES_ZMM_H

#include <immintrin.h>

enum { LANES = 16 };

typedef __m512i vi;
typedef __mmask16 vb;

#define vi_load _mm512_load_si512
#define vi_loadu(at) _mm512_loadu_si512(at)
#define vi_store _mm512_store_si512
#define vi_zero _mm512_setzero_si512
#define vi_add _mm512_add_epi32
#define vi_max _mm512_max_epi32
#define vi_set1 _mm512_set1_epi32
#define vi_total _mm512_reduce_add_epi32
#define vi_below _mm512_cmplt_epi32_mask
#define vb_and(a, b) ((__mmask16)((a) & (b)))
#define vb_bits(v) ((unsigned)(v))

static inline vi vi_load_first(const void *at, size_t n)
{
    return _mm512_maskz_loadu_epi32((__mmask16)((1u << n) - 1), at);
}

#endif
