/* What this processor, and this process's share of it, can do. */
#if defined(__linux__)
#define _GNU_SOURCE /* sched_getaffinity */
#include <sched.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#endif

#include "base/cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PATH_LINE = 4096, PATH_ROOM = 2 * PATH_LINE };

#if defined(__x86_64__)
/* Leaf 7, subleaf 1, EAX bit 4; gcc 12 has no name for it. */
static bool has_avx_vnni(void)
{
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && a >= 1 &&
           __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a >> 4 & 1) != 0;
}

/*
 * Leaf 7, EDX bits 24 (tiles) and 25 (int8); XCR0 bits 17 and 18 once the system keeps
 * tiles; and Linux's permission for the larger of the two (its x86 documentation, "Using
 * XSTATE features in user space applications").
 */
static bool has_amx(void)
{
#if defined(__linux__)
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    unsigned a, b, c, d;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d >> 24 & 3) != 3)
        return false;
    if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & bit_OSXSAVE) == 0)
        return false;
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return (a >> 17 & 3) == 3 &&
           syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
#else
    return false;
#endif
}
#endif

uint32_t fla_cpu_detect(void)
{
    uint32_t have = 0;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        have |= FLA_CPU_AVX2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        have |= FLA_CPU_AVX512;
    if (__builtin_cpu_supports("avx512vnni"))
        have |= FLA_CPU_AVX512_VNNI;
    if (has_avx_vnni())
        have |= FLA_CPU_AVX_VNNI;
    if (has_amx())
        have |= FLA_CPU_AMX;
#elif defined(__aarch64__) && defined(__linux__)
    if ((getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0)
        have |= FLA_CPU_NEON_DOT;
#endif
    return have;
}

static unsigned affinity_count(void)
{
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return (unsigned)CPU_COUNT(&set);
#endif
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (unsigned)online : 1;
}

/* Processors granted by a quota per period, both in microseconds; 0: no limit. */
static unsigned quota_count(double quota, double period)
{
    if (!(quota > 0 && period > 0) || quota / period > 1e6)
        return 0;
    const unsigned whole = (unsigned)(quota / period);
    return whole > 0 ? whole : 1;
}

/* Read up to two numbers from "<folder>/<name>"; "max" reads as no number. */
static int read_numbers(const char *folder, const char *name, double *a, double *b)
{
    char path[PATH_ROOM + 32];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return 0;
    const int n = fscanf(file, "%lf %lf", a, b);
    fclose(file);
    return n < 0 ? 0 : n;
}

/* The limit of one folder, in whichever version's files it has; 0: none. */
static unsigned folder_count(const char *folder)
{
    double quota, period, unused;
    if (read_numbers(folder, "cpu.max", &quota, &period) == 2)
        return quota_count(quota, period);
    if (read_numbers(folder, "cpu.cfs_quota_us", &quota, &unused) == 1 &&
        read_numbers(folder, "cpu.cfs_period_us", &period, &unused) == 1)
        return quota_count(quota, period);
    return 0;
}

/* The tightest limit of a folder and its parents up to root; 0: none. */
static unsigned tightest_count(const char *root, const char *relative)
{
    char folder[PATH_ROOM];
    unsigned least = 0;
    snprintf(folder, sizeof folder, "%s%s", root, relative);
    for (;;) {
        const unsigned n = folder_count(folder);
        if (n > 0 && (least == 0 || n < least))
            least = n;
        char *slash = strrchr(folder, '/');
        if (slash == NULL || (size_t)(slash - folder) < strlen(root))
            return least;
        *slash = '\0';
    }
}

/* Whether "cpu" is one of the names in a list with commas. */
static int lists_cpu(const char *controllers)
{
    const char *at = controllers;
    for (; (at = strstr(at, "cpu")) != NULL; at += 3)
        if ((at == controllers || at[-1] == ',') && (at[3] == '\0' || at[3] == ','))
            return 1;
    return 0;
}

unsigned fla_cpu_quota(const char *membership, const char *root)
{
    char line[PATH_LINE], folder[PATH_LINE];
    unsigned least = 0;
    FILE *file = fopen(membership, "r");
    if (file == NULL)
        return 0;
    while (fgets(line, sizeof line, file) != NULL) {
        /* "<number>:<controllers>:<path>", without controllers in version 2 */
        char *controllers = strchr(line, ':');
        char *path = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
        if (path == NULL)
            continue;
        *path++ = '\0';
        path[strcspn(path, "\n")] = '\0';
        controllers++;
        if (controllers[0] != '\0' && !lists_cpu(controllers))
            continue;
        snprintf(folder, sizeof folder, "%.512s%s%.64s", root,
                 controllers[0] != '\0' ? "/" : "", controllers);
        const unsigned n = tightest_count(folder, path);
        if (n > 0 && (least == 0 || n < least))
            least = n;
    }
    fclose(file);
    return least;
}

unsigned fla_cpu_count(void)
{
    const unsigned affinity = affinity_count();
    const unsigned quota = fla_cpu_quota("/proc/self/cgroup", "/sys/fs/cgroup");
    return quota > 0 && quota < affinity ? quota : affinity;
}
