"""The demonstration: 20,000 English words through every step of the library."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from fast_lsh_ann import _core
from fast_lsh_ann._arrow import frame_batch
from fast_lsh_ann._tables.delta import open_table, require_delta
from fast_lsh_ann._tables.delta_write import write_batches
from fast_lsh_ann._tables.layout import TableLayout
from fast_lsh_ann._tables.output import Output
from fast_lsh_ann.delta import DeltaLSHProcessor
from fast_lsh_ann.delta_utils import read_delta_embeddings
from fast_lsh_ann.errors import DeltaError, ParameterError, TableNotFoundError
from fast_lsh_ann.index import LSHIndex
from fast_lsh_ann.model import BucketedRandomProjectionLSH
from fast_lsh_ann.results import Neighbors

T = TypeVar("T")

_WIDTH = 78
_BUCKET_LENGTH, _TABLES, _SEED = 0.5, 5, 42
_QUERIES = ("monday", "king", "guitar", "coffee", "winter", "physics", "ocean", "soup")
_NEIGHBORS = 4
_THRESHOLD = 2.5
_PAIRS_SHOWN = 14

# Recall is measured on every 20th word, the share of candidates on every 100th.
_RECALL_STEP, _SHARE_STEP, _RECALL_K = 20, 100, 10
# Bucket length, tables, tables that must agree.
_SETTINGS = ((0.5, 1, 1), (0.5, 3, 1), (0.5, 5, 1), (1.0, 5, 1), (0.5, 20, 5))


@dataclass(frozen=True)
class _Words:
    """Words with their vectors, and where a word is."""

    names: list[str]
    vectors: NDArray[Any]
    row: dict[str, int]


def run_demo(data: Path, output: Path) -> None:
    """Run the demonstration and print it.

    Parameters
    ----------
    data : Path
        Folder with ``words20k.npy`` and ``words20k.txt``.
    output : Path
        Folder for the Delta tables ``words`` and ``word_hashes``; a second run replaces
        them.

    Raises
    ------
    ParameterError
        If the data is not in `data`, or `output` has other tables of these names.
    MissingDependencyError
        If deltalake or polars is not installed.
    """
    require_delta()
    words = _load(data)
    table, hash_table = output / "words", output / "word_hashes"
    _refuse_foreign(table, {"word", "embedding"})
    _refuse_foreign(hash_table, {"id", *(f"hash_{t}" for t in range(_TABLES))})

    start = time.perf_counter()
    _print_title(words)
    _write_words(words, table)
    _write_hashes(table, hash_table)
    words = _read_back(table, hash_table)
    index = _search(words)
    _join(words, index)
    _compare(words, index)
    _print_end(table, hash_table, time.perf_counter() - start)


# ---- the steps ------------------------------------------------------------------------


def _print_title(words: _Words) -> None:
    kernels, _, threads = _core.simd_info()
    n, dim = words.vectors.shape
    print(f"fast_lsh_ann {_core.__version__}, {kernels} kernels, {threads} threads\n")
    print(f"{n:,} frequent English words.  GloVe made each a point of {dim} coordinates")
    print("from the company it keeps, so words of like use lie close together.")


def _write_words(words: _Words, table: Path) -> None:
    import polars as pl

    vectors = pl.Series(words.vectors).arr.to_list()
    frame = pl.DataFrame({"word": words.names, "embedding": vectors})
    batches = [frame_batch(frame.rechunk())]
    layout = TableLayout(words.vectors[0].nbytes, ["word"], vectors=True)
    output = Output(table, "overwrite")
    _, seconds = _timed(lambda: write_batches(output, batches, layout=layout))
    _print_step(1, "Write the words as a Delta table", seconds)
    print(f"   {len(words.names):,} rows: word, embedding   ->  {table}")


def _write_hashes(table: Path, hash_table: Path) -> None:
    processor = DeltaLSHProcessor(_BUCKET_LENGTH, _TABLES, _SEED)
    _, seconds = _timed(
        lambda: processor.transform_and_save(table, hash_table, id_column="word")
    )
    _print_step(2, "Hash that table into another one", seconds)
    print(f"   {_TABLES} hash tables, bucket length {_BUCKET_LENGTH}   ->  {hash_table}")
    print("   Each hash table looks at all words from one random direction and cuts what")
    print(f"   it sees into buckets {_BUCKET_LENGTH} wide.  Close words often share one.")


def _read_back(table: Path, hash_table: Path) -> _Words:
    import polars as pl

    (read, hashes), seconds = _timed(
        lambda: (
            read_delta_embeddings(table, id_column="word"),
            pl.read_delta(str(hash_table)),
        )
    )
    vectors, ids = read
    names = [] if ids is None else ids.tolist()
    words = _Words(names, vectors, {name: row for row, name in enumerate(names)})
    stored = hashes.drop("id").to_numpy()
    at = dict(zip(hashes["id"].to_list(), range(len(hashes)), strict=True))
    aligned = stored[[at[name] for name in names]]
    model = BucketedRandomProjectionLSH(_BUCKET_LENGTH, _TABLES, _SEED).fit(vectors)
    if not np.array_equal(aligned, model.transform(vectors)):
        raise DeltaError(f"the hashes stored in {hash_table} are not those of {table}")

    _print_step(3, "Read both tables back", seconds)
    print(f"   {len(aligned):,} stored rows of hashes equal those computed in memory.")
    print("   For example:\n")
    for name in ("monday", "tuesday", "guitar", "drums"):
        buckets = "".join(f"{bucket:5d}" for bucket in aligned[words.row[name]])
        print(f"      {name:<10} buckets {buckets}")
    return words


def _search(words: _Words) -> LSHIndex:
    model = BucketedRandomProjectionLSH(_BUCKET_LENGTH, _TABLES, _SEED).fit(words.vectors)
    rows = [words.row[name] for name in _QUERIES]
    index, index_seconds = _timed(lambda: model.index(words.vectors))
    queries = words.vectors[rows]
    found, seconds = _timed(lambda: index.nearest_neighbors(queries, _NEIGHBORS + 1))
    exact = index.nearest_neighbors(queries, _NEIGHBORS + 1, exact=True)

    _print_step(
        4, f"Find the nearest words of {len(rows)} words", index_seconds + seconds
    )
    print("   Among the words that share a bucket, with their distances:\n")
    hits, truth = _others(found, rows), _others(exact, rows)
    for name, near in zip(_QUERIES, hits, strict=True):
        shown = "".join(f"{words.names[row]:>13} {gap:.2f}" for row, gap in near)
        print(f"   {name:<8}{shown}")
    print()
    missed = [
        f"{words.names[row]} ({name})"
        for name, near, nearest in zip(_QUERIES, hits, truth, strict=True)
        for row, _ in nearest
        if row not in {found_row for found_row, _ in near}
    ]
    if missed:
        _print_wrapped("Nearer, but in no shared bucket: ", missed)
    else:
        print("   Exact search finds the same words.")
    return index


def _join(words: _Words, index: LSHIndex) -> None:
    pairs, seconds = _timed(
        lambda: index.similarity_join(threshold=_THRESHOLD, self_pairs="upper")
    )
    exact, exact_seconds = _timed(
        lambda: index.similarity_join(
            threshold=_THRESHOLD, self_pairs="upper", exact=True
        )
    )
    n = len(words.names)
    _print_step(5, f"Find all pairs of words within distance {_THRESHOLD}", seconds)
    print(f"   {len(pairs):,} pairs out of {n * (n - 1) // 2:,} that there are.")
    print(f"   Exact search finds {len(exact):,}, in {_clock(exact_seconds)}.")
    print("   The closest, no word shown twice:\n")

    shown: list[str] = []
    seen: set[int] = set()
    for left, right, gap in sorted(pairs, key=lambda pair: pair[2]):
        if seen.isdisjoint((left, right)):
            seen |= {left, right}
            pair = f"{words.names[left]} - {words.names[right]}"
            shown.append(f"{gap:.2f}  {pair:<28}")
        if len(shown) == _PAIRS_SHOWN:
            break
    for pair_of_columns in zip(shown[0::2], shown[1::2], strict=False):
        print("   " + "   ".join(pair_of_columns).rstrip())


def _compare(words: _Words, index: LSHIndex) -> None:
    rows = list(range(0, len(words.names), _RECALL_STEP))
    queries = words.vectors[rows]
    exact, exact_seconds = _timed(
        lambda: index.nearest_neighbors(queries, _RECALL_K + 1, exact=True)
    )
    truth = _others(exact, rows)
    results, seconds = _timed(
        lambda: [_measure(words, rows, truth, s) for s in _SETTINGS]
    )

    _print_step(6, "Compare with exact search", exact_seconds + seconds)
    print(
        f"   {len(rows):,} words, {_RECALL_K} neighbors each.  Recall is how many of the"
    )
    print("   true neighbors were found; candidates, how many words hashing leaves.\n")
    print("   bucket length   tables   must agree   candidates   recall      time")
    for (length, tables, agree), (share, recall, took) in zip(
        _SETTINGS, results, strict=True
    ):
        mark = "   as above" if (length, tables) == (_BUCKET_LENGTH, _TABLES) else ""
        print(
            f"   {length:13.2f}   {tables:6d}   {agree:10d}   {share:10.1%}   "
            f"{recall:6.1%}   {_clock(took):>7}{mark}"
        )
    print(
        f"   {'exact search':>13}   {'-':>6}   {'-':>10}   {1:10.1%}   {1:6.1%}   "
        f"{_clock(exact_seconds):>7}"
    )
    print()
    print("   One random direction says little about 100 coordinates: fewer candidates")
    print("   mean more misses.  Many tables of which several must agree do better than")
    print("   few of which one is enough.  Distances are computed first and buckets are")
    print("   compared last, so exact search (exact=True) costs about the same.")


def _print_end(table: Path, hash_table: Path, seconds: float) -> None:
    print(f"\nDone in {seconds:.1f} s.  Each run adds a version to both Delta tables:\n")
    print(f"   {table.resolve()}")
    print(f"   {hash_table.resolve()}")
    print(
        f"""
Try next, in Python:

   import polars as pl
   from fast_lsh_ann import BucketedRandomProjectionLSH, read_delta_embeddings

   vectors, words = read_delta_embeddings({str(table)!r}, id_column="word")
   model = BucketedRandomProjectionLSH(bucket_length=1.0, num_hash_tables=5).fit(vectors)
   index = model.index(vectors)
   row = words.tolist().index("piano")
   [(words[i], d) for i, d in index.nearest_neighbors(vectors[[row]], k=10)[0]]
   pl.DataFrame(index.similarity_join(threshold=2.0, self_pairs="upper"))

Your own table: DeltaLSHProcessor(bucket_length, num_hash_tables).transform_and_save(
"your/table", "your/hashes", embedding_column=..., id_column=...)."""
    )


# ---- helpers --------------------------------------------------------------------------


def _load(folder: Path) -> _Words:
    files = folder / "words20k.npy", folder / "words20k.txt"
    for file in files:
        if not file.is_file():
            raise ParameterError(
                f"there is no {file}: run the demo in a checkout of the project, "
                f"or pass --data with the folder examples/data of one"
            )
    vectors = np.load(files[0]).astype(np.float32)
    names = files[1].read_text(encoding="utf-8").split()
    return _Words(names, vectors, {name: row for row, name in enumerate(names)})


def _refuse_foreign(table: Path, columns: set[str]) -> None:
    """Raise if there is a table that an earlier run did not write."""
    try:
        there = {field.name for field in open_table(table).schema().fields}
    except TableNotFoundError:
        return
    if there != columns:
        raise ParameterError(
            f"{table} is a Delta table with columns {sorted(there)}, which the demo did "
            f"not write; name another folder with --output"
        )


def _measure(
    words: _Words,
    rows: list[int],
    truth: Sequence[Sequence[tuple[int, float]]],
    setting: tuple[float, int, int],
) -> tuple[float, float, float]:
    """Share of candidates, recall and seconds of a search with one setting."""
    length, tables, agree = setting
    model = BucketedRandomProjectionLSH(length, tables, _SEED).fit(words.vectors)
    index = model.index(words.vectors)
    found, seconds = _timed(
        lambda: index.nearest_neighbors(
            words.vectors[rows], _RECALL_K + 1, min_collisions=agree
        )
    )
    right = total = 0
    for near, nearest in zip(_others(found, rows), truth, strict=True):
        right += len({row for row, _ in near} & {row for row, _ in nearest})
        total += len(nearest)
    hashes = model.transform(words.vectors)
    return _candidate_share(hashes, agree), right / total, seconds


def _candidate_share(hashes: NDArray[np.int64], agree: int) -> float:
    shares = [
        np.mean(np.count_nonzero(hashes == query, axis=1) >= agree)
        for query in hashes[::_SHARE_STEP]
    ]
    return float(np.mean(shares))


def _others(found: Neighbors, rows: list[int]) -> list[list[tuple[int, float]]]:
    """Neighbors of rows among themselves, without the row itself."""
    width = found.indices.shape[1] - 1
    return [
        [hit for hit in hits if hit[0] != row][:width]
        for row, hits in zip(rows, found, strict=True)
    ]


def _timed(function: Callable[[], T]) -> tuple[T, float]:
    start = time.perf_counter()
    result = function()
    return result, time.perf_counter() - start


def _clock(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"


def _print_step(number: int, title: str, seconds: float) -> None:
    time_taken = f" {_clock(seconds)}"
    head = f"{number}  {title} "
    print("\n" + head + "." * (_WIDTH - len(head) - len(time_taken)) + time_taken)


def _print_wrapped(start: str, items: list[str]) -> None:
    import textwrap

    text = start + ", ".join(items) + "."
    print(textwrap.fill(text, _WIDTH, initial_indent="   ", subsequent_indent="   "))
