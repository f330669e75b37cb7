/* What this processor, and this process's share of it, can do. */
#ifndef FLA_BASE_CPU_H
#define FLA_BASE_CPU_H

#include <stdint.h>

enum {
    FLA_CPU_AVX2 = 1u << 0,   /* AVX2 and FMA */
    FLA_CPU_AVX512 = 1u << 1, /* AVX-512 F, BW, DQ, VL */
    FLA_CPU_AVX512_VNNI = 1u << 2,
    FLA_CPU_AVX_VNNI = 1u << 3,
    FLA_CPU_AMX = 1u << 4,      /* tiles and their int8 products */
    FLA_CPU_NEON_DOT = 1u << 5, /* dot products of 64-bit Arm */
};

/*
 * Instruction sets that both the processor and the operating system offer.  Linux lends a
 * process the tiles of AMX when it asks, which this does; for all its threads, for good.
 */
uint32_t fla_cpu_detect(void);

/*
 * Processors that a process's cgroups (version 1 or 2) grant it, rounded down but at
 * least 1; 0 where nothing limits it.
 *
 * membership  file that lists the process's cgroups: /proc/self/cgroup.
 * root        where cgroups are mounted: /sys/fs/cgroup.
 */
unsigned fla_cpu_quota(const char *membership, const char *root);

/* Processors this process may use, at least 1: affinity mask and cgroup quota. */
unsigned fla_cpu_count(void);

#endif
