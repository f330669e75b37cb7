/* Threads for the tasks of one call: started late, safe across fork, quick to stop. */
#include "base/pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/fenv.h"

/* How often the calling thread asks the callbacks, and how long it sleeps at most. */
enum { POLL_NS = 20 * 1000 * 1000 };

struct fla_job {
    fla_task *task;
    void *arg;
    size_t n_tasks;
    fla_run *run; /* calling thread only */
    atomic_size_t next;
    atomic_uint_least64_t done;
    atomic_int stop; /* the fla_status to return; FLA_OK while running */
};

/*
 * The threads of one process.  A forked child inherits the memory but not the threads,
 * and perhaps a locked mutex: it never touches its parent's crew again and makes its own.
 */
typedef struct crew {
    pid_t pid;
    atomic_flag busy; /* held by the one call that has the crew */
    pthread_mutex_t mutex;
    pthread_cond_t work, done;
    fla_job *job;     /* NULL between jobs */
    unsigned wanted;  /* workers that may still join the job */
    unsigned joined;  /* workers that have: their worker numbers are 1, 2, ... */
    unsigned running; /* of those, still inside */
    bool quit;
    unsigned started;
    pthread_t threads[]; /* room for the pool's threads - 1 */
} crew;

struct fla_pool {
    unsigned threads;
    _Atomic(crew *) crew;
};

fla_pool *fla_pool_create(unsigned threads)
{
    fla_pool *pool = fla_alloc(1, sizeof *pool);
    if (pool != NULL) {
        pool->threads = threads;
        atomic_init(&pool->crew, NULL);
    }
    return pool;
}

unsigned fla_pool_threads(const fla_pool *pool)
{
    return pool->threads;
}

fla_status fla_call_check(const fla_call *call, fla_error *err)
{
    return call == NULL
               ? FLA_OK
               : fla_check_struct(call->struct_size, sizeof *call, "fla_call", err);
}

unsigned fla_call_threads(const fla_call *call, const fla_pool *pool)
{
    if (call == NULL || call->threads == 0 || call->threads > pool->threads)
        return pool->threads;
    return call->threads;
}

/* ---- inside a job -------------------------------------------------------------- */

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void fla_job_fail(fla_job *job, fla_status status)
{
    int running = FLA_OK;
    atomic_compare_exchange_strong(&job->stop, &running, (int)status);
}

void fla_job_advance(fla_job *job, uint64_t units)
{
    atomic_fetch_add_explicit(&job->done, units, memory_order_relaxed);
}

static void ask_caller(fla_job *job)
{
    fla_run *run = job->run;
    const fla_call *call = run->call;
    if (call == NULL || atomic_load_explicit(&job->stop, memory_order_relaxed) != FLA_OK)
        return; /* one that has been stopped is not asked again */
    const uint64_t now = now_ns();
    if (now - run->polled_ns < POLL_NS)
        return;
    run->polled_ns = now;
    if (call->progress != NULL && run->total > 0)
        call->progress(call->arg, run->done + atomic_load(&job->done), run->total);
    if (call->cancelled != NULL && call->cancelled(call->arg))
        fla_job_fail(job, FLA_ERR_CANCELLED);
}

bool fla_job_stopped(fla_job *job, unsigned worker)
{
    if (worker == 0)
        ask_caller(job);
    return atomic_load_explicit(&job->stop, memory_order_relaxed) != FLA_OK;
}

static void work_on(fla_job *job, unsigned worker)
{
    while (!fla_job_stopped(job, worker)) {
        const size_t task = atomic_fetch_add(&job->next, 1);
        if (task >= job->n_tasks)
            return;
        job->task(job, job->arg, task, worker);
    }
}

/* ---- the crew ------------------------------------------------------------------ */

static void *worker_main(void *arg)
{
    crew *c = arg;
    fenv_t unused;
    fla_fenv_enter(&unused); /* threads inherit their creator's environment */
    pthread_mutex_lock(&c->mutex);
    while (!c->quit) {
        if (c->job == NULL || c->wanted == 0) {
            pthread_cond_wait(&c->work, &c->mutex);
            continue;
        }
        fla_job *job = c->job;
        const unsigned worker = ++c->joined;
        c->wanted--;
        c->running++;
        pthread_mutex_unlock(&c->mutex);
        work_on(job, worker);
        pthread_mutex_lock(&c->mutex);
        if (--c->running == 0)
            pthread_cond_signal(&c->done);
    }
    pthread_mutex_unlock(&c->mutex);
    return NULL;
}

static crew *crew_create(unsigned threads)
{
    crew *c = fla_alloc_zeroed(1, sizeof *c + threads * sizeof c->threads[0]);
    if (c == NULL)
        return NULL;
    c->pid = getpid();
    atomic_flag_clear(&c->busy);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&c->mutex, NULL);
    pthread_cond_init(&c->work, NULL);
    pthread_cond_init(&c->done, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return c;
}

static void crew_free(crew *c)
{
    pthread_mutex_lock(&c->mutex);
    c->quit = true;
    pthread_cond_broadcast(&c->work);
    pthread_mutex_unlock(&c->mutex);
    for (unsigned i = 0; i < c->started; i++)
        pthread_join(c->threads[i], NULL);
    pthread_cond_destroy(&c->done);
    pthread_cond_destroy(&c->work);
    pthread_mutex_destroy(&c->mutex);
    fla_free(c);
}

void fla_pool_free(fla_pool *pool)
{
    if (pool == NULL)
        return;
    crew *c = atomic_load(&pool->crew);
    if (c != NULL && c->pid == getpid())
        crew_free(c); /* a parent's crew is left alone: its locks may be held for ever */
    fla_free(pool);
}

/* This process's crew, or NULL when there is no memory for one. */
static crew *crew_here(fla_pool *pool)
{
    crew *old = atomic_load(&pool->crew);
    if (old != NULL && old->pid == getpid())
        return old;
    crew *fresh = crew_create(pool->threads);
    if (fresh == NULL)
        return NULL;
    if (atomic_compare_exchange_strong(&pool->crew, &old, fresh))
        return fresh;
    crew_free(fresh); /* another thread of this process was first */
    return old;
}

/* Start threads until there are n, or as many as the system gives. */
static void crew_grow(crew *c, unsigned n)
{
    sigset_t all, callers;
    if (c->started >= n)
        return;
    sigfillset(&all); /* signals are the business of the threads that call us */
    pthread_sigmask(SIG_SETMASK, &all, &callers);
    while (c->started < n &&
           pthread_create(&c->threads[c->started], NULL, worker_main, c) == 0)
        c->started++;
    pthread_sigmask(SIG_SETMASK, &callers, NULL);
}

static void crew_publish(crew *c, fla_job *job, unsigned workers)
{
    pthread_mutex_lock(&c->mutex);
    c->job = job;
    c->wanted = workers;
    c->joined = 0;
    pthread_cond_broadcast(&c->work);
    pthread_mutex_unlock(&c->mutex);
}

/* Close the job to late workers; wait for those inside, asking the caller meanwhile. */
static void crew_wait(crew *c, fla_job *job)
{
    pthread_mutex_lock(&c->mutex);
    c->job = NULL;
    while (c->running > 0) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += POLL_NS;
        if (until.tv_nsec >= 1000000000) {
            until.tv_nsec -= 1000000000;
            until.tv_sec++;
        }
        pthread_cond_timedwait(&c->done, &c->mutex, &until);
        pthread_mutex_unlock(&c->mutex); /* a callback may take its time */
        ask_caller(job);
        pthread_mutex_lock(&c->mutex);
    }
    pthread_mutex_unlock(&c->mutex);
}

static void run_on_crew(fla_pool *pool, fla_job *job, unsigned threads)
{
    crew *c = threads > 1 ? crew_here(pool) : NULL;
    if (c == NULL || atomic_flag_test_and_set(&c->busy)) {
        work_on(job, 0);
        return;
    }
    crew_grow(c, threads - 1);
    crew_publish(c, job, threads - 1);
    work_on(job, 0);
    crew_wait(c, job);
    atomic_flag_clear(&c->busy);
}

fla_run fla_run_begin(const fla_call *call, uint64_t total)
{
    return (fla_run){.call = call, .total = total, .polled_ns = now_ns()};
}

fla_status fla_pool_run(fla_pool *pool, fla_run *run, size_t n_tasks, fla_task *task,
                        void *arg)
{
    fla_job job = {.task = task, .arg = arg, .n_tasks = n_tasks, .run = run};
    const fla_call *call = run->call;
    unsigned threads = fla_call_threads(call, pool);
    if (threads > n_tasks)
        threads = (unsigned)n_tasks;
    run_on_crew(pool, &job, threads);
    const fla_status status = (fla_status)atomic_load(&job.stop);
    run->done += atomic_load(&job.done);
    if (status == FLA_OK && call != NULL && call->progress != NULL && run->total > 0 &&
        run->done == run->total)
        call->progress(call->arg, run->done, run->total);
    return status;
}
