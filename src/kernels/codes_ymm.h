/* The vector of codes_lanes.h for AVX2: 8 int32, truth values as all ones or none. */
#ifndef FLA_KERNELS_CODES_YMM_H
#define FLA_KERNELS_CODES_YMM_H

#include <immintrin.h>

enum { LANES = 8 };

typedef __m256i vi, vb;

#define vi_load(at) _mm256_load_si256((const __m256i *)(const void *)(at))
#define vi_loadu(at) _mm256_loadu_si256((const __m256i *)(const void *)(at))
#define vi_store(at, v) _mm256_store_si256((__m256i *)(void *)(at), v)
#define vi_zero _mm256_setzero_si256
#define vi_add _mm256_add_epi32
#define vi_max _mm256_max_epi32
#define vi_set1 _mm256_set1_epi32
#define vi_below(a, b) _mm256_cmpgt_epi32(b, a)
#define vb_and _mm256_and_si256
#define vb_bits(v) ((unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(v)))

static inline vi vi_load_first(const void *at, size_t n)
{
    const vi lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_maskload_epi32(at, _mm256_cmpgt_epi32(vi_set1((int)n), lane));
}

static inline int32_t vi_total(vi v)
{
    __m128i sum =
        _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1)));
}

#endif
