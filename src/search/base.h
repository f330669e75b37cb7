/*
 * Base rows, prepared for searches: checked, and coded where that pays.
 *
 * Codes cost a byte a coordinate (padded to 4) and 4.2 a row.  Where short forms pay,
 * they are coded as tiles, at most a third as much again, and the rows themselves as
 * records, but for a sample of tiles.  Buckets, where there is a model, are kept as a
 * byte a hash function if that holds them all and is little beside the codes; else a scan
 * hashes the tiles it needs.
 */
#ifndef FLA_SEARCH_BASE_H
#define FLA_SEARCH_BASE_H

#include "lsh/context.h"
#include "search/prefix.h"
#include "search/runs.h"

/* One coding of all rows. */
typedef struct fla_layer {
    size_t steps;    /* of a row */
    uint8_t *codes;  /* [tiles]: coded tiles, or 64 records each */
    int32_t *bias;   /* [tiles x 64] */
    double residual; /* at least that of any row but exceptions */
} fla_layer;

typedef struct fla_base {
    fla_matrix rows;        /* borrowed */
    const fla_model *model; /* whose buckets must fit; NULL: none */
    size_t tiles;
    bool checked; /* else nothing is known of the rows yet */
    bool coded;   /* else what follows means nothing */
    fla_quantizer quantizer;
    size_t capacity;      /* tiles there is room for */
    fla_layer full;       /* tiles, or records if there are short forms */
    uint64_t *exceptions; /* [tiles]: rows the codes say nothing about (bit r: row r) */
    size_t n_exceptions;
    double length;       /* at least that of any row less the centre, but exceptions */
    fla_prefix prefix;   /* without directions there are no short forms */
    fla_layer brief;     /* tiles of the short forms */
    uint8_t *sample;     /* every FLA_SAMPLED-th tile of the rows, beside records */
    fla_runs runs;       /* empty unless the model selects little */
    uint8_t *buckets;    /* [rows x functions], less bucket_low; NULL: not kept */
    int64_t *bucket_low; /* [functions] */
} fla_base;

enum { FLA_SAMPLED = 16 };

/* An empty base.  Clear it in any case. */
void fla_base_init(fla_base *base, const fla_model *model);
void fla_base_clear(fla_base *base);

/* Take rows without preparing them. */
void fla_base_set(fla_base *base, const fla_matrix *rows);

/* True when rows of this dimension can be coded. */
bool fla_base_can_code(size_t dim);

/*
 * Take rows, check them, and code them if their dimension allows it: with the quantizer
 * of earlier rows as long as that fits them, else it is fitted anew.  After a failure the
 * base can only be cleared.
 *
 * like    what a new fit is for: rows, or with them others that will come.
 * run     its done grows by rows->rows times units.
 * reused  the rows will be searched so much that short forms repay being made.
 *
 * Returns FLA_OK, FLA_ERR_NONFINITE or FLA_ERR_RANGE (without describing it),
 * FLA_ERR_MEMORY or FLA_ERR_CANCELLED.
 */
fla_status fla_base_prepare(fla_base *base, fla_context *context, fla_run *run,
                            const fla_matrix *rows, const fla_matrix *like,
                            uint64_t units, bool reused);

static inline bool fla_base_has_prefix(const fla_base *base)
{
    return base->prefix.directions > 0;
}

static inline const uint8_t *fla_layer_tile(const fla_layer *layer, size_t tile)
{
    return layer->codes + tile * layer->steps * FLA_STEP * FLA_TILE;
}

/* Tiles of the rows' own codes that a sample may use, spread over all; and the i-th. */
size_t fla_base_samples(const fla_base *base);
const uint8_t *fla_base_sample(const fla_base *base, size_t i, const int32_t **bias);

#endif
