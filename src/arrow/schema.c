/* Arrow schemas that own all they point to: made, and copied from any other. */
#include "arrow/schema.h"

#include "base/alloc.h"

#include <string.h>

/*
 * A schema's private data: one block with, in this order, its children, the dictionary,
 * pointers to the children, format, name and metadata.  Children lie in it as structures
 * only: one that was moved out lives on after its parent.
 */
typedef struct block_sizes {
    size_t n_children, format, name, metadata;
} block_sizes;

void fla_schema_release(struct ArrowSchema *schema)
{
    if (schema->release != NULL)
        schema->release(schema);
}

static void release_block(struct ArrowSchema *schema)
{
    for (int64_t i = 0; i < schema->n_children; i++)
        fla_schema_release(schema->children[i]);
    if (schema->dictionary != NULL)
        fla_schema_release(schema->dictionary);
    fla_free(schema->private_data);
    schema->release = NULL;
}

/* The next number in a metadata text, which has no alignment; negative: malformed. */
static int32_t read_number(const char *metadata, size_t at)
{
    int32_t number;
    memcpy(&number, metadata + at, sizeof number);
    return number;
}

/*
 * Bytes of a metadata text: a number of pairs, then keys and values in turn, each a
 * length and that many bytes.  0 when there is none or a number is negative.
 */
static size_t metadata_size(const char *metadata)
{
    if (metadata == NULL)
        return 0;
    const int32_t pairs = read_number(metadata, 0);
    size_t size = sizeof pairs;
    for (int64_t left = 2 * (int64_t)pairs; left > 0; left--) {
        const int32_t length = read_number(metadata, size);
        if (length < 0)
            return 0;
        size += sizeof length + (size_t)length;
    }
    return pairs < 0 ? 0 : size;
}

static bool block_bytes(const block_sizes *sizes, size_t *out)
{
    size_t bytes;
    return fla_size_add(sizes->n_children, 1, &bytes) &&
           fla_size_mul(bytes, sizeof(struct ArrowSchema) + sizeof(void *), &bytes) &&
           fla_size_add(bytes, sizes->format, &bytes) &&
           fla_size_add(bytes, sizes->name, &bytes) &&
           fla_size_add(bytes, sizes->metadata, out);
}

static char *append(char **end, const char *text, size_t size)
{
    if (size == 0)
        return NULL;
    char *start = memcpy(*end, text, size);
    *end += size;
    return start;
}

/* A node like another, whose children and dictionary are still empty. */
static bool make_like(const struct ArrowSchema *like, bool dictionary,
                      struct ArrowSchema *out)
{
    const block_sizes sizes = {
        (size_t)like->n_children,
        strlen(like->format) + 1,
        like->name == NULL ? 0 : strlen(like->name) + 1,
        metadata_size(like->metadata),
    };
    size_t bytes;
    struct ArrowSchema *block = NULL;
    if (block_bytes(&sizes, &bytes))
        block = fla_alloc_zeroed(1, bytes);
    if (block == NULL)
        return false;
    struct ArrowSchema **pointers = (struct ArrowSchema **)(block + sizes.n_children + 1);
    for (size_t i = 0; i < sizes.n_children; i++)
        pointers[i] = block + i;
    char *text = (char *)(pointers + sizes.n_children);
    out->format = append(&text, like->format, sizes.format);
    out->name = append(&text, like->name, sizes.name);
    out->metadata = append(&text, like->metadata, sizes.metadata);
    out->flags = like->flags;
    out->n_children = like->n_children;
    out->children = pointers;
    out->dictionary = dictionary ? block + sizes.n_children : NULL;
    out->private_data = block;
    out->release = release_block;
    return true;
}

bool fla_schema_make(struct ArrowSchema *out, const char *format, const char *name,
                     int64_t flags, size_t n_children)
{
    const struct ArrowSchema like = {
        .format = format,
        .name = name,
        .flags = flags,
        .n_children = (int64_t)n_children,
    };
    return make_like(&like, false, out);
}

bool fla_schema_is_whole(const struct ArrowSchema *schema)
{
    if (schema == NULL || schema->release == NULL || schema->format == NULL ||
        schema->n_children < 0 || (schema->n_children > 0 && schema->children == NULL))
        return false;
    for (int64_t i = 0; i < schema->n_children; i++)
        if (!fla_schema_is_whole(schema->children[i]))
            return false;
    return schema->dictionary == NULL || fla_schema_is_whole(schema->dictionary);
}

bool fla_schema_copy(const struct ArrowSchema *schema, const char *name,
                     struct ArrowSchema *out)
{
    struct ArrowSchema copy, like = *schema;
    like.name = name;
    if (!make_like(&like, schema->dictionary != NULL, &copy))
        return false;
    bool done = true;
    for (int64_t i = 0; done && i < schema->n_children; i++) {
        const struct ArrowSchema *child = schema->children[i];
        done = fla_schema_copy(child, child->name, copy.children[i]);
    }
    if (done && schema->dictionary != NULL)
        done = fla_schema_copy(schema->dictionary, schema->dictionary->name,
                               copy.dictionary);
    if (done)
        *out = copy;
    else
        release_block(&copy);
    return done;
}
