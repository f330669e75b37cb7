/*
 * Arrow arrays made by hand, one node a level: schema, array, buffers, and how often it
 * was released.  A node may be changed at will before it is imported.
 */
#ifndef FLA_TESTS_ARROW_MADE_H
#define FLA_TESTS_ARROW_MADE_H

#include "fast_lsh_ann.h"

#include <string.h>

enum { MADE_BUFFERS = 5, MADE_CHILDREN = 4 };

typedef struct node {
    struct ArrowSchema schema;
    struct ArrowArray array;
    const void *buffers[MADE_BUFFERS]; /* validity first */
    struct ArrowSchema *field[MADE_CHILDREN];
    struct ArrowArray *child[MADE_CHILDREN];
    int released;
} node;

static inline void made_keep_schema(struct ArrowSchema *schema)
{
    schema->release = NULL;
}

static inline void made_count_release(struct ArrowArray *array)
{
    node *own = array->private_data;
    for (int i = 0; i < MADE_CHILDREN; i++)
        if (own->child[i] != NULL && own->child[i]->release != NULL)
            own->child[i]->release(own->child[i]);
    if (own->array.dictionary != NULL && own->array.dictionary->release != NULL)
        own->array.dictionary->release(own->array.dictionary);
    own->released++;
    array->release = NULL;
}

/* A node of length elements, n_buffers buffers, of which the second and third are given,
   and no children. */
static inline void make_node(node *out, const char *format, size_t length,
                             int64_t n_buffers, const void *data, const void *more)
{
    memset(out, 0, sizeof *out);
    out->schema = (struct ArrowSchema){
        .format = format, .children = out->field, .release = made_keep_schema};
    out->buffers[1] = data;
    out->buffers[2] = more;
    out->array = (struct ArrowArray){
        .length = (int64_t)length,
        .n_buffers = n_buffers,
        .buffers = out->buffers,
        .children = out->child,
        .release = made_count_release,
        .private_data = out,
    };
}

static inline void add_child(node *parent, const char *name, node *child)
{
    const int64_t i = parent->array.n_children++;
    parent->schema.n_children++;
    child->schema.name = name;
    parent->field[i] = &child->schema;
    parent->child[i] = &child->array;
}

static inline void set_dictionary(node *indices, node *dictionary)
{
    indices->schema.dictionary = &dictionary->schema;
    indices->array.dictionary = &dictionary->array;
}

#endif
