/* Arrow out: a stream of record batches that a source gives one by one. */
#include "arrow/schema.h"
#include "base/alloc.h"
#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

typedef struct exported_stream {
    struct ArrowSchema schema;
    fla_arrow_source source;
    bool ended;             /* no call will ask the source again */
    int failure;            /* what the source failed with; 0 while it has not */
    const char *last_error; /* of the last call; NULL when it went well */
    char message[512];      /* the source's, kept for every later call */
} exported_stream;

static int get_schema(struct ArrowArrayStream *stream, struct ArrowSchema *out)
{
    exported_stream *own = stream->private_data;
    const bool done = fla_schema_copy(&own->schema, own->schema.name, out);
    own->last_error = done ? NULL : "out of memory for an Arrow schema";
    return done ? 0 : ENOMEM;
}

/* Ask the source once more, and remember what it says when that is its last word. */
static void ask_source(exported_stream *own, struct ArrowArray *out)
{
    const size_t capacity = sizeof own->message;
    own->failure = own->source.next(own->source.arg, out, own->message, capacity);
    own->ended = own->failure != 0 || out->release == NULL;
    if (own->failure == 0)
        return;
    if (out->release != NULL)
        out->release(out);
    own->message[capacity - 1] = '\0';
    if (own->message[0] == '\0')
        snprintf(own->message, capacity, "the source of the stream failed with errno %d",
                 own->failure);
}

static int get_next(struct ArrowArrayStream *stream, struct ArrowArray *out)
{
    exported_stream *own = stream->private_data;
    memset(out, 0, sizeof *out);
    if (!own->ended)
        ask_source(own, out);
    own->last_error = own->failure != 0 ? own->message : NULL;
    return own->failure;
}

static const char *get_last_error(struct ArrowArrayStream *stream)
{
    const exported_stream *own = stream->private_data;
    return own->last_error;
}

static void release_stream(struct ArrowArrayStream *stream)
{
    exported_stream *own = stream->private_data;
    if (own->source.release != NULL)
        own->source.release(own->source.arg);
    fla_schema_release(&own->schema);
    fla_free(own);
    stream->release = NULL;
}

fla_status fla_arrow_export_stream(struct ArrowSchema *schema,
                                   const fla_arrow_source *source,
                                   struct ArrowArrayStream *out, fla_error *err)
{
    if (!fla_schema_is_whole(schema))
        return fla_fail_argument(
            err, FLA_ERR_ARGUMENT, "schema",
            "the Arrow schema was released or moved before, or lacks "
            "a format or a child");
    exported_stream *own = fla_alloc_zeroed(1, sizeof *own);
    if (own == NULL)
        return fla_fail_memory(err, "an Arrow stream");
    own->schema = *schema; /* ownership passes here */
    schema->release = NULL;
    own->source = *source;
    *out = (struct ArrowArrayStream){get_schema, get_next, get_last_error, release_stream,
                                     own};
    return FLA_OK;
}
