/* Threads for the tasks of one call: started late, safe across fork, quick to stop. */
#ifndef FLA_BASE_POOL_H
#define FLA_BASE_POOL_H

#include "fast_lsh_ann.h"

typedef struct fla_pool fla_pool;
typedef struct fla_job fla_job; /* one running fla_pool_run */

/* threads counts the calling thread: 1 never starts another. */
fla_pool *fla_pool_create(unsigned threads); /* NULL: no memory */
void fla_pool_free(fla_pool *pool);          /* NULL is fine; no job may be running */
unsigned fla_pool_threads(const fla_pool *pool);

/* FLA_OK for NULL and for a call that fla_call_init made. */
fla_status fla_call_check(const fla_call *call, fla_error *err);

/* Threads a call may use: what it asks for, at most the pool's. */
unsigned fla_call_threads(const fla_call *call, const fla_pool *pool);

/*
 * A task.  worker is below the call's threads, and no two tasks that run at the same time
 * share it; worker 0 is the calling thread.
 */
typedef void fla_task(fla_job *job, void *arg, size_t task, unsigned worker);

/* A public call as it runs, job after job: its callbacks and how far it has come. */
typedef struct fla_run {
    const fla_call *call; /* may be NULL */
    uint64_t done, total; /* units before the next job, and in all; for progress, which
                             is reported unless total is 0 */
    uint64_t polled_ns;   /* when the callbacks were asked last */
} fla_run;

fla_run fla_run_begin(const fla_call *call, uint64_t total);

/*
 * Run tasks 0 .. n_tasks-1 and wait for them.  Serial on the calling thread when one
 * thread is enough, when it is itself a task of the pool, or when another call has the
 * pool.  After a failure tasks that have not begun are left out.
 *
 * run  run->done grows by what the tasks report with fla_job_advance.
 *
 * Returns FLA_OK, FLA_ERR_CANCELLED, or what the first fla_job_fail said.
 */
fla_status fla_pool_run(fla_pool *pool, fla_run *run, size_t n_tasks, fla_task *task,
                        void *arg);

/* True when the task should return: polled at least every 2 ms of work. */
bool fla_job_stopped(fla_job *job, unsigned worker);

void fla_job_fail(fla_job *job, fla_status status);
void fla_job_advance(fla_job *job, uint64_t units);

#endif
