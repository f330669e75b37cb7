/* Elements of an Arrow array, which may be named by the indices of a dictionary. */
#ifndef FLA_ARROW_ELEMENTS_H
#define FLA_ARROW_ELEMENTS_H

#include "arrow/layout.h"

typedef struct fla_elements {
    fla_layout slots; /* as many as the array is long: the elements, or their indices */
    fla_layout items; /* the elements themselves, the dictionary's where there is one */
    char index;       /* number type of the indices; 0: there is no dictionary */
} fla_elements;

/* The schema of what the elements are: the dictionary's where there is one.  NULL when
   the schema is missing, the indices are no integers, or dictionaries are nested. */
const struct ArrowSchema *fla_elements_schema(const struct ArrowSchema *schema);

/*
 * Read the layouts of an array whose elements have the shape of items.
 *
 * schema   one that fla_elements_schema knows.
 * item_of  receives the array that the elements lie in; may be NULL.
 */
fla_status fla_elements_read(const struct ArrowSchema *schema,
                             const struct ArrowArray *array, fla_array_shape items,
                             fla_elements *out, const struct ArrowArray **item_of,
                             fla_error *err);

typedef enum fla_found { FLA_FOUND, FLA_FOUND_NULL, FLA_FOUND_NOTHING } fla_found;

/* Where element i is among the items; nothing: its index is outside the dictionary. */
fla_found fla_element_find(const fla_elements *elements, size_t i, size_t *item);

/* FLA_ERR_ARROW: element i's index is outside the dictionary. */
fla_status fla_element_fail(const fla_elements *elements, const char *argument, size_t i,
                            fla_error *err);

/*
 * Position of the first null among count elements from start; count: there is none.
 * FLA_ERR_ARROW when an index before it is outside the dictionary.
 */
fla_status fla_elements_first_null(const fla_elements *elements, const char *argument,
                                   size_t start, size_t count, size_t *null,
                                   fla_error *err);

/*
 * Write count numbers from start as fla_number_target says.  They are known to be there
 * and not null; should their indices change meanwhile, the numbers do, not the bounds.
 */
void fla_elements_convert(const fla_elements *elements, char type, size_t start,
                          size_t count, void *out);

#endif
