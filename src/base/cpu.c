/* What this processor, and this process's share of it, can do. */
#if defined(__linux__)
#define _GNU_SOURCE /* sched_getaffinity */
#include <sched.h>
#endif

#include "base/cpu.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

uint32_t fla_cpu_detect(void)
{
    uint32_t have = 0;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        have |= FLA_CPU_AVX2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        have |= FLA_CPU_AVX512;
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

/* Processors granted by "quota period", both in microseconds; 0 when there is no limit.
 */
static unsigned quota_count(double quota, double period)
{
    if (!(quota > 0 && period > 0) || quota / period > 1e6)
        return 0;
    const unsigned whole = (unsigned)(quota / period);
    return whole > 0 ? whole : 1;
}

/* Read the first two numbers of "<folder>/<name>"; "max" reads as no number. */
static int read_numbers(const char *folder, const char *name, double *a, double *b)
{
    char path[4224];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return 0;
    const int n = fscanf(file, "%lf %lf", a, b);
    fclose(file);
    return n < 0 ? 0 : n;
}

/* The tightest cpu.max of a cgroup v2 folder and its parents; 0 when none limits. */
static unsigned cgroup_v2_count(const char *relative)
{
    static const char root[] = "/sys/fs/cgroup";
    char folder[4160];
    unsigned least = 0;
    snprintf(folder, sizeof folder, "%s%s", root, relative);
    for (;;) {
        double quota, period;
        if (read_numbers(folder, "cpu.max", &quota, &period) == 2) {
            const unsigned n = quota_count(quota, period);
            if (n > 0 && (least == 0 || n < least))
                least = n;
        }
        char *slash = strrchr(folder, '/');
        if (slash == NULL || (size_t)(slash - folder) < sizeof root - 1)
            return least;
        *slash = '\0';
    }
}

static unsigned cgroup_v1_count(void)
{
    double quota, period, unused;
    if (read_numbers("/sys/fs/cgroup/cpu", "cpu.cfs_quota_us", &quota, &unused) < 1 ||
        read_numbers("/sys/fs/cgroup/cpu", "cpu.cfs_period_us", &period, &unused) < 1)
        return 0;
    return quota_count(quota, period);
}

static unsigned cgroup_count(void)
{
    char line[4096];
    unsigned count = 0;
    FILE *file = fopen("/proc/self/cgroup", "r");
    if (file == NULL)
        return 0;
    while (count == 0 && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "0::", 3) != 0)
            continue;
        line[strcspn(line, "\n")] = '\0';
        count = cgroup_v2_count(line + 3);
    }
    fclose(file);
    return count > 0 ? count : cgroup_v1_count();
}

unsigned fla_cpu_count(void)
{
    const unsigned affinity = affinity_count(), quota = cgroup_count();
    return quota > 0 && quota < affinity ? quota : affinity;
}
