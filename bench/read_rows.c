/* How long some threads take to read an array once: the floor of a search that has to.
 *
 * Threads start together (they spin, so that no wake-up is counted), each reads its part,
 * and the time is from the first start to the last end. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

enum { MAX_THREADS = 256, MAX_ROUNDS = 64, WORDS_PER_STEP = 32 };

typedef struct {
    const uint64_t *words;
    size_t n;
    int threads, rounds;
    atomic_int *arrived;
    double begin[MAX_ROUNDS], end[MAX_ROUNDS];
    uint64_t sum;
} part;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void meet(atomic_int *arrived, int expected)
{
    atomic_fetch_add(arrived, 1);
    for (int spins = 0; atomic_load(arrived) < expected; spins++)
        if (spins > 1000)
            sched_yield();
}

static uint64_t sum_of(const uint64_t *words, size_t n)
{
    uint64_t sums[WORDS_PER_STEP] = {0};
    for (size_t i = 0; i + WORDS_PER_STEP <= n; i += WORDS_PER_STEP)
        for (size_t j = 0; j < WORDS_PER_STEP; j++)
            sums[j] += words[i + j];
    uint64_t total = 0;
    for (size_t j = 0; j < WORDS_PER_STEP; j++)
        total += sums[j];
    return total;
}

static void *read_part(void *argument)
{
    part *p = argument;
    for (int round = 0; round < p->rounds; round++) {
        meet(p->arrived, p->threads * (round + 1));
        p->begin[round] = now();
        p->sum += sum_of(p->words, p->n);
        p->end[round] = now();
    }
    return NULL;
}

/* Seconds of each of `rounds` reads of words[0..n); returns a sum that keeps them alive.
 */
uint64_t read_rows(const uint64_t *words, size_t n, int threads, int rounds,
                   double *seconds)
{
    static part parts[MAX_THREADS];
    pthread_t ids[MAX_THREADS];
    atomic_int arrived = 0;
    uint64_t sum = 0;
    if (threads < 1 || threads > MAX_THREADS || rounds < 1 || rounds > MAX_ROUNDS)
        return 0;
    for (int t = 0; t < threads; t++) {
        const size_t from = n / (size_t)threads * (size_t)t;
        parts[t] = (part){.words = words + from,
                          .n = n / (size_t)threads,
                          .threads = threads,
                          .rounds = rounds,
                          .arrived = &arrived};
        if (t > 0 && pthread_create(&ids[t], NULL, read_part, &parts[t]) != 0)
            abort(); /* others wait for it */
    }
    read_part(&parts[0]);
    for (int t = 1; t < threads; t++)
        pthread_join(ids[t], NULL);
    for (int round = 0; round < rounds; round++) {
        double begin = parts[0].begin[round], end = parts[0].end[round];
        for (int t = 0; t < threads; t++) {
            begin = parts[t].begin[round] < begin ? parts[t].begin[round] : begin;
            end = parts[t].end[round] > end ? parts[t].end[round] : end;
        }
        seconds[round] = end - begin;
    }
    for (int t = 0; t < threads; t++)
        sum += parts[t].sum;
    return sum;
}
