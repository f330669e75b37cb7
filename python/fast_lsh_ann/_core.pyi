"""The extension: C functions over capsules.  No policy; the package checks and names.

Every function that computes drops the GIL, honours Ctrl-C and raises the classes of
`fast_lsh_ann.errors`.  `rows` arguments are 2-D float32 or float64 buffers in native byte
order whose last axis is contiguous.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

class _Capsule(Protocol): ...

Model: TypeAlias = _Capsule
Index: TypeAlias = _Capsule
Join: TypeAlias = _Capsule
Knn: TypeAlias = _Capsule
Sketch: TypeAlias = _Capsule
StreamReader: TypeAlias = _Capsule
ArrowSchema: TypeAlias = _Capsule  # PyCapsule "arrow_schema"
ArrowArray: TypeAlias = _Capsule  # PyCapsule "arrow_array"
ArrowStream: TypeAlias = _Capsule  # PyCapsule "arrow_array_stream"
Progress: TypeAlias = Callable[[int, int], object] | None
# What view_rows gives: an owner of memory, and where the values are.
Memory: TypeAlias = tuple[_Capsule, int]

__version__: str
SKETCH_DEPTH: int  # levels of a sketch
SKETCH_WIDTH: int  # counters of a level, where nothing else is asked for

# ---- the context ----------------------------------------------------------------------
def set_threads(threads: int, /) -> None: ...  # 0: the default
def simd_info() -> tuple[str, list[str], int]: ...  # chosen tier, tiers here, threads
def register_errors(classes: dict[str, type[BaseException]], /) -> None: ...

# status names in the order of fla_status, FLA_STATUS_END left out
def status_names() -> list[str]: ...

# ---- hashing --------------------------------------------------------------------------
def model_new(
    bucket_length: float,
    num_hash_tables: int,
    seed: int,
    dim: int,
    profile: int,
    num_hashes_per_table: int,
    projection: int,
    /,
) -> Model: ...  # profile and projection as fla_profile and fla_projection count
def model_given(
    bucket_length: float, tables: int, vectors: Any, /
) -> Model: ...  # float64 [tables, dim]

# float64 [tables x hashes x dim] and [tables x hashes]
def model_functions(model: Model, vectors: Any, offsets: Any, /) -> None: ...
def model_hash(
    model: Model, rows: Any, first_row: int, out: Any, progress: Progress, name: str, /
) -> None: ...  # out int64 [n x tables x hashes]

# finite: uint8 [n], 1 for rows without NaN or infinity
def rows_finite(rows: Any, finite: Any, /) -> None: ...

# ---- searching; name: what the caller calls an argument to blame; first_row: number of
# ---- an array's first row in results and errors ----------------------------------------
def index_new(model: Model | None, rows: Any, first_row: int, name: str, /) -> Index: ...
def index_neighbors(
    index: Index,
    queries: Any,
    k: int,
    min_collisions: int,
    plan: int,
    indices: Any,
    distances: Any,
    counts: Any,
    progress: Progress,
    name: str,
    /,
) -> None: ...  # min_collisions 0: exact; plan as fla_plan counts

# fla_index_memory: rows, codes, short_forms, buckets, runs
def index_measure(index: Index, /) -> tuple[int, int, int, int, int]: ...

# fla_explanation: plan, candidate_share, short_form, row_bytes, dense and bucket seconds
def index_explain(
    index: Index, n_queries: int, min_collisions: int, plan: int, /
) -> tuple[int, float, int, int, float, float]: ...

# An index and rows that need none, on the side that is said; None: the index itself.
# Pairs, their owner, and where left int64, right int64 and distances float64 are.
def index_pairs(
    index: Index,
    rows: Any | None,
    first_row: int,
    rows_are_left: bool,
    threshold: float,
    min_collisions: int,
    plan: int,
    strict: bool,
    upper: bool,
    progress: Progress,
    name: str,
    /,
) -> tuple[int, _Capsule, int, int, int]: ...
def index_pair_count(
    index: Index,
    rows: Any | None,
    first_row: int,
    threshold: float,
    min_collisions: int,
    plan: int,
    strict: bool,
    upper: bool,
    progress: Progress,
    name: str,
    /,
) -> int: ...

# A join whose pairs are taken in order, as many as the outputs hold; fewer at the end.
def join_open(
    left: Index,
    right: Index | None,
    threshold: float,
    min_collisions: int,
    plan: int,
    strict: bool,
    upper: bool,
    /,
) -> Join: ...
def join_next(
    join: Join, left: Any, right: Any, distances: Any, progress: Progress, /
) -> int: ...

# Neighbors, their owner, and where indptr int64 [queries + 1], indices int64 and
# distances float64 are.  radius: float64, one or one a query.
def index_radius(
    index: Index,
    queries: Any,
    radius: Any,
    min_collisions: int,
    plan: int,
    strict: bool,
    progress: Progress,
    name: str,
    /,
) -> tuple[int, _Capsule, int, int, int]: ...
def rows_neighbors(
    model: Model | None,
    rows: Any,
    queries: Any,
    k: int,
    min_collisions: int,
    indices: Any,
    distances: Any,
    counts: Any,
    progress: Progress,
    names: tuple[str, str],
    /,
) -> None: ...  # one pass over rows that are not kept as an index

# The same for rows that come in blocks, in any order: `knn_new`, `knn_push` each block,
# `knn_finish`.  A search keeps its queries, and after `knn_push` no rows; one call at a
# time may use it; failed or finished it refuses both with RuntimeError.
def knn_new(
    model: Model | None,
    queries: Any,
    k: int,
    min_collisions: int,
    plan: int,
    name: str,
    /,
) -> Knn: ...
def knn_push(
    knn: Knn, rows: Any, first_row: int, progress: Progress, name: str, /
) -> None: ...

# fla_knn_measure: at most how many bytes such a search holds besides its queries, and how
# many more pass, besides the rows, while a block of n_rows is pushed.
def knn_memory(
    model: Model | None,
    n_queries: int,
    dim: int,
    k: int,
    min_collisions: int,
    plan: int,
    n_rows: int,
    /,
) -> tuple[int, int]: ...

# width: columns of indices and distances, at least min(k, rows pushed)
def knn_finish(
    knn: Knn,
    width: int,
    indices: Any,
    distances: Any,
    counts: Any,
    progress: Progress,
    /,
) -> None: ...

# ---- count-min sketches ----------------------------------------------------------------
# The pairs of two sides, or of the left one with itself, as of index_pairs; the names of
# the sides and of the width.
def sketch_join(
    model: Model,
    left: Any,
    right: Any | None,
    threshold: float,
    min_collisions: int,
    width: int,
    strict: bool,
    upper: bool,
    progress: Progress,
    names: tuple[str, str, str],
    /,
) -> tuple[int, _Capsule, int, int, int]: ...
def collisions_count(
    model: Model, left: Any, right: Any | None, names: tuple[str, str], /
) -> int: ...
def sketch_new(width: int, name: str, /) -> Sketch: ...
def sketch_bytes(sketch: Sketch, /) -> int: ...
def sketch_add_buckets(
    sketch: Sketch, buckets: Any, rows: int, tables: int, hashes: int, /
) -> None: ...  # int64 [rows, tables, hashes]
def sketch_merge(sketch: Sketch, other: Sketch, /) -> None: ...
def sketch_inner(a: Sketch, b: Sketch, /) -> int: ...

# ---- Arrow ----------------------------------------------------------------------------
# Move the stream out of its capsule; the schema of what it gives.
def stream_open(stream: ArrowStream, /) -> tuple[StreamReader, ArrowSchema]: ...

# The next array with its schema; None at the end and after it.
def stream_next(reader: StreamReader, /) -> tuple[ArrowSchema, ArrowArray] | None: ...

# Names and formats of a struct's fields (a dictionary's format where there is one); None
# for any other type.
def schema_fields(schema: ArrowSchema, /) -> list[tuple[str, str]] | None: ...

# Move the columns out of a record batch.
def take_columns(
    schema: ArrowSchema, array: ArrowArray, /
) -> list[tuple[ArrowSchema, ArrowArray]]: ...
def array_length(array: ArrowArray, /) -> int: ...

# Move a column of vectors out of its capsule: memory, rows, dim, "<f4" or "<f8".
# With a `fill_dim` of 0 or more, rows at fault are NaN: fla_arrow_import_rows_filled.
def view_rows(
    schema: ArrowSchema,
    array: ArrowArray,
    first_row: int,
    name: str,
    fill_dim: int = -1,
    /,
) -> tuple[Memory, int, int, str]: ...

# The same for a column of numbers: memory, how many, "<f4" or "<f8".
def view_numbers(
    schema: ArrowSchema, array: ArrowArray, name: str, fill: bool = False, /
) -> tuple[Memory, int, str]: ...

# The same for ids: memory, how many, "<i8" or "<u8"; or texts.
def read_ids(
    schema: ArrowSchema, array: ArrowArray, name: str, /
) -> tuple[Memory, int, str] | list[str] | list[bytes]: ...

# (name, type, list_size, values) or (name, schema, array); the type is "int64", "float32"
# or "float64", a list_size of 0 means one value a row.
Column: TypeAlias = tuple[str, str, int, Any] | tuple[str, ArrowSchema, ArrowArray]

# A record batch that keeps the values' buffers alive; passed capsules are emptied.
def export_batch(
    columns: Sequence[Column], rows: int, /
) -> tuple[ArrowSchema, ArrowArray]: ...

# A stream that calls next_batch under the GIL, from whatever thread reads it.
def export_stream(
    schema: ArrowSchema, next_batch: Callable[[], ArrowArray | None], /
) -> ArrowStream: ...
