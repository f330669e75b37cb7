/*
 * Arrow structures corrupted at random: whatever becomes of them, they are refused or
 * read within their bounds, and released once.  Sizes of buffers are not part of Arrow's
 * C structures, so a length or an offset of an array only becomes smaller, or so large
 * that no memory holds it; all else becomes anything.  Run under AddressSanitizer.
 */
#include "arrow_made.h"
#include "base/alloc.h"
#include "check.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define N(array) (sizeof(array) / sizeof(array)[0])
#define ROUNDS 200000

enum { ROWS = 6, DIM = 3, VALUES = ROWS * DIM, MOST_NODES = 7 };

/* Every buffer is a block of its own, so that a sanitizer sees its ends. */
typedef struct column {
    node nodes[MOST_NODES];
    int n_nodes;
    void *buffers[3 * MOST_NODES];
    size_t sizes[3 * MOST_NODES];
    int n_buffers;
    int32_t *dims; /* of sparse vectors, which cost memory */
} column;

static uint64_t state;

/* xorshift64, Marsaglia 2003 */
static uint64_t draw(uint64_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % below;
}

static const void *keep(column *c, const void *data, size_t size)
{
    void *block = malloc(size);
    memcpy(block, data, size);
    c->buffers[c->n_buffers] = block;
    c->sizes[c->n_buffers++] = size;
    return block;
}

static node *add_node(column *c, const char *format, size_t length, int64_t n_buffers,
                      const void *data, size_t data_size, const void *more,
                      size_t more_size)
{
    node *made = &c->nodes[c->n_nodes++];
    make_node(made, format, length, n_buffers,
              data != NULL ? keep(c, data, data_size) : NULL,
              more != NULL ? keep(c, more, more_size) : NULL);
    const uint8_t valid[8] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    if (draw(2) == 0)
        made->buffers[0] = keep(c, valid, (length + 7) / 8);
    return made;
}

static node *add_numbers(column *c, size_t n)
{
    static const char *const formats[] = {"c", "S", "f", "g", "l", "e"};
    const double zeros[VALUES + 1] = {0};
    return add_node(c, formats[draw(N(formats))], n, 2, zeros, n * sizeof(double), NULL,
                    0);
}

/* ---- columns of every kind --------------------------------------------------------- */

static node *make_lists(column *c)
{
    int32_t offsets[ROWS + 1];
    int64_t wide[ROWS + 1];
    for (int i = 0; i <= ROWS; i++)
        wide[i] = offsets[i] = i * DIM;
    const bool large = draw(2) == 0;
    node *list =
        add_node(c, large ? "+L" : "+l", ROWS, 2, large ? (const void *)wide : offsets,
                 large ? sizeof wide : sizeof offsets, NULL, 0);
    add_child(list, "item", add_numbers(c, VALUES));
    return list;
}

static node *make_fixed(column *c)
{
    node *list = add_node(c, "+w:3", ROWS, 1, NULL, 0, NULL, 0);
    add_child(list, "item", add_numbers(c, VALUES));
    return list;
}

static node *make_views(column *c)
{
    int32_t offsets[ROWS], sizes[ROWS];
    for (int i = 0; i < ROWS; i++) {
        offsets[i] = (ROWS - 1 - i) * DIM;
        sizes[i] = DIM;
    }
    node *list =
        add_node(c, "+vl", ROWS, 3, offsets, sizeof offsets, sizes, sizeof sizes);
    add_child(list, "item", add_numbers(c, VALUES));
    return list;
}

static node *make_encoded(column *c)
{
    const uint16_t indices[ROWS] = {5, 4, 3, 2, 1, 0};
    node *index = add_node(c, "S", ROWS, 2, indices, sizeof indices, NULL, 0);
    set_dictionary(index, make_lists(c));
    return index;
}

static node *make_vectors(column *c)
{
    const int8_t types[ROWS] = {1, 0, 1, 0, 0, 1};
    const int32_t sizes[ROWS] = {DIM, DIM, DIM, DIM, DIM, DIM};
    const int32_t index_offsets[ROWS + 1] = {0, 0, 1, 1, 3, 3, 3};
    const int32_t value_offsets[ROWS + 1] = {0, 3, 4, 7, 9, 9, 12}, indices[] = {1, 0, 2};
    const double zeros[12] = {0};
    node *rows = add_node(c, "+s", ROWS, 1, NULL, 0, NULL, 0);
    add_child(rows, "type", add_node(c, "c", ROWS, 2, types, sizeof types, NULL, 0));
    node *size = add_node(c, "i", ROWS, 2, sizes, sizeof sizes, NULL, 0);
    c->dims = (int32_t *)(uintptr_t)size->buffers[1];
    add_child(rows, "size", size);
    node *list = add_node(c, "+l", ROWS, 2, index_offsets, sizeof index_offsets, NULL, 0);
    add_child(list, "item", add_node(c, "i", 3, 2, indices, sizeof indices, NULL, 0));
    add_child(rows, "indices", list);
    list = add_node(c, "+l", ROWS, 2, value_offsets, sizeof value_offsets, NULL, 0);
    add_child(list, "item", add_node(c, "g", 12, 2, zeros, sizeof zeros, NULL, 0));
    add_child(rows, "values", list);
    return rows;
}

static node *make_text_views(column *c)
{
    int32_t views[ROWS][4] = {{2}, {12}, {20, 0, 0, 0}, {13, 0, 0, 7}, {0}, {1}};
    const char text[20] = "nineteen characters";
    static const int64_t sizes[1] = {sizeof text}; /* true, as lengths are */
    node *ids = add_node(c, "vu", ROWS, 4, views, sizeof views, text, sizeof text);
    ids->buffers[3] = sizes;
    return ids;
}

static node *(*const makers[])(column *) = {make_lists,   make_fixed,   make_views,
                                            make_encoded, make_vectors, make_text_views};

/* ---- corruption ------------------------------------------------------------------ */

/* Bytes of one buffer become anything, or a number at the edge of something. */
static void corrupt_buffer(column *c)
{
    static const int32_t edges[] = {-1, 0, 1, VALUES, VALUES + 1, INT32_MAX, INT32_MIN};
    const int i = (int)draw((uint64_t)c->n_buffers);
    unsigned char *block = c->buffers[i];
    const size_t size = c->sizes[i], at = draw(size);
    const int32_t edge = edges[draw(N(edges))];
    if (draw(2) == 0 || at % 4 != 0 || at + sizeof edge > size)
        block[at] = (unsigned char)draw(256);
    else
        memcpy(block + at, &edge, sizeof edge);
    for (int row = 0; row < ROWS && c->dims != NULL; row++)
        if (c->dims[row] > 0)
            c->dims[row] &= 0xff;
}

static void corrupt_node(node *n)
{
    static const char *const formats[] = {"+l", "+w:2", "", "c", "+s", "+vL", "u", "+w:"};
    struct ArrowArray *array = &n->array;
    switch (draw(9)) {
        case 0:
            if (array->length > 0 && array->length <= VALUES)
                array->length = (int64_t)draw((uint64_t)array->length);
            break;
        case 1:
            array->length =
                draw(2) == 0 ? -1 - (int64_t)draw(3) : INT64_MAX - (int64_t)draw(3);
            break;
        case 2:
            array->offset =
                draw(2) == 0 ? -1 - (int64_t)draw(3) : INT64_MAX - (int64_t)draw(9);
            break;
        case 3:
            array->n_buffers = (int64_t)draw(4);
            break;
        case 4:
            array->n_children = (int64_t)draw(5) - 1;
            break;
        case 5:
            n->buffers[draw(3)] = NULL;
            break;
        case 6:
            n->child[draw(MADE_CHILDREN)] = NULL;
            break;
        case 7:
            array->null_count = (int64_t)draw(3) - 1;
            break;
        default:
            if (draw(4) == 0)
                n->schema.n_children = (int64_t)draw(5) - 1;
            else if (n->schema.format[0] == '+' && draw(2) == 0)
                n->schema.format = formats[draw(2) == 0 ? 2 : 7];
            else
                array->dictionary = NULL;
    }
}

/* ---- the check -------------------------------------------------------------------- */

static long accepted, refused;

/* Read every number and every text: a sanitizer must have nothing to say. */
static void try_import(node *root)
{
    fla_arrow_memory *memory = NULL;
    fla_matrix view = {0};
    fla_ids ids = {0};
    volatile double sum = 0;
    const bool texts = strcmp(root->schema.format, "vu") == 0;
    const fla_status status =
        texts
            ? fla_arrow_import_ids(&root->schema, &root->array, &memory, &ids, NULL)
            : fla_arrow_import_rows(&root->schema, &root->array, 0, &memory, &view, NULL);
    for (size_t i = 0; i < view.rows * view.dim; i++)
        sum += view.dtype == FLA_F32 ? (double)((const float *)view.data)[i]
                                     : ((const double *)view.data)[i];
    for (size_t i = 0; i < ids.count && ids.texts != NULL && status == FLA_OK; i++)
        for (size_t j = 0; j < ids.texts[i].size; j++)
            sum += ids.texts[i].data[j];
    fla_arrow_memory_free(memory);
    const int want = status == FLA_OK;
    if (root->released != want || fla_test_alloc_live() != 0)
        CHECK(false, "%s, released %d times, %ld blocks left", fla_status_name(status),
              root->released, fla_test_alloc_live());
    if (status == FLA_OK)
        accepted++;
    else
        refused++;
}

static void corrupted_columns_are_refused_or_read_within_bounds(void)
{
    for (uint64_t round = 0; round < ROUNDS; round++) {
        column c = {0};
        state = round * UINT64_C(0x9e3779b97f4a7c15) + 1;
        node *root = makers[round % N(makers)](&c);
        for (uint64_t faults = draw(4); faults > 0; faults--)
            if (draw(2) == 0)
                corrupt_buffer(&c);
            else
                corrupt_node(&c.nodes[draw((uint64_t)c.n_nodes)]);
        try_import(root);
        for (int i = 0; i < c.n_buffers; i++)
            free(c.buffers[i]);
    }
    CHECK(accepted > ROUNDS / 10 && refused > ROUNDS / 10, "%ld accepted, %ld refused",
          accepted, refused);
}

int main(void)
{
    RUN(corrupted_columns_are_refused_or_read_within_bounds);
    return check_report();
}
