/*
 * fast_lsh_ann: locality sensitive hashing by bucketed random projections.
 *
 * Everything is reached through five kinds of object.
 *
 *   fla_context   thread pool and instruction set
 *   fla_model     parameters and hash functions; immutable, shared freely between threads
 *   fla_index     checked rows; immutable, shared freely between threads
 *   fla_knn       neighbors of resident queries among rows pushed block by block
 *   fla_join      pairs of right rows that stay and left rows, block by block
 *
 * A knn or a join is used by one thread at a time.  A computing function also takes an
 * fla_call: threads, cancellation and progress of that one call.
 *
 * Arguments come in this order: object, context, call, inputs, outputs with their
 * capacity, error.  Sizes count elements unless a name ends in _bytes.
 *
 * Results depend on the arguments alone: not on threads, instruction set, block sizes,
 * the caller's floating point environment, or the order in which blocks are pushed.
 *
 * Every function may be called from any thread; objects may be freed from any thread once
 * no call uses them.  The library never prints, exits, aborts or sets errno on purpose.
 */
#ifndef FAST_LSH_ANN_H
#define FAST_LSH_ANN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLA_VERSION_MAJOR 0
#define FLA_VERSION_MINOR 2
#define FLA_VERSION_PATCH 0

#if defined(__GNUC__)
#define FLA_API __attribute__((visibility("default")))
#define FLA_CHECKED __attribute__((warn_unused_result))
#else
#define FLA_API
#define FLA_CHECKED
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- status and error ---------------------------------------------------------- */

typedef enum fla_status {
    FLA_OK = 0,
    FLA_ERR_ARGUMENT,  /* a parameter is outside its range */
    FLA_ERR_SHAPE,     /* sizes that must agree do not */
    FLA_ERR_NONFINITE, /* NaN or infinity in the data; error.row and .column say where */
    FLA_ERR_ROW,       /* a row is null, ragged or holds a null; error.row says which */
    FLA_ERR_RANGE,     /* a bucket does not fit in int64; error.row says where */
    FLA_ERR_MEMORY,    /* an allocation failed, or a size does not fit in memory */
    FLA_ERR_CANCELLED, /* the call's cancel callback said stop */
    FLA_ERR_SIMD,      /* the instruction set asked for by name is not usable here */
    FLA_ERR_ARROW,     /* an Arrow structure is malformed */
    FLA_ERR_SINK,      /* the caller's sink asked to stop */
    FLA_ERR_TYPE,      /* an Arrow column is of a type that cannot be read as asked */
    FLA_STATUS_END     /* not a status: one past the last, for tests and bindings */
} fla_status;

/* Filled if and only if a call fails.  NULL is fine wherever one is taken. */
typedef struct fla_error {
    fla_status status;
    const char *argument; /* static name of the parameter to blame, or NULL */
    int64_t row;          /* counts from the matrix's first_row; -1: no row is to blame */
    int64_t column;       /* -1: no coordinate is to blame */
    int64_t bad_rows;     /* rows with the same fault, where they were counted; else 0 */
    char message[256];    /* what was seen and what was needed; no trailing period */
} fla_error;

/* The constant's own name, "FLA_OK" and so on; "unknown status" for anything else. */
FLA_API const char *fla_status_name(fla_status status);

/* ---- context ------------------------------------------------------------------- */

typedef struct fla_context fla_context;

typedef struct fla_context_options {
    size_t struct_size; /* set by fla_context_options_init */
    unsigned threads;   /* 0: FAST_LSH_ANN_NUM_THREADS, else the processors this process
                           may use (affinity and cgroup quota); at most 1024 */
    const char *simd;   /* NULL: FAST_LSH_ANN_SIMD, else the best this CPU has;
                           or a name out of fla_simd_tiers */
} fla_context_options;

FLA_API void fla_context_options_init(fla_context_options *options);

/*
 * Create a context.  Starts no thread: the pool comes to life with the first call that
 * needs it, and anew in a forked child.
 *
 * options  NULL for the defaults.
 * out      NULL on failure; the caller frees it with fla_context_free.
 *
 * Returns FLA_OK, FLA_ERR_ARGUMENT (threads, or the environment variable for it),
 * FLA_ERR_SIMD (the message lists the tiers there are) or FLA_ERR_MEMORY.
 */
FLA_API FLA_CHECKED fla_status fla_context_create(const fla_context_options *options,
                                                  fla_context **out, fla_error *err);
FLA_API void fla_context_free(
    fla_context *context); /* NULL is fine; no call may be running */

FLA_API unsigned fla_context_threads(const fla_context *context);
FLA_API const char *fla_context_simd(const fla_context *context);

/*
 * Names of the kernel tiers this CPU can run, best first.
 *
 * names     receives up to capacity static strings; may be NULL when capacity is 0.
 *
 * Returns how many there are, at least 1; the last is "scalar".
 */
FLA_API size_t fla_simd_tiers(const char **names, size_t capacity);

/* ---- call ---------------------------------------------------------------------- */

/* What one call may use.  NULL wherever one is taken means the defaults. */
typedef struct fla_call {
    size_t struct_size;           /* set by fla_call_init */
    unsigned threads;             /* 0: the context's; never more than the context's */
    bool (*cancelled)(void *arg); /* asked by the calling thread, about every 20 ms and at
                                     least every 50; true means stop */
    void (*progress)(void *arg, uint64_t done, uint64_t total); /* by the calling thread,
                                     about every 20 ms and once at the end; row-query
                                     decisions, or rows hashed */
    void *arg;
} fla_call;

FLA_API void fla_call_init(fla_call *call);

/* ---- rows ---------------------------------------------------------------------- */

typedef enum fla_dtype { FLA_F32, FLA_F64 } fla_dtype;

/*
 * A borrowed view of rows.  The coordinates of a row are contiguous and may be unaligned;
 * rows may be apart, overlap or run backwards.  Another thread that writes to the data
 * during a call can change the numbers that come out, never their bounds.
 */
typedef struct fla_matrix {
    const void *data; /* may be NULL when rows is 0 */
    size_t rows;
    size_t dim;
    ptrdiff_t row_stride_bytes;
    int64_t first_row; /* number of row 0 in results and errors: 0, or its place in a
                          stream */
    fla_dtype dtype;
} fla_matrix;

/*
 * Tell rows of finite values from those that hold NaN or infinity, for a caller who
 * leaves these out rather than fail.
 *
 * rows        [n x dim], borrowed for the call.
 * finite      [n]; 1 for a row of finite values, else 0.
 * finite_len  elements available at finite; must be exactly n.
 *
 * Returns FLA_OK, FLA_ERR_ARGUMENT, FLA_ERR_SHAPE or FLA_ERR_CANCELLED.
 */
FLA_API FLA_CHECKED fla_status fla_rows_find_finite(fla_context *context,
                                                    const fla_call *call,
                                                    const fla_matrix *rows,
                                                    uint8_t *finite, size_t finite_len,
                                                    fla_error *err);

/* ---- model --------------------------------------------------------------------- */

typedef struct fla_model fla_model;

/*
 * Which JVM's rounding the unit vectors' norms follow; the order of the sums is given in
 * docs/contract.md.  Spark 3.2-3.5 on JDK 11 and later is JAVA11; Spark 4 is VECTOR8 on
 * AVX-512 machines, VECTOR4 on AVX2, VECTOR2 on 128-bit SIMD.
 */
typedef enum fla_profile {
    FLA_PROFILE_JAVA11,
    FLA_PROFILE_JAVA8,
    FLA_PROFILE_VECTOR2,
    FLA_PROFILE_VECTOR4,
    FLA_PROFILE_VECTOR8
} fla_profile;

/* Whose hash functions; docs/contract.md gives both. */
typedef enum fla_projection {
    FLA_PROJECTION_SPARK,   /* unit vectors, bit for bit those of Spark; no offsets */
    FLA_PROJECTION_GAUSSIAN /* standard normal vectors and an offset, uniform in
                               [0, bucket_length): the p-stable scheme of Datar et al.,
                               2004, from the same generator */
} fla_projection;

typedef struct fla_model_options {
    size_t struct_size; /* set by fla_model_options_init */
    double
        bucket_length; /* > 0, finite, with a finite reciprocal; in units of distance */
    uint64_t num_hash_tables; /* >= 1 */
    int64_t seed;             /* only the low 48 bits matter, as in java.util.Random */
    fla_profile profile;      /* JAVA11 unless the projection is SPARK */
    const double *vectors;    /* NULL: drawn from the seed.  Else [num_hash_tables x
                                 num_hashes_per_table x dim], row-major, copied; any finite
                                 values, without offsets: the projection is SPARK.  The seed
                                 and the profile are then not used */
    uint64_t num_hashes_per_table; /* >= 1; a table collides where all of them agree */
    fla_projection projection;
    const fla_call
        *call; /* NULL, or who may cancel the drawing; no threads, no progress */
} fla_model_options;

/* 2.0, 1, 42, JAVA11, NULL, 1, SPARK, NULL */
FLA_API void fla_model_options_init(fla_model_options *options);

/*
 * Draw the hash functions of a model; or take the vectors of options->vectors, which a
 * model that was drawn elsewhere brings along.
 *
 * dim  >= 1; coordinates of a row.
 *
 * Returns FLA_OK, FLA_ERR_ARGUMENT (the value is in the message), FLA_ERR_SHAPE (no dim),
 * FLA_ERR_NONFINITE (err->row, err->column: of the first such value of options->vectors),
 * FLA_ERR_CANCELLED or FLA_ERR_MEMORY.  Costs num_hash_tables * num_hashes_per_table *
 * dim Gaussians, at most 2^26, and 12 bytes each.
 */
FLA_API FLA_CHECKED fla_status fla_model_create(const fla_model_options *options,
                                                size_t dim, fla_model **out,
                                                fla_error *err);
FLA_API void fla_model_free(fla_model *model); /* NULL is fine */

FLA_API size_t fla_model_dim(const fla_model *model);
FLA_API size_t fla_model_tables(const fla_model *model);
FLA_API size_t fla_model_hashes(const fla_model *model); /* of each table */

/* What rows are projected on, [tables x hashes x dim] row-major; valid as long as the
   model. */
FLA_API const double *fla_model_vectors(const fla_model *model);

/* The offsets, [tables x hashes], zeros in Spark's scheme; valid as long as the model. */
FLA_API const double *fla_model_offsets(const fla_model *model);

/*
 * Compute the bucket of every row by every hash function:
 * floor((1 / bucket_length) * (row . vector + offset)), the dot product a sequential
 * chain of fused multiply-adds in double.
 *
 * rows     [n x dim], borrowed for the call.
 * out      [n x tables x hashes], row-major.
 * out_len  elements available at out; must be exactly n * tables * hashes.
 *
 * Returns FLA_OK, or
 *   FLA_ERR_SHAPE      rows->dim is not the model's, or out_len is wrong
 *   FLA_ERR_NONFINITE  err->row, err->column: the first such value; out is unspecified
 *   FLA_ERR_RANGE      err->row: the first row with a bucket beyond int64
 *   FLA_ERR_MEMORY, FLA_ERR_CANCELLED
 */
FLA_API FLA_CHECKED fla_status fla_model_hash(const fla_model *model,
                                              fla_context *context, const fla_call *call,
                                              const fla_matrix *rows, int64_t *out,
                                              size_t out_len, fla_error *err);

/* ---- searching ----------------------------------------------------------------- */

/* How a search goes about it, never what it finds. */
typedef enum fla_plan {
    FLA_PLAN_AUTO,   /* what costs least */
    FLA_PLAN_DENSE,  /* all rows pass the filter, what is left is tested for collision */
    FLA_PLAN_BUCKET, /* rows that share a bucket with a query pass the filter */
    FLA_PLAN_GATHER  /* rows that share a bucket with a query are measured, one by one */
} fla_plan;

typedef struct fla_search_options {
    size_t struct_size;      /* set by fla_search_options_init */
    uint64_t min_collisions; /* hash tables that must collide, each by all its hashes;
                                0: every row is a candidate (exact search), and no
                                model is needed */
    fla_plan plan;           /* the last two need a model and collisions; joins that go on
                                step by step always filter all rows */
    bool strict;             /* joins: distance < threshold, as Spark, instead of <=;
                                radius searches likewise */
    bool upper;              /* joins of rows with themselves: left < right only */
} fla_search_options;

FLA_API void fla_search_options_init(fla_search_options *options); /* 1, false, false */

/* ---- index --------------------------------------------------------------------- */

typedef struct fla_index fla_index;

/*
 * Check rows once for repeated searches: every value finite, every bucket within int64.
 * The rows are borrowed until fla_index_free and must not change.
 *
 * model  NULL for an index that answers exact searches only; else must outlive the index.
 *
 * Returns FLA_OK, FLA_ERR_SHAPE, FLA_ERR_NONFINITE, FLA_ERR_RANGE, FLA_ERR_MEMORY or
 * FLA_ERR_CANCELLED.
 */
FLA_API FLA_CHECKED fla_status fla_index_create(fla_context *context,
                                                const fla_call *call,
                                                const fla_model *model,
                                                const fla_matrix *rows, fla_index **out,
                                                fla_error *err);
FLA_API void fla_index_free(fla_index *index); /* NULL is fine */

/* Bytes of each part of an index; 0 for what it does without. */
typedef struct fla_index_memory {
    size_t struct_size;   /* set by the caller: sizeof(fla_index_memory) */
    uint64_t rows;        /* the borrowed rows */
    uint64_t codes;       /* a byte a coordinate, padded to 4; and 4.1 a row */
    uint64_t short_forms; /* codes of short forms, 4 a row, and their directions */
    uint64_t buckets;     /* a byte a row and hash function */
    uint64_t runs;        /* rows sorted by bucket: 8 a row and hash table */
} fla_index_memory;

FLA_API FLA_CHECKED fla_status fla_index_measure(const fla_index *index,
                                                 fla_index_memory *out, fla_error *err);

/* What a search would do, and why; the times are estimates for one thread. */
typedef struct fla_explanation {
    size_t struct_size;     /* set by the caller: sizeof(fla_explanation) */
    fla_plan plan;          /* DENSE or BUCKET */
    double candidate_share; /* of pairs of a row and a query, from a sample; 1 if exact */
    size_t short_form;      /* coordinates filtered first; 0: all of them */
    size_t row_bytes;       /* read of a row by the filter, at least */
    double dense_seconds;   /* for n_queries queries */
    double bucket_seconds;
} fla_explanation;

/*
 * options  NULL for the defaults.
 *
 * Returns FLA_OK, FLA_ERR_ARGUMENT, FLA_ERR_MEMORY.
 */
FLA_API FLA_CHECKED fla_status fla_index_explain(const fla_index *index,
                                                 fla_context *context, size_t n_queries,
                                                 const fla_search_options *options,
                                                 fla_explanation *out, fla_error *err);

/* ---- nearest neighbors --------------------------------------------------------- */

/*
 * The k nearest candidates of each query among an index's rows, by (distance, row).
 *
 * queries    [q x dim], borrowed for the call.
 * k          >= 1; may pass the number of rows.
 * indices    [q x w], w = min(k, rows of the index); row numbers, -1 past the last.
 * distances  [q x w]; Euclidean: the square root of the sequential double sum of squared
 *            differences, never fused; +inf past the last candidate.
 * out_len    elements available at indices and at distances; must be exactly q * w.
 * counts     [q] or NULL; candidates returned.
 *
 * Returns FLA_OK, FLA_ERR_ARGUMENT (k, or min_collisions without a model), FLA_ERR_SHAPE,
 * FLA_ERR_NONFINITE or FLA_ERR_RANGE (err->argument is "queries"), FLA_ERR_MEMORY,
 * FLA_ERR_CANCELLED.
 */
FLA_API FLA_CHECKED fla_status fla_nearest_neighbors(
    const fla_index *index, fla_context *context, const fla_call *call,
    const fla_matrix *queries, size_t k, const fla_search_options *options,
    int64_t *indices, double *distances, size_t out_len, int64_t *counts, fla_error *err);

/*
 * The same for rows that arrive in blocks, in any order: create, push every block,
 * finish, free.  Rows are numbered by each block's first_row.
 */
typedef struct fla_knn fla_knn;

/*
 * model    NULL when options->min_collisions is 0; else must outlive the knn.
 * queries  [q x dim], borrowed until fla_knn_free; must not change.
 *
 * Returns as fla_nearest_neighbors.
 */
FLA_API FLA_CHECKED fla_status fla_knn_create(fla_context *context, const fla_call *call,
                                              const fla_model *model,
                                              const fla_matrix *queries, size_t k,
                                              const fla_search_options *options,
                                              fla_knn **out, fla_error *err);

/*
 * Search one block.  After any failure the knn can only be freed.  Blocks of 65,536 rows
 * cost about as much as all rows at once; with 2,048 queries and more the first one
 * should have 16,384 rows at least, from which is seen whether their short forms pay.
 *
 * Returns FLA_OK, FLA_ERR_SHAPE, FLA_ERR_NONFINITE or FLA_ERR_RANGE (err->argument is
 * "rows"), FLA_ERR_MEMORY, FLA_ERR_CANCELLED.
 */
FLA_API FLA_CHECKED fla_status fla_knn_push(fla_knn *knn, const fla_call *call,
                                            const fla_matrix *rows, fla_error *err);

/*
 * Write what was found, sorted by (distance, row).
 *
 * width  columns of indices and distances; at least min(k, rows pushed).
 *
 * Returns FLA_OK, FLA_ERR_SHAPE, FLA_ERR_MEMORY, FLA_ERR_CANCELLED.  Once.
 */
FLA_API FLA_CHECKED fla_status fla_knn_finish(fla_knn *knn, const fla_call *call,
                                              size_t width, int64_t *indices,
                                              double *distances, int64_t *counts,
                                              fla_error *err);
FLA_API void fla_knn_free(fla_knn *knn); /* NULL is fine */

/* Bytes of a pushed search, besides those of its queries and rows themselves. */
typedef struct fla_knn_memory {
    size_t struct_size; /* set by the caller: sizeof(fla_knn_memory) */
    uint64_t held;      /* at most, from the first push to fla_knn_free */
    uint64_t passing;   /* at most besides, while a block is pushed */
} fla_knn_memory;

/*
 * What a search would take, so that a caller can choose how many queries stay and how
 * many rows come at a time.
 *
 * model, options  as for fla_knn_create.
 * n_queries, dim  of the queries.
 * n_rows          of the largest block.
 *
 * Held are about 24 bytes a neighbor, 500 a query, 1.4 a coordinate of it and 8 a hash
 * function; 6 MiB and 4 bytes for each coordinate of a block of queries a thread; and of
 * the rows 1.4 bytes a coordinate, as far as their codes take 16 MiB.  Where a model may
 * be searched by buckets, 20 bytes a row and hash table pass, and 8 a hash function.
 *
 * Returns FLA_OK, or FLA_ERR_ARGUMENT as fla_knn_create does.
 */
FLA_API FLA_CHECKED fla_status fla_knn_measure(const fla_context *context,
                                               const fla_model *model, size_t n_queries,
                                               size_t dim, size_t k,
                                               const fla_search_options *options,
                                               size_t n_rows, fla_knn_memory *out,
                                               fla_error *err);

/* ---- neighbors within a radius -------------------------------------------------- */

/* Lists of neighbors, all in one: those of query i are at indptr[i] .. indptr[i + 1] - 1.
 */
typedef struct fla_neighbor_lists {
    size_t queries;
    int64_t *indptr;   /* [queries + 1], from 0 */
    int64_t *indices;  /* [indptr[queries]]; row numbers */
    double *distances; /* [indptr[queries]] */
} fla_neighbor_lists;

FLA_API void fla_neighbor_lists_free(fla_neighbor_lists *lists); /* NULL is fine */

/*
 * All candidates of each query among an index's rows whose distance is at most a radius
 * (below it with options->strict), each list by (distance, row).
 *
 * queries   [q x dim], borrowed for the call.
 * radius    [n_radius], n_radius 1 or q: one for all queries, or one each; >= 0, +inf
 *           means every candidate.
 * out       NULL on failure; the caller frees it with fla_neighbor_lists_free.
 *
 * Memory grows with the number of neighbors returned (32 bytes each on the way, and as
 * many for the longest lists while they are sorted), not with that of candidates.
 *
 * Returns FLA_OK, FLA_ERR_ARGUMENT (radius, err->row is its place; min_collisions without
 * a model), FLA_ERR_SHAPE, FLA_ERR_NONFINITE or FLA_ERR_RANGE (err->argument is
 * "queries"), FLA_ERR_MEMORY, FLA_ERR_CANCELLED.
 */
FLA_API FLA_CHECKED fla_status fla_radius_neighbors(
    const fla_index *index, fla_context *context, const fla_call *call,
    const fla_matrix *queries, const double *radius, size_t n_radius,
    const fla_search_options *options, fla_neighbor_lists **out, fla_error *err);

/* ---- similarity join ----------------------------------------------------------- */

typedef struct fla_pair {
    int64_t left, right;
    double distance;
} fla_pair;

/*
 * Receives pairs in (left, right) order, n >= 1 at a time.  Called by the calling thread.
 * Non-zero stops the join with FLA_ERR_SINK.
 */
typedef int fla_pair_sink(void *arg, const fla_pair *pairs, size_t n);

/*
 * All candidate pairs within threshold, once each, in (left, right) order.
 *
 * right      NULL joins the index with itself: all ordered pairs, (i, i) too, unless
 *            options->upper.
 * threshold  >= 0; +inf means every candidate pair.
 *
 * Memory does not grow with the number of candidates or of pairs.
 *
 * Returns FLA_OK, FLA_ERR_ARGUMENT (threshold; upper with two sides; min_collisions
 * without a model), FLA_ERR_SHAPE, FLA_ERR_MEMORY, FLA_ERR_CANCELLED, FLA_ERR_SINK.
 */
FLA_API FLA_CHECKED fla_status fla_similarity_join(
    const fla_index *left, fla_context *context, const fla_call *call,
    const fla_index *right, double threshold, const fla_search_options *options,
    fla_pair_sink *sink, void *sink_arg, fla_error *err);

/*
 * The same for rows on one side that need no index, and the pairs collected.
 *
 * left, right  [m x dim], borrowed for the call.  The side that is NULL is the index's;
 *              both NULL join the index with itself, which costs half of what the sink
 *              does: a pair is searched from one side only.
 * out          NULL on failure; the caller frees it with fla_pairs_free.
 *
 * Memory grows with the number of pairs: 40 bytes each on the way.
 *
 * Returns as fla_similarity_join, and FLA_ERR_NONFINITE or FLA_ERR_RANGE for rows of the
 * side that is given (err->argument is "left" or "right").
 */
typedef struct fla_pairs {
    size_t n;
    int64_t *left, *right; /* [n] */
    double *distances;     /* [n] */
} fla_pairs;

FLA_API FLA_CHECKED fla_status
fla_pairs_collect(const fla_index *index, fla_context *context, const fla_call *call,
                  const fla_matrix *left, const fla_matrix *right, double threshold,
                  const fla_search_options *options, fla_pairs **out, fla_error *err);
FLA_API void fla_pairs_free(fla_pairs *pairs); /* NULL is fine */

/*
 * Only their number; nothing is kept.
 *
 * rows   [m x dim]; NULL joins the index with itself.
 * count  0 on failure.
 *
 * Returns as fla_pairs_collect, rows being "right".
 */
FLA_API FLA_CHECKED fla_status fla_pairs_count(const fla_index *index,
                                               fla_context *context, const fla_call *call,
                                               const fla_matrix *rows, double threshold,
                                               const fla_search_options *options,
                                               uint64_t *count, fla_error *err);

/*
 * A join that goes on step by step.  Either its left rows are pushed, in blocks of
 * ascending row numbers against right rows that stay: each push meets the whole right
 * side, and its pairs leave before it returns.  Or both sides are there, and pairs are
 * taken as they are wanted.  After any failure it can only be freed.
 */
typedef struct fla_join fla_join;

/*
 * right  [n x dim], borrowed until fla_join_free; must not change.  options->upper
 * compares row numbers: left < right.
 */
FLA_API FLA_CHECKED fla_status fla_join_create(fla_context *context, const fla_call *call,
                                               const fla_model *model,
                                               const fla_matrix *right, double threshold,
                                               const fla_search_options *options,
                                               fla_join **out, fla_error *err);
FLA_API FLA_CHECKED fla_status fla_join_push(fla_join *join, const fla_call *call,
                                             const fla_matrix *left, fla_pair_sink *sink,
                                             void *sink_arg, fla_error *err);

/* Arguments and status as fla_similarity_join; context and indexes must outlive the join.
 */
FLA_API FLA_CHECKED fla_status fla_join_open(const fla_index *left, fla_context *context,
                                             const fla_index *right, double threshold,
                                             const fla_search_options *options,
                                             fla_join **out, fla_error *err);

/*
 * Take the next pairs of a join that was opened, in order.
 *
 * most   how many, at most; >= 1.
 * pairs  valid until the next call on the join.
 * n      0 at the end and after it.
 */
FLA_API FLA_CHECKED fla_status fla_join_next(fla_join *join, const fla_call *call,
                                             size_t most, const fla_pair **pairs,
                                             size_t *n, fla_error *err);
FLA_API void fla_join_free(fla_join *join); /* NULL is fine */

/* ---- count-min sketch ----------------------------------------------------------- */

/*
 * Counts of any number of items in fixed memory: the structure of Cormode and
 * Muthukrishnan (2005), FLA_SKETCH_DEPTH levels of so many 32-bit counters.  An item's
 * estimate is never below its count.  It is above it by more than e / width of all
 * counts together for at most one item in e^4 = 55, in expectation over hash functions;
 * these are fixed, and suit items that were not chosen against them.
 *
 * What a sketch holds depends on what was added alone, not on its order.  Counters stay
 * at 2^32 - 1 when they reach it.  One thread at a time may change a sketch.
 */
typedef struct fla_sketch fla_sketch;

enum {
    FLA_SKETCH_DEPTH = 4,
    FLA_SKETCH_WIDTH = 500000,      /* where nothing else is asked for: 8 MB */
    FLA_SKETCH_MOST_WIDTH = 1 << 28 /* 4 GiB; cells' shares then differ by a sixteenth */
};

/*
 * width  counters of a level, 1 to FLA_SKETCH_MOST_WIDTH.
 *
 * Returns FLA_OK, FLA_ERR_ARGUMENT or FLA_ERR_MEMORY.
 */
FLA_API FLA_CHECKED fla_status fla_sketch_create(uint64_t width, fla_sketch **out,
                                                 fla_error *err);
FLA_API void fla_sketch_free(fla_sketch *sketch); /* NULL is fine */

/* Bytes of its counters: 4 x FLA_SKETCH_DEPTH x width. */
FLA_API uint64_t fla_sketch_bytes(const fla_sketch *sketch);

/* Count an item so many times more. */
FLA_API void fla_sketch_add(fla_sketch *sketch, uint64_t item, uint32_t count);

/* How often an item was counted, at least; 2^32 - 1 stands for that and all above. */
FLA_API uint32_t fla_sketch_estimate(const fla_sketch *sketch, uint64_t item);

/*
 * Count in one sketch what another one has counted as well.
 *
 * Returns FLA_OK or FLA_ERR_SHAPE (other width).
 */
FLA_API FLA_CHECKED fla_status fla_sketch_merge(fla_sketch *sketch,
                                                const fla_sketch *other, fla_error *err);

/*
 * Count rows by their buckets, for fla_sketch_inner.
 *
 * buckets  [n x tables x hashes], as fla_model_hash gives them.
 */
FLA_API void fla_sketch_add_buckets(fla_sketch *sketch, const int64_t *buckets, size_t n,
                                    size_t tables, size_t hashes);

/*
 * The inner product of two sketches' counts, at least: in how many (pair, hash table)
 * rows of two sides collide, if each sketch counted the buckets of one side.  Too much by
 * at most e / width of the product of the sides' totals, but for one case in 55.
 *
 * product  0 on failure.
 *
 * Returns FLA_OK, FLA_ERR_SHAPE (other width) or FLA_ERR_ARGUMENT (the product passes
 * 2^63 - 1, or counters are full).
 */
FLA_API FLA_CHECKED fla_status fla_sketch_inner(const fla_sketch *a, const fla_sketch *b,
                                                uint64_t *product, fla_error *err);

/*
 * In how many (pair, hash table) the rows of two sides collide, from the sizes of their
 * buckets; no pair is looked at.
 *
 * left, right  [n x dim], borrowed for the call; right NULL joins left with itself: all
 *              ordered pairs, (i, i) too.
 * collisions   0 on failure.
 *
 * Costs O(n tables log n), 12 bytes a row and hash table of the larger side and 20 of the
 * smaller.
 *
 * Returns FLA_OK, FLA_ERR_SHAPE, FLA_ERR_NONFINITE or FLA_ERR_RANGE (err->argument is
 * "left" or "right"), FLA_ERR_ARGUMENT (a side of 2^32 - 1 rows or more; the number
 * passes 2^63 - 1), FLA_ERR_MEMORY, FLA_ERR_CANCELLED.
 */
FLA_API FLA_CHECKED fla_status fla_collisions_count(const fla_model *model,
                                                    fla_context *context,
                                                    const fla_call *call,
                                                    const fla_matrix *left,
                                                    const fla_matrix *right,
                                                    uint64_t *collisions, fla_error *err);

/*
 * The pairs of fla_pairs_collect by way of a sketch: it counts in how many hash tables
 * each pair collides, and a pair whose estimate is below min_collisions is not looked at
 * again.  Where the sketch does no longer tell pairs apart, because collisions pass a few
 * times its width, all of them are.
 *
 * left, right  as in fla_collisions_count; options->upper as in fla_pairs_collect.
 * width        of the sketch, as in fla_sketch_create.
 * options      min_collisions >= 1; plan AUTO or GATHER, which it always does.
 * out          NULL on failure; the caller frees it with fla_pairs_free.
 *
 * Memory: the sketch, once for every four threads; 20 bytes a row and hash table of the
 * smaller side, 12 of the larger; and the pairs, 40 bytes each on the way.  It does not
 * grow with the number of colliding pairs.
 *
 * Returns as fla_collisions_count, and FLA_ERR_ARGUMENT for width, threshold and options.
 */
FLA_API FLA_CHECKED fla_status fla_sketch_join(
    const fla_model *model, fla_context *context, const fla_call *call,
    const fla_matrix *left, const fla_matrix *right, double threshold, uint64_t width,
    const fla_search_options *options, fla_pairs **out, fla_error *err);

/* ---- Arrow --------------------------------------------------------------------- */

/* The three structures of the Arrow C data and stream interfaces, as Arrow publishes
 * them. */
#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE

#define ARROW_FLAG_DICTIONARY_ORDERED 1
#define ARROW_FLAG_NULLABLE 2
#define ARROW_FLAG_MAP_KEYS_SORTED 4

struct ArrowSchema {
    const char *format;
    const char *name;
    const char *metadata;
    int64_t flags;
    int64_t n_children;
    struct ArrowSchema **children;
    struct ArrowSchema *dictionary;
    void (*release)(struct ArrowSchema *);
    void *private_data;
};

struct ArrowArray {
    int64_t length;
    int64_t null_count;
    int64_t offset;
    int64_t n_buffers;
    int64_t n_children;
    const void **buffers;
    struct ArrowArray **children;
    struct ArrowArray *dictionary;
    void (*release)(struct ArrowArray *);
    void *private_data;
};
#endif

#ifndef ARROW_C_STREAM_INTERFACE
#define ARROW_C_STREAM_INTERFACE
struct ArrowArrayStream {
    int (*get_schema)(struct ArrowArrayStream *, struct ArrowSchema *out);
    int (*get_next)(struct ArrowArrayStream *, struct ArrowArray *out);
    const char *(*get_last_error)(struct ArrowArrayStream *);
    void (*release)(struct ArrowArrayStream *);
    void *private_data;
};
#endif

/*
 * Take one column out of a record batch (a struct array), with the batch's own offset and
 * length applied to it.
 *
 * schema  the batch's; unchanged.
 * array   the batch; on success its child is moved out, the batch stays the caller's.
 * column  position of the child.
 * out     the column; the caller releases it.
 *
 * Returns FLA_OK or FLA_ERR_ARROW (not a struct, nulls among its rows, no such child,
 * child taken before, sizes that contradict each other).
 */
FLA_API FLA_CHECKED fla_status fla_arrow_take_column(const struct ArrowSchema *schema,
                                                     struct ArrowArray *array,
                                                     size_t column,
                                                     struct ArrowArray *out,
                                                     fla_error *err);

/* What a view of an imported array points into: the array, or a copy. */
typedef struct fla_arrow_memory fla_arrow_memory;

FLA_API void fla_arrow_memory_free(fla_arrow_memory *memory); /* NULL is fine */

/*
 * View an array of vectors as rows.
 *
 * A row is a list, large_list, fixed_size_list, list_view or large_list_view of float16,
 * float32, float64 or integers; lists and numbers may be dictionary-encoded; or one of
 * Spark's vectors, struct<type: int8, size: int32, indices: list<int32>, values:
 * list<double>>, dense (type 1) or sparse (0).  Extension types are read as their
 * storage.
 *
 * Lists of float32 or float64 that follow each other, aligned, are viewed where they are.
 * All else is copied, once: what float32 holds exactly becomes float32, other numbers
 * float64, and 64-bit integers beyond 2^53 are rounded.
 *
 * schema     of the array; not kept.
 * array      moved away on success (a view keeps it, a copy releases it), untouched on
 *            failure.
 * first_row  number of the array's first row, for the view and for errors.
 * out        what the view points into; the caller frees it.
 * view       dim is 0 when there are no rows.
 *
 * Returns FLA_OK, or
 *   FLA_ERR_SHAPE  one number a row
 *   FLA_ERR_TYPE   another type
 *   FLA_ERR_ARROW  sizes and offsets that contradict each other
 *   FLA_ERR_ROW    err->row: the first row that is null, empty, holds a null, is not as
 *                  long as the first, or is no Spark vector (sizes that differ, indices
 *                  that do not ascend within the size)
 *   FLA_ERR_ARGUMENT  first_row is negative or leaves no room for the rows
 *   FLA_ERR_MEMORY
 */
FLA_API FLA_CHECKED fla_status fla_arrow_import_rows(const struct ArrowSchema *schema,
                                                     struct ArrowArray *array,
                                                     int64_t first_row,
                                                     fla_arrow_memory **out,
                                                     fla_matrix *view, fla_error *err);

/*
 * View an array of vectors as fla_arrow_import_rows does, but with rows at fault, those
 * of FLA_ERR_ROW, as NaN.  Numbers that are NaN or infinite stay what they are.
 *
 * dim   length of the rows wanted; 0: that of the first row without a fault whose numbers
 *       are finite.
 * view  dim is 0, and there is no data, when there is no such row.
 *
 * Returns as fla_arrow_import_rows, but for FLA_ERR_ROW and FLA_ERR_ARGUMENT.
 */
FLA_API FLA_CHECKED fla_status fla_arrow_import_rows_filled(
    const struct ArrowSchema *schema, struct ArrowArray *array, size_t dim,
    fla_arrow_memory **out, fla_matrix *view, fla_error *err);

/*
 * View an array of one number a row as a matrix of one row, in place or copied as rows
 * are.
 *
 * Returns as fla_arrow_import_rows; FLA_ERR_SHAPE for lists, FLA_ERR_ROW with the null's
 * position in err->column.
 */
FLA_API FLA_CHECKED fla_status fla_arrow_import_numbers(const struct ArrowSchema *schema,
                                                        struct ArrowArray *array,
                                                        fla_arrow_memory **out,
                                                        fla_matrix *view, fla_error *err);

/* View an array of numbers as fla_arrow_import_numbers does, with NaN for nulls. */
FLA_API FLA_CHECKED fla_status fla_arrow_import_numbers_filled(
    const struct ArrowSchema *schema, struct ArrowArray *array, fla_arrow_memory **out,
    fla_matrix *view, fla_error *err);

typedef enum fla_ids_kind {
    FLA_IDS_INT64,
    FLA_IDS_UINT64,
    FLA_IDS_TEXT, /* UTF-8, which is not checked */
    FLA_IDS_BYTES
} fla_ids_kind;

typedef struct fla_text {
    const char *data; /* not terminated */
    size_t size;
} fla_text;

typedef struct fla_ids {
    fla_ids_kind kind;
    size_t count;
    const void *integers;  /* int64_t or uint64_t, as kind says; else NULL */
    const fla_text *texts; /* of texts and bytes; else NULL */
} fla_ids;

/*
 * Read an array of ids: integers, strings or binaries (of 32 or 64-bit offsets, or
 * views), dictionary-encoded or not.
 *
 * schema, array, out  as of fla_arrow_import_rows.
 *
 * Returns FLA_OK, FLA_ERR_TYPE, FLA_ERR_ARROW, FLA_ERR_MEMORY, or FLA_ERR_ROW for a null,
 * whose position is err->row.
 */
FLA_API FLA_CHECKED fla_status fla_arrow_import_ids(const struct ArrowSchema *schema,
                                                    struct ArrowArray *array,
                                                    fla_arrow_memory **out, fla_ids *view,
                                                    fla_error *err);

typedef enum fla_arrow_type {
    FLA_ARROW_INT64,
    FLA_ARROW_FLOAT32,
    FLA_ARROW_FLOAT64
} fla_arrow_type;

/* One column of a batch to export: values of ours, or an Arrow array passed through. */
typedef struct fla_arrow_column {
    const char *name;    /* UTF-8; copied */
    fla_arrow_type type; /* of the values; ignored when array is set */
    size_t list_size;    /* 0: one value a row; else a list of that many values a row */
    const void *values;  /* [rows] or [rows x list_size], contiguous, aligned */
    struct ArrowSchema
        *schema;              /* set together with array to pass a column through: both */
    struct ArrowArray *array; /* are moved out on success; NULL for values of ours */
} fla_arrow_column;

/*
 * Export columns as a record batch: a struct array and its schema.  No value is copied.
 *
 * rows     of every column; a passed-through array must have that length.
 * release  called with owner exactly once, when the last array that needs the values is
 *          released; from any thread.  May be NULL.  Not called on failure.
 * out_schema, out_array  the caller's to release; either may be NULL.
 *
 * Returns FLA_OK, FLA_ERR_ARGUMENT, FLA_ERR_SHAPE, FLA_ERR_MEMORY.
 */
FLA_API FLA_CHECKED fla_status fla_arrow_export_batch(
    const fla_arrow_column *columns, size_t n_columns, size_t rows,
    void (*release)(void *owner), void *owner, struct ArrowSchema *out_schema,
    struct ArrowArray *out_array, fla_error *err);

/* Where an exported stream gets its batches.  Called from whatever thread reads it. */
typedef struct fla_arrow_source {
    /* Fill *out, or leave out->release NULL at the end.  On failure return an errno value
       and write a message of up to capacity bytes, terminator included. */
    int (*next)(void *arg, struct ArrowArray *out, char *message, size_t capacity);
    void (*release)(void *arg); /* once, when the stream is released; may be NULL */
    void *arg;
} fla_arrow_source;

/*
 * Export batches as a stream.  After its end or a failure, get_next keeps saying so.
 *
 * schema  of every batch; moved into the stream on success.
 * out     the caller's to release.
 *
 * Returns FLA_OK, FLA_ERR_ARGUMENT, FLA_ERR_MEMORY.
 */
FLA_API FLA_CHECKED fla_status fla_arrow_export_stream(struct ArrowSchema *schema,
                                                       const fla_arrow_source *source,
                                                       struct ArrowArrayStream *out,
                                                       fla_error *err);

#ifdef __cplusplus
}
#endif

#endif
