/* What a view of an imported array points into. */
#ifndef FLA_ARROW_MEMORY_H
#define FLA_ARROW_MEMORY_H

#include "fast_lsh_ann.h"

/* Memory that owns nothing yet; NULL: out of memory. */
fla_arrow_memory *fla_arrow_memory_new(void);

/* Room for a copy, which memory owns; NULL: out of memory.  Once for each memory. */
void *fla_arrow_memory_copy(fla_arrow_memory *memory, size_t count, size_t size,
                            bool zeroed);

bool fla_arrow_memory_copied(const fla_arrow_memory *memory);

/* Take the array over: kept if the view points into it, else released at once. */
void fla_arrow_memory_take(fla_arrow_memory *memory, struct ArrowArray *array, bool kept);

#endif
