/* Arrow schemas that own all they point to: made, and copied from any other. */
#ifndef FLA_ARROW_SCHEMA_H
#define FLA_ARROW_SCHEMA_H

#include "fast_lsh_ann.h"

/*
 * Make a schema of n_children children that are still empty: the caller fills those, or
 * releases the schema as it is.  format and name are copied.  False: out of memory, and
 * out is not written.
 */
bool fla_schema_make(struct ArrowSchema *out, const char *format, const char *name,
                     int64_t flags, size_t n_children);

/* Whether a schema and all below it has what every schema must have. */
bool fla_schema_is_whole(const struct ArrowSchema *schema);

/* Copy a whole schema with all below it, under name.  False: out of memory, out not
 * written. */
bool fla_schema_copy(const struct ArrowSchema *schema, const char *name,
                     struct ArrowSchema *out);

/* Release what a schema still holds; nothing when it was released or never filled. */
void fla_schema_release(struct ArrowSchema *schema);

#endif
