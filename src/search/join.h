/*
 * All pairs of left and right rows within a threshold, in (left, right) order and in
 * bounded memory: what cutting the work (join.c) and one task (join_task.c) share.
 */
#ifndef FLA_SEARCH_JOIN_H
#define FLA_SEARCH_JOIN_H

#include <stdatomic.h>

#include "search/scan.h"

enum {
    FLA_JOIN_GROUP = 256,     /* left rows of a task, at most: they share a tile */
    FLA_JOIN_PAIRS = 1 << 16, /* a task keeps, at most: 1.5 MiB */
};

/* Pairs in memory that grows. */
typedef struct fla_pair_buffer {
    fla_pair *pairs;
    size_t n, capacity;
} fla_pair_buffer;

/* What a task has found, by (left, right). */
typedef struct fla_join_task {
    fla_pair_buffer sorted;
    size_t starts[FLA_JOIN_GROUP + 1]; /* where each left row's pairs start */
} fla_join_task;

typedef struct fla_join_worker {
    fla_scan scan;
    fla_pair_buffer found; /* by the task at hand, as they come */
} fla_join_worker;

/* How a wave cuts the work, and whether it goes by buckets: then there is one range. */
typedef struct fla_join_wave {
    bool buckets;
    size_t first;         /* left row it begins with */
    size_t group, groups; /* left rows of a group, and groups */
    size_t row, end_row;  /* right rows it begins with, and ends before */
    size_t range_rows, ranges;
} fla_join_wave;

/* Which pair of a wave is handed on next. */
typedef struct fla_join_cursor {
    size_t group, left, range, pair;
} fla_join_cursor;

struct fla_join {
    fla_context *context;
    const fla_model *model; /* NULL: exact */
    fla_search_options options;
    double threshold;
    fla_base own;          /* prepared rows, unless an index has them */
    const fla_base *right; /* own or an index's */
    fla_runs made;         /* of the right rows, where a plan asks for what they lack */
    const fla_runs *runs;  /* which to go by; NULL: right rows are scanned */
    unsigned threads;
    fla_join_worker *workers; /* [threads] */
    size_t most_tasks;        /* of a wave */
    fla_join_task *tasks;     /* [most_tasks] */
    fla_matrix left;          /* what is being joined */
    size_t group;         /* the next wave's; 0: so small that no task finds too many */
    fla_join_wave wave;   /* no groups: none is at hand */
    _Atomic size_t whole; /* its groups before the first that found too many pairs */
    fla_join_cursor cursor;
    bool opened; /* with an index on the left: its pairs are pulled */
    bool failed;
};

/* Left rows of group g of the wave. */
static inline size_t fla_join_group_rows(const fla_join *join, size_t g)
{
    const fla_join_wave *wave = &join->wave;
    return fla_size_min(join->left.rows - (wave->first + g * wave->group), wave->group);
}

/* Find the pairs of one group and one range; a task of the pool. */
void fla_join_run_task(fla_job *job, void *join, size_t number, unsigned worker);

#endif
