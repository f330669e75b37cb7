"""A description as a short text for people, 80 columns wide."""

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fast_lsh_ann._describe.facts import Buckets, Distances, Norms, Suggestion

if TYPE_CHECKING:
    from fast_lsh_ann.description import Description

_WIDTH = 80
_LABEL = 14


def percent(share: float) -> str:
    """Write a share so that little is not nothing, and most is not all."""
    if 0 < share < 0.001:
        return f"{100 * share:.1g} %"
    if 0.999 < share < 1:
        return f"{100 * share:.4g} %"
    return f"{100 * share:.1f} %"


def summarize(about: "Description") -> str:
    """Write a description."""
    lines = [*_head(about), *_rows(about), *_parameters(about), *_end(about)]
    return "\n".join(lines)


def _wrapped(text: str, indent: int = 2) -> str:
    """Break a text into lines; a path stays whole."""
    return textwrap.fill(
        text,
        _WIDTH,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _line(label: str, text: str) -> str:
    return _wrapped(f"{label:<{_LABEL}}{text}", _LABEL)


def _head(about: "Description") -> Iterator[str]:
    version = "" if about.version is None else f", version {about.version}"
    shape = "" if about.dim is None else f" x {about.dim}"
    yield _wrapped(f"{about.source}{version}: {about.rows:,} rows{shape}, {about.dtype}")
    yield ""


def _rows(about: "Description") -> Iterator[str]:
    kinds = {
        "missing": about.invalid.missing,
        "with NaN": about.invalid.nan,
        "with infinity": about.invalid.infinite,
    }
    parts = [f"{count:,} {kind}" for kind, count in kinds.items() if count]
    yield _line("invalid rows", ", ".join(parts) or "none")
    if about.norms is not None:
        yield _line("norms", _norms(about.norms))
    if about.distances is not None:
        yield _line("distances", _distances(about.distances))
    if about.projection_std is not None:
        ends = min(about.projection_stds), max(about.projection_stds)
        yield _line(
            "projections",
            f"standard deviation {about.projection_std:.3g}, by table {ends[0]:.3g} "
            f"to {ends[1]:.3g}",
        )


def _norms(norms: Norms) -> str:
    spread = norms.spread
    parts = [f"{spread.min:.3g} to {spread.max:.3g}, median {spread.p50:.3g}"]
    if norms.are_one:
        parts.append("all of unit length")
    parts.append(f"centre {norms.of_mean:.3g} from the origin")
    if norms.zero_rows:
        parts.append(f"{norms.zero_rows:,} rows are 0")
    return "; ".join(parts)


def _distances(distances: Distances) -> str:
    text = f"medians: nearest {distances.nearest.p50:.3g}"
    if distances.k > 1:
        text += f", {distances.k}th {distances.kth.p50:.3g}"
    text += f", random pair {distances.random.p50:.3g}"
    if distances.duplicates:
        text += f"; {percent(distances.duplicates)} of the rows have an equal"
    return text


def _parameters(about: "Description") -> Iterator[str]:
    search, distances = about.search, about.distances
    if about.buckets is None:
        return
    yield ""
    chosen = " (suggested)" if about.suggested else ""
    yield _wrapped(f"{about.parameters}{chosen}")
    yield _line("buckets", _buckets(about.buckets))
    if search is None or distances is None:
        return
    yield _line("candidates", f"{percent(search.candidate_share)} of the rows")
    recall = f"{search.recall_nearest:.3f} of nearest neighbors"
    if distances.k > 1:
        recall += f", {search.recall:.3f} of the {distances.k} nearest"
    yield _line("recall", recall)
    if about.suggestion is not None and not about.suggested:
        yield _line("suggested", _suggestion(about.suggestion))
    if about.sharper is not None:
        yield _line("sharper", _suggestion(about.sharper))


def _buckets(buckets: Buckets) -> str:
    tables = buckets.tables
    counts = _ends([f"{n:,}" for n in sorted(table.buckets for table in tables)])
    shares = _ends([percent(s) for s in sorted(table.largest_share for table in tables)])
    counted = "" if buckets.exact else " (of the sample)"
    return f"{counts} a table{counted}; the largest has {shares} of the rows"


def _ends(texts: list[str]) -> str:
    return texts[0] if texts[0] == texts[-1] else f"{texts[0]} to {texts[-1]}"


def _suggestion(best: Suggestion) -> str:
    hashes, collisions = best.num_hashes_per_table, best.min_collisions
    return (
        f"bucket_length={best.bucket_length:g}, num_hash_tables={best.num_hash_tables}"
        + (f", num_hashes_per_table={hashes}" if hashes > 1 else "")
        + (f", min_collisions={collisions}" if collisions > 1 else "")
        + f": recall {best.search.recall:.3f} with "
        f"{percent(best.search.candidate_share)} of the rows as candidates"
    )


def _end(about: "Description") -> Iterator[str]:
    for warning in about.warnings:
        yield ""
        yield _wrapped(f"! {warning}.")
    if about.distances is not None:
        yield ""
        yield _wrapped(_basis(about), 0)


def _basis(about: "Description") -> str:
    """Say what was counted and what was estimated."""
    valid = about.rows - about.invalid.total
    if valid == about.sample_rows:
        return (
            f"Counts, bucket sizes and norms are of all rows; neighbors are those of "
            f"{about.queries:,} random rows among all."
        )
    exact = ", bucket sizes" if about.buckets and about.buckets.exact else ""
    return (
        f"Counts{exact} and the ends of norms are of all rows; the rest is of a random "
        f"sample of {about.sample_rows:,}, and neighbors those of {about.queries:,} rows "
        f"within it.  In all of the table they are nearer, and recall is no lower."
    )
