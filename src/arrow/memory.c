/* What a view of an imported array points into. */
#include "arrow/memory.h"

#include "base/alloc.h"

struct fla_arrow_memory {
    struct ArrowArray array; /* release is NULL when it is not kept */
    void *copy;              /* of values that could not be viewed; else NULL */
};

fla_arrow_memory *fla_arrow_memory_new(void)
{
    return fla_alloc_zeroed(1, sizeof(fla_arrow_memory));
}

void *fla_arrow_memory_copy(fla_arrow_memory *memory, size_t count, size_t size,
                            bool zeroed)
{
    memory->copy = zeroed ? fla_alloc_zeroed(count, size) : fla_alloc(count, size);
    return memory->copy;
}

bool fla_arrow_memory_copied(const fla_arrow_memory *memory)
{
    return memory->copy != NULL;
}

void fla_arrow_memory_take(fla_arrow_memory *memory, struct ArrowArray *array, bool kept)
{
    if (kept) {
        memory->array = *array; /* ownership passes here */
        array->release = NULL;
    } else {
        array->release(array);
    }
}

void fla_arrow_memory_free(fla_arrow_memory *memory)
{
    if (memory == NULL)
        return;
    if (memory->array.release != NULL)
        memory->array.release(&memory->array);
    fla_free(memory->copy);
    fla_free(memory);
}
