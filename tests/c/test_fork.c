/*
 * The pool and fork.  A program of its own: ThreadSanitizer cannot follow threads that a
 * forked child starts.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/pool.h"
#include "check.h"

enum { TASKS = 100, THREADS = 3 };

static void count_task(fla_job *job, void *arg, size_t task, unsigned worker)
{
    const struct timespec nap = {0, 20 * 1000};
    (void)job;
    (void)task;
    (void)worker;
    nanosleep(&nap, NULL);
    atomic_fetch_add((atomic_int *)arg, 1);
}

static bool all_tasks_run(fla_pool *pool)
{
    atomic_int count = 0;
    fla_run run = fla_run_begin(NULL, 0);
    const fla_status status = fla_pool_run(pool, &run, TASKS, count_task, &count);
    return status == FLA_OK && atomic_load(&count) == TASKS;
}

/* Wait inside until another task is inside too, for up to a second. */
static void meet_task(fla_job *job, void *arg, size_t task, unsigned worker)
{
    atomic_int *inside = arg;
    const struct timespec nap = {0, 1000 * 1000};
    (void)job;
    (void)task;
    (void)worker;
    atomic_fetch_add(inside, 1);
    for (int i = 0; i < 1000 && atomic_load(inside) < 2; i++)
        nanosleep(&nap, NULL);
}

static bool has_workers(fla_pool *pool)
{
    atomic_int inside = 0;
    fla_run run = fla_run_begin(NULL, 0);
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    const fla_status status = fla_pool_run(pool, &run, 2, meet_task, &inside);
    clock_gettime(CLOCK_MONOTONIC, &end);
    const double seconds = (double)(end.tv_sec - start.tv_sec) +
                           1e-9 * (double)(end.tv_nsec - start.tv_nsec);
    return status == FLA_OK && seconds < 0.9;
}

/* Use the pool in a forked child, and free it there. */
static bool child_can_use(fla_pool *pool)
{
    const pid_t pid = fork();
    if (pid == 0) {
        const bool ran = all_tasks_run(pool) && has_workers(pool);
        fla_pool_free(pool);
        _exit(ran ? 0 : 1);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    return status == 0;
}

static void a_child_forked_before_first_use_has_a_pool(void)
{
    fla_pool *pool = fla_pool_create(THREADS);
    CHECK(child_can_use(pool), "child");
    CHECK(all_tasks_run(pool), "parent");
    fla_pool_free(pool);
}

static void a_child_forked_after_use_has_a_pool_of_its_own(void)
{
    fla_pool *pool = fla_pool_create(THREADS);
    CHECK(all_tasks_run(pool), "parent");
    CHECK(child_can_use(pool), "child");
    CHECK(all_tasks_run(pool), "parent again");
    fla_pool_free(pool);
}

static void *keep_busy(void *arg)
{
    for (int i = 0; i < 200; i++)
        if (!all_tasks_run(arg))
            return arg;
    return NULL;
}

static void a_child_forked_during_another_threads_call_has_a_pool(void)
{
    fla_pool *pool = fla_pool_create(THREADS);
    pthread_t thread;
    void *failed;
    CHECK(pthread_create(&thread, NULL, keep_busy, pool) == 0, "thread");
    for (int i = 0; i < 20; i++)
        CHECK(child_can_use(pool), "round %d", i);
    pthread_join(thread, &failed);
    CHECK(failed == NULL, "the busy thread's calls");
    fla_pool_free(pool);
}

static void a_child_may_free_a_pool_it_never_used(void)
{
    fla_pool *pool = fla_pool_create(THREADS);
    CHECK(all_tasks_run(pool), "parent");
    const pid_t pid = fork();
    if (pid == 0) {
        alarm(5); /* joining the parent's threads would take for ever */
        fla_pool_free(pool);
        _exit(0);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    CHECK(status == 0, "child ended with %d", status);
    fla_pool_free(pool);
}

int main(void)
{
    RUN(a_child_may_free_a_pool_it_never_used);
    RUN(a_child_forked_before_first_use_has_a_pool);
    RUN(a_child_forked_after_use_has_a_pool_of_its_own);
    RUN(a_child_forked_during_another_threads_call_has_a_pool);
    return check_report();
}
