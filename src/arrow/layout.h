/* One Arrow array's sizes and buffers, read once and checked against each other. */
#ifndef FLA_ARROW_LAYOUT_H
#define FLA_ARROW_LAYOUT_H

#include "fast_lsh_ann.h"

typedef struct fla_layout {
    size_t offset, length;      /* their sum, times 16 bytes, fits in memory */
    const uint8_t *validity;    /* a bit per element from 0, not from offset; or NULL */
    const unsigned char *data;  /* the buffer after the validity bitmap; may be NULL */
    const unsigned char *more;  /* the one after that; may be NULL */
    const void *const *buffers; /* all of them */
    size_t n_buffers;
} fla_layout;

/* What an array of one type consists of. */
typedef struct fla_array_shape {
    const char *argument; /* what errors blame; may be NULL */
    const char *what;
    int64_t n_buffers, n_children;
    bool more_buffers; /* n_buffers is the least there may be */
} fla_array_shape;

/* FLA_OK, or FLA_ERR_ARROW when the array cannot be of that shape; out is then garbage.
 */
fla_status fla_layout_read(const struct ArrowArray *array, fla_array_shape want,
                           fla_layout *out, fla_error *err);

/* Position of the first null among count elements from start; count: there is none. */
size_t fla_layout_first_null(const fla_layout *array, size_t start, size_t count);

/* A schema's format; "" when there is none. */
const char *fla_schema_format(const struct ArrowSchema *schema);

/* Child i of a schema that counts at least i + 1; NULL when it is missing. */
const struct ArrowSchema *fla_schema_child(const struct ArrowSchema *schema, size_t i);

#endif
