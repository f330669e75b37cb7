/* Arrow's list types: where the numbers of a row are. */
#ifndef FLA_ARROW_LISTS_H
#define FLA_ARROW_LISTS_H

#include "arrow/elements.h"

typedef struct fla_lists {
    fla_elements rows;   /* a list each */
    fla_elements values; /* numbers */
    char type;           /* of the numbers */
    char kind;           /* 'l', 'L': offsets; 'v', 'V': offsets and sizes; 'w': width */
    size_t width;        /* of fixed-size lists */
} fla_lists;

/* Whether rows can be lists of this type; out's types are then known. */
bool fla_lists_type(const struct ArrowSchema *schema, fla_lists *out);

/* Read the layouts of lists whose types are known; FLA_ERR_ARROW as fla_layout_read. */
fla_status fla_lists_read(const struct ArrowSchema *schema,
                          const struct ArrowArray *array, fla_lists *out, fla_error *err);

/*
 * Where a row's numbers are among the values, as read once.  FLA_ERR_ARROW when they are
 * not there.
 */
fla_status fla_list_at(const fla_lists *lists, size_t row, bool *null, size_t *start,
                       size_t *length, fla_error *err);

#endif
