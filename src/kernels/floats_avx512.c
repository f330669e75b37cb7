/* The tier for AVX-512 F, BW, DQ and VL: 16 floats or 8 doubles in a vector. */
#include "kernels/kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>

enum { F_LANES = 16, D_LANES = 8, QUERIES = 4, ROWS_F = 4, FUNCTIONS = 8 };
enum { VECTORS = 8, ROWS_P = 2 };

typedef __m512 vf;
typedef __m512d vd;
typedef __m512i vi, vf_bits, vd_bits;

#define vf_zero _mm512_setzero_ps
#define vf_set1 _mm512_set1_ps
#define vf_load _mm512_load_ps
#define vf_loadu _mm512_loadu_ps
#define vf_store _mm512_store_ps
#define vf_storeu _mm512_storeu_ps
#define vf_add _mm512_add_ps
#define vf_sub _mm512_sub_ps
#define vf_mul _mm512_mul_ps
#define vf_fma _mm512_fmadd_ps
#define vf_fnma _mm512_fnmadd_ps
#define vf_min _mm512_min_ps
#define vf_max _mm512_max_ps
#define vf_total _mm512_reduce_add_ps
#define vd_total _mm512_reduce_add_pd
#define vf_sqrt _mm512_sqrt_ps
#define vf_floor _mm512_floor_ps
#define vd_zero _mm512_setzero_pd
#define vd_set1 _mm512_set1_pd
#define vd_load _mm512_load_pd
#define vd_loadu _mm512_loadu_pd
#define vd_store _mm512_store_pd
#define vd_storeu _mm512_storeu_pd
#define vd_add _mm512_add_pd
#define vd_sub _mm512_sub_pd
#define vd_mul _mm512_mul_pd
#define vd_fma _mm512_fmadd_pd
#define vd_floor _mm512_floor_pd
#define vf_bits_zero _mm512_setzero_si512
#define vd_bits_zero _mm512_setzero_si512
#define vi_zero _mm512_setzero_si512
#define vi_set1_bytes _mm512_set1_epi8
#define vi_store _mm512_store_si512
#define vi_storeu _mm512_storeu_si512
#define vi_or _mm512_or_si512
#define vi_add _mm512_add_epi32
#define vi_add_bytes _mm512_add_epi8
#define vi_from_f _mm512_cvtps_epi32

static inline vf vf_round(vf v)
{
    return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

static inline vi vi_low_byte(vi v)
{
    return _mm512_and_si512(v, _mm512_set1_epi32(0xff));
}

static inline vi vi_shift(vi v, int bits)
{
    return _mm512_slli_epi32(v, (unsigned)bits);
}

static inline vd vd_load_f32(const float *at)
{
    return _mm512_cvtps_pd(_mm256_loadu_ps(at));
}

static inline uint64_t vf_not_greater(vf a, vf b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_NGT_UQ);
}

static inline uint64_t vf_not_equal(vf a, vf b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_NEQ_UQ);
}

static inline void vi_store_wide(int64_t *at, vi v)
{
    _mm512_store_si512(at, _mm512_cvtepi32_epi64(_mm512_castsi512_si256(v)));
    _mm512_store_si512(at + 8, _mm512_cvtepi32_epi64(_mm512_extracti32x8_epi32(v, 1)));
}

static inline vd vl_load(const int64_t *at)
{
    return _mm512_castsi512_pd(_mm512_load_si512(at));
}

static inline void vl_storeu(int64_t *at, vd v)
{
    _mm512_storeu_si512(at, _mm512_castpd_si512(v));
}

static inline vf vf_loadu_f64(const double *at)
{
    const __m256 low = _mm512_cvtpd_ps(_mm512_loadu_pd(at));
    const __m256 high = _mm512_cvtpd_ps(_mm512_loadu_pd(at + 8));
    return _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1);
}

static inline vd vd_from_low(vf v)
{
    return _mm512_cvtps_pd(_mm512_castps512_ps256(v));
}

static inline vd vd_from_high(vf v)
{
    return _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1));
}

static inline void vd_store_as_f32(float *at, vd v)
{
    _mm256_store_ps(at, _mm512_cvtpd_ps(v));
}

static inline uint64_t vi_equal(const int64_t *at, int64_t value)
{
    return _mm512_cmpeq_epi64_mask(_mm512_load_si512(at), _mm512_set1_epi64(value));
}

/* Magnitudes compare as integers: NaN above infinity above every finite number. */
static inline vf_bits vf_bits_max(vf_bits most, vf v)
{
    const __m512i magnitude =
        _mm512_and_si512(_mm512_castps_si512(v), _mm512_set1_epi32(0x7fffffff));
    return _mm512_max_epu32(most, magnitude);
}

static inline double vf_bits_peak(vf_bits most)
{
    const uint32_t bits = _mm512_reduce_max_epu32(most);
    return bits >= 0x7f800000u
               ? INFINITY
               : (double)_mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128((int)bits)));
}

static inline vd_bits vd_bits_max(vd_bits most, vd v)
{
    const __m512i magnitude =
        _mm512_and_si512(_mm512_castpd_si512(v), _mm512_set1_epi64(INT64_MAX));
    return _mm512_max_epu64(most, magnitude);
}

static inline double vd_bits_peak(vd_bits most)
{
    const uint64_t bits = _mm512_reduce_max_epu64(most);
    return bits >= 0x7ff0000000000000u
               ? INFINITY
               : _mm_cvtsd_f64(_mm_castsi128_pd(_mm_cvtsi64_si128((long long)bits)));
}

/* Interleave pairs of rows, then pairs of pairs: 4 x 4 blocks within each 128 bits. */
static inline void transpose_quads(vf b[4])
{
    const vf t0 = _mm512_unpacklo_ps(b[0], b[1]), t1 = _mm512_unpackhi_ps(b[0], b[1]);
    const vf t2 = _mm512_unpacklo_ps(b[2], b[3]), t3 = _mm512_unpackhi_ps(b[2], b[3]);
    b[0] = _mm512_shuffle_ps(t0, t2, 0x44);
    b[1] = _mm512_shuffle_ps(t0, t2, 0xee);
    b[2] = _mm512_shuffle_ps(t1, t3, 0x44);
    b[3] = _mm512_shuffle_ps(t1, t3, 0xee);
}

/* 16 x 16: within 128 bits, then the 4 x 4 blocks of 128 bits among four rows. */
static inline void vf_transpose(vf b[16])
{
    vf t[16];
    for (int i = 0; i < 16; i += 4)
        transpose_quads(b + i);
    for (int i = 0; i < 4; i++) {
        const vf lo01 = _mm512_shuffle_f32x4(b[i], b[i + 4], 0x88);
        const vf hi01 = _mm512_shuffle_f32x4(b[i], b[i + 4], 0xdd);
        const vf lo23 = _mm512_shuffle_f32x4(b[i + 8], b[i + 12], 0x88);
        const vf hi23 = _mm512_shuffle_f32x4(b[i + 8], b[i + 12], 0xdd);
        t[i] = _mm512_shuffle_f32x4(lo01, lo23, 0x88);
        t[i + 4] = _mm512_shuffle_f32x4(hi01, hi23, 0x88);
        t[i + 8] = _mm512_shuffle_f32x4(lo01, lo23, 0xdd);
        t[i + 12] = _mm512_shuffle_f32x4(hi01, hi23, 0xdd);
    }
    for (int i = 0; i < 16; i++)
        b[i] = t[i];
}

/* 8 x 8: pairs within 128 bits, then the 4 x 4 blocks of 128 bits. */
static inline void vd_transpose(vd b[8])
{
    vd t[8];
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm512_unpacklo_pd(b[i], b[i + 1]);
        t[i + 1] = _mm512_unpackhi_pd(b[i], b[i + 1]);
    }
    for (int i = 0; i < 2; i++) {
        const vd lo01 = _mm512_shuffle_f64x2(t[i], t[i + 2], 0x88);
        const vd hi01 = _mm512_shuffle_f64x2(t[i], t[i + 2], 0xdd);
        const vd lo23 = _mm512_shuffle_f64x2(t[i + 4], t[i + 6], 0x88);
        const vd hi23 = _mm512_shuffle_f64x2(t[i + 4], t[i + 6], 0xdd);
        b[i] = _mm512_shuffle_f64x2(lo01, lo23, 0x88);
        b[i + 2] = _mm512_shuffle_f64x2(hi01, hi23, 0x88);
        b[i + 4] = _mm512_shuffle_f64x2(lo01, lo23, 0xdd);
        b[i + 6] = _mm512_shuffle_f64x2(hi01, hi23, 0xdd);
    }
}

#define FLA_FUNCTIONS_LEFT(each) each(7) each(6) each(5) each(4) each(3) each(2) each(1)
#define FLA_VECTORS_LEFT FLA_FUNCTIONS_LEFT

#include "kernels/floats_lanes.h"

const fla_float_kernels fla_floats_avx512 = FLA_FLOAT_KERNELS;
#endif
