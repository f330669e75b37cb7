/* Pairs that one task has found: kept in chunks, so that adding never moves any. */
#include "search/found.h"

#include "base/alloc.h"

/* Doubling from few, as most tasks find few, up to 4 MiB, which are huge pages. */
enum { FIRST_PAIRS = 1 << 6, MOST_PAIRS = 1 << 18 };

static bool add_chunk(fla_found *found)
{
    const size_t twice = found->last != NULL ? 2 * found->last->capacity : FIRST_PAIRS;
    const size_t capacity = fla_size_min(twice, MOST_PAIRS);
    fla_found_chunk *chunk =
        fla_alloc(1, sizeof *chunk + capacity * sizeof chunk->pairs[0]);
    if (chunk == NULL)
        return false;
    chunk->next = NULL;
    chunk->n = 0;
    chunk->capacity = capacity;
    if (found->last != NULL)
        found->last->next = chunk;
    else
        found->first = chunk;
    found->last = chunk;
    return true;
}

bool fla_found_add(fla_found *found, fla_found_pair pair)
{
    if ((found->last == NULL || found->last->n == found->last->capacity) &&
        !add_chunk(found))
        return false;
    found->last->pairs[found->last->n++] = pair;
    return true;
}

void fla_found_clear(fla_found *found)
{
    while (found->first != NULL) {
        fla_found_chunk *next = found->first->next;
        fla_free(found->first);
        found->first = next;
    }
    found->last = NULL;
}
