/* The definitions of docs/contract.md, computed as they are written there: what every
 * answer of a benchmark is compared with.  It knows nothing of the library.
 *
 * d(x, q) = sqrt(sum over j of (x_j - q_j)^2) in double, j ascending, each step rounded:
 * 32 rows lie in lanes, so that each keeps a sequential sum of its own (compiled with
 * -ffp-contract=off; the compiler may not reorder it). */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef double lanes __attribute__((vector_size(64)));

enum {
    WIDTH = 8,
    VECTORS = 4,
    ROWS = WIDTH * VECTORS, /* of a tile */
    LOOK = 16,              /* coordinates between two looks at the sums */
    BLOCK = 128,            /* queries that share the making of a tile */
    MAX_THREADS = 256,
};

typedef struct {
    const float *rows, *queries; /* [n x dim], [n_queries x dim] */
    size_t n, n_queries, dim;
    size_t k;                                   /* 0: all distances are wanted */
    const int64_t *row_buckets, *query_buckets; /* [.. x tables]; tables 0: none */
    size_t tables;
    int64_t *indices;  /* [n_queries x k], -1 past the last */
    double *distances; /* [n_queries x k], or x n for all */
    size_t block;
    atomic_size_t next; /* the first query that nobody has taken */
    atomic_bool failed;
} search;

/* ---- distances ------------------------------------------------------------------- */

/* Rows first .. first + 31, coordinate by coordinate; past the end the last one. */
static void make_tile(const search *s, size_t first, double *tile)
{
    for (size_t r = 0; r < ROWS; r++) {
        const size_t row = first + r < s->n ? first + r : s->n - 1;
        for (size_t j = 0; j < s->dim; j++)
            tile[j * ROWS + r] = (double)s->rows[row * s->dim + j];
    }
}

/*
 * Sums of squares of a tile's rows; false once every one has reached `beyond`, and the
 * whole sums would too: a square is 0 or more, and rounding is monotone, so adding it to
 * a double s gives at least the rounding of s, which is s.
 */
static bool sum_squares(const double *tile, const double *query, size_t dim,
                        double beyond, double *sums)
{
    const lanes *columns = (const lanes *)tile;
    lanes sum[VECTORS] = {0};
    for (size_t j = 0; j < dim;) {
        const size_t end = j + LOOK < dim ? j + LOOK : dim;
        for (; j < end; j++)
            for (size_t v = 0; v < VECTORS; v++) {
                const lanes difference = columns[j * VECTORS + v] - query[j];
                sum[v] += difference * difference;
            }
        bool below = false;
        for (size_t v = 0; v < VECTORS; v++)
            for (size_t i = 0; i < WIDTH; i++)
                below |= !(sum[v][i] >= beyond);
        if (!below)
            return false;
    }
    memcpy(sums, sum, sizeof sum);
    return true;
}

/* A sum whose root is above a distance, so that all sums from it on have such roots: the
   square root is monotone too.  The square of the distance is a step or two off. */
static double sum_beyond(double distance)
{
    double sum = distance * distance;
    while (sum < INFINITY && sqrt(sum) <= distance)
        sum = nextafter(sum, INFINITY);
    return sum;
}

/* ---- the k nearest ----------------------------------------------------------------- */

typedef struct {
    size_t count;
    double beyond; /* no row whose sum reaches this enters; NaN: every row does */
} list;

static bool candidate(const search *s, size_t query, size_t row)
{
    if (s->tables == 0)
        return true;
    for (size_t t = 0; t < s->tables; t++)
        if (s->row_buckets[row * s->tables + t] ==
            s->query_buckets[query * s->tables + t])
            return true;
    return false;
}

/* Rows come in ascending order: a new one goes behind those at the same distance. */
static void insert(const search *s, size_t query, size_t row, double distance, list *at)
{
    int64_t *indices = s->indices + query * s->k;
    double *distances = s->distances + query * s->k;
    if (at->count == s->k && !(distance < distances[s->k - 1]))
        return;
    size_t place = at->count < s->k ? at->count++ : s->k - 1;
    for (; place > 0 && distances[place - 1] > distance; place--) {
        distances[place] = distances[place - 1];
        indices[place] = indices[place - 1];
    }
    distances[place] = distance;
    indices[place] = (int64_t)row;
    if (at->count == s->k)
        at->beyond = sum_beyond(distances[s->k - 1]);
}

static void meet(const search *s, size_t query, size_t first, const double *sums,
                 list *at)
{
    const size_t n = s->n - first < ROWS ? s->n - first : ROWS;
    for (size_t r = 0; r < n; r++) {
        if (s->k == 0)
            s->distances[query * s->n + first + r] = sqrt(sums[r]);
        else if (!(sums[r] >= at->beyond) && candidate(s, query, first + r))
            insert(s, query, first + r, sqrt(sums[r]), at);
    }
}

static void search_block(const search *s, size_t first, size_t n, double *tile,
                         double *queries)
{
    list lists[BLOCK];
    double sums[ROWS];
    for (size_t q = 0; q < n; q++) {
        lists[q] = (list){0, NAN};
        for (size_t j = 0; j < s->dim; j++)
            queries[q * s->dim + j] = (double)s->queries[(first + q) * s->dim + j];
        for (size_t i = 0; i < s->k; i++) {
            s->indices[(first + q) * s->k + i] = -1;
            s->distances[(first + q) * s->k + i] = INFINITY;
        }
    }
    for (size_t row = 0; row < s->n; row += ROWS) {
        make_tile(s, row, tile);
        for (size_t q = 0; q < n; q++)
            if (sum_squares(tile, queries + q * s->dim, s->dim, lists[q].beyond, sums))
                meet(s, first + q, row, sums, &lists[q]);
    }
}

static void *work(void *argument)
{
    search *s = argument;
    double *tile = aligned_alloc(sizeof(lanes), s->dim * ROWS * sizeof *tile);
    double *queries = malloc(BLOCK * s->dim * sizeof *queries);
    if (tile == NULL || queries == NULL)
        s->failed = true;
    while (!s->failed) {
        const size_t first = atomic_fetch_add(&s->next, s->block);
        if (first >= s->n_queries)
            break;
        const size_t left = s->n_queries - first;
        search_block(s, first, left < s->block ? left : s->block, tile, queries);
    }
    free(tile);
    free(queries);
    return NULL;
}

/*
 * The k nearest candidates of each query by (distance, row), or, with k = 0, the
 * distances of all rows.  A candidate shares a bucket with its query in some hash table.
 * Returns 0, or -1 when there is no memory or no thread.
 */
int naive_search(const float *rows, size_t n, const float *queries, size_t n_queries,
                 size_t dim, size_t k, const int64_t *row_buckets,
                 const int64_t *query_buckets, size_t tables, int threads,
                 int64_t *indices, double *distances)
{
    pthread_t ids[MAX_THREADS];
    const size_t share = n_queries / (size_t)threads + 1;
    search s = {rows,        queries,
                n,           n_queries,
                dim,         k,
                row_buckets, query_buckets,
                tables,      indices,
                distances,   share < BLOCK ? share : BLOCK,
                0,           threads < 1 || threads > MAX_THREADS || n == 0};
    int started = 0;
    for (; started < threads && !s.failed; started++)
        if (pthread_create(&ids[started], NULL, work, &s) != 0)
            break;
    if (started < threads)
        s.failed = true;
    for (int t = 0; t < started; t++)
        pthread_join(ids[t], NULL);
    return s.failed ? -1 : 0;
}

/* ---- buckets ----------------------------------------------------------------------- */

/* h_t(x) = floor((1 / width) * s), s = fma(x_j, r_tj, s) for j ascending from 0.0.
   vectors: [tables x dim]; buckets: [n x tables]. */
void naive_buckets(const float *rows, size_t n, size_t dim, const double *vectors,
                   size_t tables, double width, int64_t *buckets)
{
    for (size_t i = 0; i < n; i++)
        for (size_t t = 0; t < tables; t++) {
            double sum = 0;
            for (size_t j = 0; j < dim; j++)
                sum = fma((double)rows[i * dim + j], vectors[t * dim + j], sum);
            buckets[i * tables + t] = (int64_t)floor(1 / width * sum);
        }
}
