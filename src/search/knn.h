/*
 * Nearest neighbors of resident queries among rows that arrive in blocks: what creating,
 * pushing and finishing share.
 */
#ifndef FLA_SEARCH_KNN_H
#define FLA_SEARCH_KNN_H

#include "search/lists.h"
#include "search/scan.h"

/* So many queries repay a row's short form, and sorted runs where a model selects little:
   measured with 128 to 768 dimensions. */
enum { FLA_MANY_QUERIES = 2048 };

enum { FLA_SEED_QUERIES = 4 * FLA_GROUP }; /* a task finds first radii for */

/* How a search of so many queries is split. */
typedef struct fla_knn_split {
    bool share_rows; /* threads share out rows, not queries */
    size_t block;    /* queries of a task */
} fla_knn_split;

typedef struct fla_knn_worker {
    fla_knn *knn;
    size_t slot; /* which of a query's lists this worker fills */
    fla_scan scan;
} fla_knn_worker;

struct fla_knn {
    fla_context *context;
    const fla_model *model; /* NULL: exact */
    fla_search_options options;
    fla_queries queries;
    fla_lists lists;
    fla_knn_split split;
    fla_base pushed; /* what is being pushed; its quantizer outlives a block */
    const fla_quantizer *coded_by; /* the queries; NULL: not coded */
    unsigned coded_fit;            /* and which of its fits */
    bool seeded;
    bool planned, selective; /* whether pushed rows go by buckets: known, and true */
    unsigned threads;
    fla_knn_worker *workers; /* [threads] */
    uint64_t rows_pushed;
    bool failed;
};

fla_knn_split fla_knn_split_queries(size_t queries, unsigned threads);

/* Rows of a block that are coded together, at most. */
size_t fla_knn_piece_rows(size_t dim);

/* Search one block: rows, or those of an index if base is not NULL. */
fla_status fla_knn_push_block(fla_knn *knn, const fla_call *call, const fla_matrix *rows,
                              const fla_base *base, fla_error *err);

/* Describe a failure that rows are not to blame for. */
fla_status fla_knn_fail_run(fla_status status, fla_error *err);

#endif
