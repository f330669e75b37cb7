/* base: sizes, the allocator's budget, statuses, processors, the pool. */
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/alloc.h"
#include "base/cpu.h"
#include "base/error.h"
#include "base/pool.h"
#include "check.h"

static void sizes_that_do_not_fit_are_refused(void)
{
    size_t out = 7;
    CHECK(fla_size_mul(SIZE_MAX / 2, 2, &out) && out == SIZE_MAX - 1, "got %zu", out);
    CHECK(!fla_size_mul(SIZE_MAX / 2 + 1, 2, &out), "overflow was not seen");
    CHECK(fla_size_mul(SIZE_MAX, 0, &out) && out == 0, "got %zu", out);
    CHECK(fla_size_add(SIZE_MAX, 0, &out) && out == SIZE_MAX, "got %zu", out);
    CHECK(!fla_size_add(SIZE_MAX, 1, &out), "overflow was not seen");
    CHECK(fla_alloc(SIZE_MAX, 2) == NULL, "an impossible block was given");
    CHECK(fla_alloc(SIZE_MAX - 8, 1) == NULL, "an impossible block was given");
}

static void blocks_are_aligned_and_counted(void)
{
    const long live = fla_test_alloc_live();
    for (size_t n = 0; n < 200; n++) {
        char *block = fla_alloc(n, 3);
        CHECK(block != NULL && (uintptr_t)block % FLA_ALIGNMENT == 0, "n=%zu", n);
        memset(block, 1, n * 3);
        fla_free(block);
    }
    CHECK(fla_test_alloc_live() == live, "%ld blocks leaked",
          fla_test_alloc_live() - live);
}

static void regrow_keeps_the_old_values(void)
{
    int *block = fla_alloc(3, sizeof *block);
    block[0] = 1, block[1] = 2, block[2] = 3;
    block = fla_regrow(block, 3, 100, sizeof *block);
    CHECK(block != NULL && block[0] == 1 && block[1] == 2 && block[2] == 3,
          "values lost");
    fla_test_alloc_budget(0, false);
    CHECK(fla_regrow(block, 100, 200, sizeof *block) == NULL, "the budget did not bite");
    CHECK(block[2] == 3, "a failed regrow touched the block");
    fla_free(block);
}

static void the_budget_fails_once_or_for_good(void)
{
    fla_test_alloc_budget(1, false);
    void *a = fla_alloc(1, 1), *b = fla_alloc(1, 1), *c = fla_alloc(1, 1);
    CHECK(a != NULL && b == NULL && c != NULL, "once: %p %p %p", a, b, c);
    fla_test_alloc_budget(1, true);
    void *d = fla_alloc(1, 1), *e = fla_alloc(1, 1), *f = fla_alloc(1, 1);
    CHECK(d != NULL && e == NULL && f == NULL, "for good: %p %p %p", d, e, f);
    fla_test_alloc_budget(-1, false);
    fla_free(a), fla_free(c), fla_free(d);
}

static void every_status_has_its_own_name(void)
{
    for (int i = 0; i < FLA_STATUS_END; i++) {
        const char *name = fla_status_name((fla_status)i);
        CHECK(strncmp(name, "FLA_", 4) == 0, "status %d is called %s", i, name);
        for (int j = 0; j < i; j++)
            CHECK(strcmp(name, fla_status_name((fla_status)j)) != 0, "%s twice", name);
    }
    CHECK(strcmp(fla_status_name(FLA_STATUS_END), "unknown status") == 0, "the end");
}

static void an_error_carries_what_was_said(void)
{
    fla_error err;
    CHECK(
        fla_fail_row(&err, FLA_ERR_RANGE, "rows", 3, 4, 5, "row %d", 3) == FLA_ERR_RANGE,
        "status");
    CHECK(err.row == 3 && err.column == 4 && err.bad_rows == 5, "numbers");
    CHECK(strcmp(err.message, "row 3") == 0 && strcmp(err.argument, "rows") == 0,
          "texts");
    CHECK(fla_fail(NULL, FLA_ERR_SHAPE, "no one listens") == FLA_ERR_SHAPE, "NULL");
    fla_fail(&err, FLA_ERR_SHAPE, "%0300d", 1);
    CHECK(strlen(err.message) == sizeof err.message - 1, "a long message is cut");
    CHECK(err.row == -1 && err.argument == NULL, "old values stayed");
}

static void there_is_at_least_one_processor(void)
{
    CHECK(fla_cpu_count() >= 1, "got %u", fla_cpu_count());
}

static void write_file(const char *folder, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    if (file == NULL)
        abort();
    fputs(text, file);
    fclose(file);
}

static void make_folder(const char *root, const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", root, name);
    if (mkdir(path, 0700) != 0)
        abort();
}

static void cgroup_quotas_limit_the_processors(void)
{
    char root[] = "/tmp/fla_cgroup.XXXXXX", membership[64];
    CHECK(mkdtemp(root) != NULL, "no temporary folder");
    snprintf(membership, sizeof membership, "%s/membership", root);
    CHECK(fla_cpu_quota(membership, root) == 0, "no file, no limit");
    make_folder(root, "job");
    make_folder(root, "job/step");
    write_file(root, "membership", "7:cpuset:/x\n0::/job/step\n");
    CHECK(fla_cpu_quota(membership, root) == 0, "no quota, no limit");
    write_file(root, "job/step/cpu.max", "max 100000\n");
    CHECK(fla_cpu_quota(membership, root) == 0, "max is no limit");
    write_file(root, "job/cpu.max", "350000 100000\n");
    CHECK(fla_cpu_quota(membership, root) == 3, "a parent's quota, rounded down");
    write_file(root, "job/step/cpu.max", "50000 100000\n");
    CHECK(fla_cpu_quota(membership, root) == 1, "half a processor is one");
    make_folder(root, "cpu,cpuacct");
    write_file(root, "cpu,cpuacct/cpu.cfs_quota_us", "400000\n");
    write_file(root, "cpu,cpuacct/cpu.cfs_period_us", "200000\n");
    write_file(root, "membership", "7:cpuset:/job\n4:cpu,cpuacct:/\n");
    CHECK(fla_cpu_quota(membership, root) == 2, "version 1");
    write_file(root, "cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
    CHECK(fla_cpu_quota(membership, root) == 0, "version 1 without a limit");
    static const char *const made[] = {"cpu,cpuacct/cpu.cfs_quota_us",
                                       "cpu,cpuacct/cpu.cfs_period_us",
                                       "cpu,cpuacct",
                                       "job/step/cpu.max",
                                       "job/step",
                                       "job/cpu.max",
                                       "job",
                                       "membership",
                                       "."};
    for (size_t i = 0; i < sizeof made / sizeof made[0]; i++) {
        char path[256];
        snprintf(path, sizeof path, "%s/%s", root, made[i]);
        CHECK(remove(made[i][0] == '.' ? root : path) == 0, "%s stays", path);
    }
}

/* ---- the pool ------------------------------------------------------------------ */

typedef struct seen {
    fla_pool *pool;
    atomic_int runs[1000];
    atomic_int busy[8];
    atomic_bool shared_worker, too_many_workers;
    unsigned threads;
    fla_status fail_with;
    size_t fail_at;
} seen;

static void note_task(fla_job *job, void *arg, size_t task, unsigned worker)
{
    seen *s = arg;
    if (worker >= s->threads)
        atomic_store(&s->too_many_workers, true);
    else if (atomic_fetch_add(&s->busy[worker], 1) != 0)
        atomic_store(&s->shared_worker, true);
    atomic_fetch_add(&s->runs[task], 1);
    if (s->fail_with != FLA_OK && task == s->fail_at)
        fla_job_fail(job, s->fail_with);
    const struct timespec nap = {0, 50 * 1000};
    nanosleep(&nap, NULL);
    fla_job_advance(job, 1);
    if (worker < s->threads)
        atomic_fetch_sub(&s->busy[worker], 1);
}

/* One job as a whole call. */
static fla_status pool_run(fla_pool *pool, const fla_call *call, size_t n_tasks,
                           uint64_t total, fla_task *task, void *arg)
{
    fla_run run = fla_run_begin(call, total);
    return fla_pool_run(pool, &run, n_tasks, task, arg);
}

static void every_task_runs_once_on_any_number_of_threads(void)
{
    for (unsigned threads = 1; threads <= 7; threads++) {
        fla_pool *pool = fla_pool_create(threads);
        static seen s;
        for (size_t n = 0; n <= 300; n += 100) {
            memset(&s, 0, sizeof s);
            s.threads = threads;
            CHECK(pool_run(pool, NULL, n, n, note_task, &s) == FLA_OK, "threads=%u n=%zu",
                  threads, n);
            for (size_t i = 0; i < 1000; i++)
                CHECK(s.runs[i] == (i < n), "task %zu ran %d times", i, s.runs[i]);
            CHECK(!s.shared_worker && !s.too_many_workers, "worker numbers");
        }
        fla_pool_free(pool);
    }
}

static void a_call_may_ask_for_fewer_threads(void)
{
    fla_pool *pool = fla_pool_create(4);
    fla_call call;
    memset(&call, 0, sizeof call);
    call.threads = 2;
    static seen s;
    memset(&s, 0, sizeof s);
    s.threads = 2;
    CHECK(pool_run(pool, &call, 200, 200, note_task, &s) == FLA_OK, "run");
    CHECK(!s.too_many_workers, "more than two workers");
    CHECK(fla_call_threads(NULL, pool) == 4, "default");
    call.threads = 9;
    CHECK(fla_call_threads(&call, pool) == 4, "never more than the pool's");
    fla_pool_free(pool);
}

static void the_first_failure_stops_and_is_returned(void)
{
    fla_pool *pool = fla_pool_create(3);
    static seen s;
    memset(&s, 0, sizeof s);
    s.threads = 3;
    s.fail_with = FLA_ERR_MEMORY;
    s.fail_at = 5;
    const fla_status status = pool_run(pool, NULL, 1000, 0, note_task, &s);
    CHECK(status == FLA_ERR_MEMORY, "got %s", fla_status_name(status));
    CHECK(s.runs[999] == 0, "tasks went on after the failure");
    fla_pool_free(pool);
}

static void nested_task(fla_job *job, void *arg, size_t task, unsigned worker)
{
    seen *s = arg;
    (void)task;
    (void)worker;
    static seen inner = {.threads = 1}; /* shared by all, so its counts add up */
    if (pool_run(s->pool, NULL, 10, 0, note_task, &inner) != FLA_OK)
        fla_job_fail(job, FLA_ERR_MEMORY);
    atomic_store(&s->runs[0], inner.runs[9]);
    atomic_store(&s->too_many_workers, inner.too_many_workers);
}

static void a_nested_call_runs_on_its_own_thread(void)
{
    fla_pool *pool = fla_pool_create(3);
    static seen s;
    memset(&s, 0, sizeof s);
    s.pool = pool;
    CHECK(pool_run(pool, NULL, 20, 0, nested_task, &s) == FLA_OK, "run");
    CHECK(s.runs[0] == 20, "inner tasks ran %d times of 20", s.runs[0]);
    CHECK(!s.too_many_workers, "a nested call used the pool");
    fla_pool_free(pool);
}

typedef struct asked {
    int cancelled_after, asked, reports;
    uint64_t done, total;
    bool went_back;
} asked;

static bool cancel(void *arg)
{
    asked *a = arg;
    return ++a->asked > a->cancelled_after;
}

static void progress(void *arg, uint64_t done, uint64_t total)
{
    asked *a = arg;
    a->reports++;
    a->went_back |= done < a->done;
    a->done = done;
    a->total = total;
}

static void sleep_task(fla_job *job, void *arg, size_t task, unsigned worker)
{
    const struct timespec nap = {0, 1000 * 1000};
    (void)arg;
    (void)task;
    for (int i = 0; i < 1000 && !fla_job_stopped(job, worker); i++)
        nanosleep(&nap, NULL);
    fla_job_advance(job, 1);
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void cancelling_stops_all_workers_soon(void)
{
    for (unsigned threads = 1; threads <= 3; threads++) {
        fla_pool *pool = fla_pool_create(threads);
        asked a = {.cancelled_after = 2};
        fla_call call = {sizeof call, 0, cancel, progress, &a};
        const double start = seconds();
        const fla_status status = pool_run(pool, &call, 50, 50, sleep_task, NULL);
        CHECK(status == FLA_ERR_CANCELLED, "got %s", fla_status_name(status));
        CHECK(seconds() - start < 0.5, "took %.3f s", seconds() - start);
        CHECK(a.asked == 3, "asked %d times", a.asked);
        fla_pool_free(pool);
    }
}

/* A call of many short jobs is asked as often as one of a long job. */
static void short_jobs_can_be_cancelled(void)
{
    fla_pool *pool = fla_pool_create(2);
    asked a = {.cancelled_after = 1};
    fla_call call = {sizeof call, 0, cancel, NULL, &a};
    fla_run run = fla_run_begin(&call, 0);
    static seen s;
    s.threads = 2;
    fla_status status = FLA_OK;
    const double start = seconds();
    while (status == FLA_OK && seconds() - start < 5)
        status = fla_pool_run(pool, &run, 4, note_task, &s);
    CHECK(status == FLA_ERR_CANCELLED, "got %s", fla_status_name(status));
    CHECK(seconds() - start < 0.5, "took %.3f s", seconds() - start);
    fla_pool_free(pool);
}

static void progress_grows_and_ends_at_the_total(void)
{
    fla_pool *pool = fla_pool_create(2);
    asked a = {.cancelled_after = 1 << 30};
    fla_call call = {sizeof call, 0, cancel, progress, &a};
    static seen s;
    memset(&s, 0, sizeof s);
    s.threads = 2;
    fla_run run = fla_run_begin(&call, 1007);
    run.done = 7; /* an earlier job's */
    const double start = seconds();
    CHECK(fla_pool_run(pool, &run, 1000, note_task, &s) == FLA_OK, "run");
    CHECK(a.done == 1007 && a.total == 1007 && !a.went_back, "done %llu",
          (unsigned long long)a.done);
    const double took = seconds() - start;
    CHECK(a.reports >= 1 && a.reports <= took / 0.02 + 2, "%d reports in %.3f s",
          a.reports, took);
    fla_pool_free(pool);
}

static void a_run_without_units_reports_nothing(void)
{
    fla_pool *pool = fla_pool_create(2);
    asked a = {.cancelled_after = 3};
    fla_call call = {sizeof call, 0, cancel, progress, &a};
    CHECK(pool_run(pool, &call, 50, 0, sleep_task, NULL) == FLA_ERR_CANCELLED, "run");
    CHECK(a.asked == 4 && a.reports == 0, "%d reports", a.reports);
    fla_pool_free(pool);
}

int main(void)
{
    RUN(sizes_that_do_not_fit_are_refused);
    RUN(blocks_are_aligned_and_counted);
    RUN(regrow_keeps_the_old_values);
    RUN(the_budget_fails_once_or_for_good);
    RUN(every_status_has_its_own_name);
    RUN(an_error_carries_what_was_said);
    RUN(there_is_at_least_one_processor);
    RUN(cgroup_quotas_limit_the_processors);
    RUN(every_task_runs_once_on_any_number_of_threads);
    RUN(a_call_may_ask_for_fewer_threads);
    RUN(the_first_failure_stops_and_is_returned);
    RUN(a_nested_call_runs_on_its_own_thread);
    RUN(cancelling_stops_all_workers_soon);
    RUN(short_jobs_can_be_cancelled);
    RUN(progress_grows_and_ends_at_the_total);
    RUN(a_run_without_units_reports_nothing);
    return check_report();
}
