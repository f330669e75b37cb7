/* One search three ways, in turn: on an index, on the raw rows, and by a scan of the same
 * index that knows float32 only, as where rows cannot be coded.  One thread, timed by its
 * own clock. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "search/index.h"

typedef struct search {
    fla_context *context;
    fla_index *index;
    fla_matrix rows, queries;
    size_t k;
    fla_search_options exact;
    int64_t *indices;  /* [queries x k] */
    double *distances; /* the same */
} search;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool on_index(search *s)
{
    return fla_nearest_neighbors(s->index, s->context, NULL, &s->queries, s->k, &s->exact,
                                 s->indices, s->distances, s->queries.rows * s->k, NULL,
                                 NULL) == FLA_OK;
}

static bool by_floats(search *s)
{
    s->index->base.coded = false;
    const bool done = on_index(s);
    s->index->base.coded = true;
    return done;
}

static bool on_rows(search *s)
{
    fla_knn *knn;
    bool done = fla_knn_create(s->context, NULL, NULL, &s->queries, s->k, &s->exact, &knn,
                               NULL) == FLA_OK;
    done =
        done && fla_knn_push(knn, NULL, &s->rows, NULL) == FLA_OK &&
        fla_knn_finish(knn, NULL, s->k, s->indices, s->distances, NULL, NULL) == FLA_OK;
    fla_knn_free(knn);
    return done;
}

/* seconds: [rounds x 3].  Answers must be the same each time. */
static bool take_turns(search *s, int rounds, double *seconds)
{
    bool (*const ways[])(search *) = {by_floats, on_index, on_rows};
    const size_t values = s->queries.rows * s->k;
    int64_t *first = malloc(values * sizeof *first);
    bool done = first != NULL;
    for (int i = 0; i < 3 * (rounds + 1) && done; i++) {
        const double start = now();
        done = ways[i % 3](s);
        if (i >= 3) /* all have run once */
            seconds[i - 3] = now() - start;
        if (i == 0 && done)
            memcpy(first, s->indices, values * sizeof *first);
        done = done && memcmp(first, s->indices, values * sizeof *first) == 0;
    }
    free(first);
    return done;
}

/* k is at most n.  Returns 0, or -1 when something failed or answers differ. */
int ladder(const float *rows, size_t n, const float *queries, size_t n_queries,
           size_t dim, size_t k, int rounds, double *seconds)
{
    const ptrdiff_t stride = (ptrdiff_t)(dim * sizeof *rows);
    search s = {.rows = {rows, n, dim, stride, 0, FLA_F32},
                .queries = {queries, n_queries, dim, stride, 0, FLA_F32},
                .k = k};
    fla_context_options options;
    fla_context_options_init(&options);
    options.threads = 1;
    fla_search_options_init(&s.exact);
    s.exact.min_collisions = 0;
    s.indices = malloc(n_queries * k * sizeof *s.indices);
    s.distances = malloc(n_queries * k * sizeof *s.distances);
    const bool done =
        s.indices != NULL && s.distances != NULL &&
        fla_context_create(&options, &s.context, NULL) == FLA_OK &&
        fla_index_create(s.context, NULL, NULL, &s.rows, &s.index, NULL) == FLA_OK &&
        take_turns(&s, rounds, seconds);
    fla_index_free(s.index);
    fla_context_free(s.context);
    free(s.indices);
    free(s.distances);
    return done ? 0 : -1;
}
