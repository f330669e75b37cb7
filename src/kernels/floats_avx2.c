/* The tier for AVX2 and FMA: 8 floats or 4 doubles in a vector. */
#include "kernels/kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>

enum { F_LANES = 8, D_LANES = 4, QUERIES = 4, ROWS_F = 2, FUNCTIONS = 2 };
enum { VECTORS = 6, ROWS_P = 2 };

typedef __m256 vf;
typedef __m256d vd;
typedef __m256i vi, vf_bits, vd_bits;

#define vf_zero _mm256_setzero_ps
#define vf_set1 _mm256_set1_ps
#define vf_load _mm256_load_ps
#define vf_loadu _mm256_loadu_ps
#define vf_store _mm256_store_ps
#define vf_storeu _mm256_storeu_ps
#define vf_add _mm256_add_ps
#define vf_sub _mm256_sub_ps
#define vf_mul _mm256_mul_ps
#define vf_fma _mm256_fmadd_ps
#define vf_fnma _mm256_fnmadd_ps
#define vf_min _mm256_min_ps
#define vf_max _mm256_max_ps
#define vf_sqrt _mm256_sqrt_ps
#define vf_floor _mm256_floor_ps
#define vd_zero _mm256_setzero_pd
#define vd_set1 _mm256_set1_pd
#define vd_load _mm256_load_pd
#define vd_loadu _mm256_loadu_pd
#define vd_store _mm256_store_pd
#define vd_storeu _mm256_storeu_pd
#define vd_add _mm256_add_pd
#define vd_sub _mm256_sub_pd
#define vd_mul _mm256_mul_pd
#define vd_fma _mm256_fmadd_pd
#define vd_floor _mm256_floor_pd
#define vf_bits_zero _mm256_setzero_si256
#define vd_bits_zero _mm256_setzero_si256
#define vi_zero _mm256_setzero_si256
#define vi_set1_bytes _mm256_set1_epi8
#define vi_or _mm256_or_si256
#define vi_add _mm256_add_epi32
#define vi_add_bytes _mm256_add_epi8
#define vi_from_f _mm256_cvtps_epi32

static inline void vi_store(void *at, vi v)
{
    _mm256_store_si256((__m256i *)at, v);
}

static inline void vi_storeu(void *at, vi v)
{
    _mm256_storeu_si256((__m256i *)at, v);
}

static inline float vf_total(vf v)
{
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    four = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
}

static inline double vd_total(vd v)
{
    const __m128d two =
        _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));
    return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

static inline vf vf_round(vf v)
{
    return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

static inline vi vi_low_byte(vi v)
{
    return _mm256_and_si256(v, _mm256_set1_epi32(0xff));
}

static inline vi vi_shift(vi v, int bits)
{
    return _mm256_slli_epi32(v, bits);
}

static inline vd vd_load_f32(const float *at)
{
    return _mm256_cvtps_pd(_mm_loadu_ps(at));
}

static inline uint64_t vf_not_greater(vf a, vf b)
{
    return (uint64_t)_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_NGT_UQ));
}

static inline uint64_t vf_not_equal(vf a, vf b)
{
    return (uint64_t)_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_NEQ_UQ));
}

static inline void vi_store_wide(int64_t *at, vi v)
{
    _mm256_store_si256((__m256i *)at, _mm256_cvtepi32_epi64(_mm256_castsi256_si128(v)));
    _mm256_store_si256((__m256i *)(at + 4),
                       _mm256_cvtepi32_epi64(_mm256_extracti128_si256(v, 1)));
}

static inline vd vl_load(const int64_t *at)
{
    return _mm256_castsi256_pd(_mm256_load_si256((const __m256i *)at));
}

static inline void vl_storeu(int64_t *at, vd v)
{
    _mm256_storeu_si256((__m256i *)at, _mm256_castpd_si256(v));
}

static inline vf vf_loadu_f64(const double *at)
{
    return _mm256_set_m128(_mm256_cvtpd_ps(_mm256_loadu_pd(at + 4)),
                           _mm256_cvtpd_ps(_mm256_loadu_pd(at)));
}

static inline vd vd_from_low(vf v)
{
    return _mm256_cvtps_pd(_mm256_castps256_ps128(v));
}

static inline vd vd_from_high(vf v)
{
    return _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1));
}

static inline void vd_store_as_f32(float *at, vd v)
{
    _mm_store_ps(at, _mm256_cvtpd_ps(v));
}

static inline uint64_t vi_equal(const int64_t *at, int64_t value)
{
    const __m256i equal = _mm256_cmpeq_epi64(_mm256_load_si256((const __m256i *)at),
                                             _mm256_set1_epi64x(value));
    return (uint64_t)_mm256_movemask_pd(_mm256_castsi256_pd(equal));
}

/* Magnitudes compare as integers: NaN above infinity above every finite number. */
static inline vf_bits vf_bits_max(vf_bits most, vf v)
{
    const __m256i magnitude =
        _mm256_and_si256(_mm256_castps_si256(v), _mm256_set1_epi32(0x7fffffff));
    return _mm256_max_epu32(most, magnitude);
}

static inline double vf_bits_peak(vf_bits most)
{
    float lanes[F_LANES];
    double peak = 0;
    _mm256_storeu_ps(lanes, _mm256_castsi256_ps(most));
    for (int i = 0; i < F_LANES; i++) {
        if (!(lanes[i] < INFINITY))
            return INFINITY;
        peak = lanes[i] > peak ? lanes[i] : peak;
    }
    return peak;
}

static inline vd_bits vd_bits_max(vd_bits most, vd v)
{
    const __m256i magnitude =
        _mm256_and_si256(_mm256_castpd_si256(v), _mm256_set1_epi64x(INT64_MAX));
    return _mm256_blendv_epi8(most, magnitude, _mm256_cmpgt_epi64(magnitude, most));
}

static inline double vd_bits_peak(vd_bits most)
{
    double lanes[D_LANES], peak = 0;
    _mm256_storeu_pd(lanes, _mm256_castsi256_pd(most));
    for (int i = 0; i < D_LANES; i++) {
        if (!(lanes[i] < INFINITY))
            return INFINITY;
        peak = lanes[i] > peak ? lanes[i] : peak;
    }
    return peak;
}

/* 8 x 8: 4 x 4 blocks within each 128 bits, then the 128-bit halves. */
static inline void vf_transpose(vf b[8])
{
    vf t[8];
    for (int i = 0; i < 8; i += 4) {
        const vf lo0 = _mm256_unpacklo_ps(b[i], b[i + 1]);
        const vf hi0 = _mm256_unpackhi_ps(b[i], b[i + 1]);
        const vf lo1 = _mm256_unpacklo_ps(b[i + 2], b[i + 3]);
        const vf hi1 = _mm256_unpackhi_ps(b[i + 2], b[i + 3]);
        t[i] = _mm256_shuffle_ps(lo0, lo1, 0x44);
        t[i + 1] = _mm256_shuffle_ps(lo0, lo1, 0xee);
        t[i + 2] = _mm256_shuffle_ps(hi0, hi1, 0x44);
        t[i + 3] = _mm256_shuffle_ps(hi0, hi1, 0xee);
    }
    for (int i = 0; i < 4; i++) {
        b[i] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x20);
        b[i + 4] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x31);
    }
}

/* 4 x 4: pairs within 128 bits, then the 128-bit halves. */
static inline void vd_transpose(vd b[4])
{
    const vd t0 = _mm256_unpacklo_pd(b[0], b[1]), t1 = _mm256_unpackhi_pd(b[0], b[1]);
    const vd t2 = _mm256_unpacklo_pd(b[2], b[3]), t3 = _mm256_unpackhi_pd(b[2], b[3]);
    b[0] = _mm256_permute2f128_pd(t0, t2, 0x20);
    b[1] = _mm256_permute2f128_pd(t1, t3, 0x20);
    b[2] = _mm256_permute2f128_pd(t0, t2, 0x31);
    b[3] = _mm256_permute2f128_pd(t1, t3, 0x31);
}

#define FLA_FUNCTIONS_LEFT(each) each(1)
#define FLA_VECTORS_LEFT(each) each(5) each(4) each(3) each(2) each(1)

#include "kernels/floats_lanes.h"

const fla_float_kernels fla_floats_avx2 = FLA_FLOAT_KERNELS;
#endif
