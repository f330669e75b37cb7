/* What the Arrow files of the extension share: capsules and errors. */
#ifndef FLA_EXT_ARROW_H
#define FLA_EXT_ARROW_H

#include "ext.h"

/* Names of the PyCapsule protocol. */
#define EXT_SCHEMA "arrow_schema"
#define EXT_ARRAY "arrow_array"
#define EXT_STREAM "arrow_array_stream"

/* Capsules of released structures, to be filled. */
PyObject *ext_new_schema(void);
PyObject *ext_new_array(void);
PyObject *ext_new_stream(void);

/* What a capsule holds; NULL with an exception when it is another's, or was emptied. */
struct ArrowSchema *ext_live_schema(PyObject *module, PyObject *capsule);
struct ArrowArray *ext_live_array(PyObject *module, PyObject *capsule);
struct ArrowArrayStream *ext_live_stream(PyObject *module, PyObject *capsule);

/* Release a stream that may wait for threads that want the GIL; nothing if it was. */
void ext_release_stream(struct ArrowArrayStream *stream);

/* Copy UTF-8 text, cut between characters to what fits in capacity bytes. */
void ext_copy_text(char *out, size_t capacity, const char *text);

/* An error of an Arrow structure with this text, and raising it; the latter gives NULL.
 */
fla_error ext_arrow_error(const char *text);
PyObject *ext_raise_arrow(PyObject *module, const char *text);

#endif
