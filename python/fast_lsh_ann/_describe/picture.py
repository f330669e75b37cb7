"""A description as a picture: sizes of buckets, distances of neighbors."""

import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fast_lsh_ann._describe.buckets import Sizes
from fast_lsh_ann._describe.neighborhoods import Neighborhoods
from fast_lsh_ann._describe.suggestion import candidate_chance
from fast_lsh_ann.errors import MissingDependencyError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fast_lsh_ann.description import Description

# Colours that readers who see few of them tell apart: Okabe and Ito, 2008.
_BLUE, _ORANGE, _GREEN, _BLACK = "#0072B2", "#E69F00", "#009E73", "#000000"
_INCHES = (11.0, 5.0)
_DOTS_PER_INCH = 150
_BINS = 60
# Points of a curve: more are not seen.
_POINTS = 500
# Buckets few enough to be told apart.
_MARKED = 60
# Letters of a table's name that the title has room for.
_LONGEST_NAME = 70


@dataclass(frozen=True, eq=False)
class Pictured:
    """What a picture shows beyond the description.

    Attributes
    ----------
    ranks, sizes : tuple of ndarray
        Points of a curve for each table: ranks of buckets, and their rows.
    distances : ndarray, [q, k]
        To neighbors.
    random : ndarray
        Distances of random pairs.
    """

    ranks: tuple[NDArray[np.int64], ...]
    sizes: tuple[NDArray[np.int64], ...]
    distances: NDArray[np.float64]
    random: NDArray[np.float64]

    @classmethod
    def of(cls, sizes: Sizes | None, near: Neighborhoods | None) -> "Pictured":
        """Keep of sizes, descending, and neighborhoods what is seen."""
        ranks = [_seen_ranks(len(of_table)) for of_table in sizes or ()]
        seen = [s[r - 1] for s, r in zip(sizes or (), ranks, strict=True)]
        distances = near.distances if near else np.empty((0, 0))
        random = near.random if near else np.empty(0)
        return cls(tuple(ranks), tuple(seen), distances, random)


def _seen_ranks(buckets: int) -> NDArray[np.int64]:
    """Give ranks that are evenly spread on a logarithmic axis, both ends among them."""
    spread = np.geomspace(1, max(1, buckets), min(buckets, _POINTS))
    return np.unique(np.rint(spread).astype(np.int64))


def draw(
    about: "Description", pictured: Pictured, path: str | os.PathLike[str] | None
) -> "Figure":
    """Draw a description, and write it to a file if there is one."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError(
            f"plot needs the package matplotlib ({error}); "
            f"install it with: pip install 'fast_lsh_ann[plot]'"
        ) from error
    figure = Figure(figsize=_INCHES, dpi=_DOTS_PER_INCH, layout="constrained")
    sizes, distances = figure.subplots(1, 2)
    _draw_sizes(sizes, about, pictured)
    _draw_distances(distances, about, pictured)
    figure.suptitle(_title(about))
    for axes in (sizes, distances):
        axes.spines[["top", "right"]].set_visible(False)
    if path is not None:
        figure.savefig(path)
    return figure


def _title(about: "Description") -> str:
    source, shape = about.source, "" if about.dim is None else f" x {about.dim}"
    if len(source) > _LONGEST_NAME:
        source = f"...{source[-_LONGEST_NAME:]}"
    return f"{source}: {about.rows:,} rows{shape}\n{about.parameters}"


def _draw_sizes(axes: "Axes", about: "Description", pictured: Pictured) -> None:
    axes.set_title("Rows in each bucket")
    if about.buckets is None:
        _say_nothing(axes, "no bucket length")
        return
    tables = len(pictured.sizes)
    most = max(table.buckets for table in about.buckets.tables)
    for ranks, sizes in zip(pictured.ranks, pictured.sizes, strict=True):
        axes.plot(
            ranks,
            sizes,
            color=_BLUE,
            alpha=max(0.3, min(0.8, 4 / tables)),
            marker="o" if most <= _MARKED else None,
            markersize=4,
        )
    axes.lines[0].set_label(f"one of {tables} hash tables" if tables > 1 else "table")
    counted = "all rows" if about.buckets.exact else "rows of the sample"
    axes.axhline(
        about.buckets.rows,
        color=_BLACK,
        linestyle=":",
        label=f"{counted}: {about.buckets.rows:,}",
    )
    axes.set(xscale="log", yscale="log", ylabel="rows (log)")
    axes.set_xlabel("rank of the bucket, largest first (log)")
    axes.set_xlim(0.8, 1.25 * max(10, most))
    axes.set_ylim(0.7, 2 * max(10, about.buckets.rows))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:,.0f}")
        axis.set_minor_formatter("")
    axes.grid(visible=True, which="major", alpha=0.25)
    _legend_below(axes, columns=1)


def _draw_distances(axes: "Axes", about: "Description", pictured: Pictured) -> None:
    axes.set_title("Distances of neighbors and of random pairs")
    spans = about.distances
    if spans is None or not 0 < spans.random.max < math.inf:
        _say_nothing(axes, "no distances")
        return
    last = 1.02 * max(spans.random.max, spans.kth.p95)
    bins = np.linspace(0, last, _BINS + 1)
    shown = [("nearest neighbor", pictured.distances[:, 0], _BLUE)]
    if spans.k > 1:
        shown.append((f"{spans.k}th neighbor", pictured.distances[:, -1], _GREEN))
    shown.append(("random pair", pictured.random, _ORANGE))
    for label, values, colour in shown:
        share = np.full(len(values), 100 / len(values))
        style: dict[str, Any] = {"bins": bins, "weights": share, "color": colour}
        axes.hist(values, alpha=0.35, label=label, **style)
        axes.hist(values, histtype="step", linewidth=1.2, **style)
    axes.set(xlabel="Euclidean distance", ylabel="% of neighbors or pairs")
    axes.set_xlim(0, last)
    if about.search is not None:
        _draw_chance(axes, about, bins)
    _legend_below(axes, columns=2)


def _draw_chance(axes: "Axes", about: "Description", bins: NDArray[np.float64]) -> None:
    """Draw the chance to be a candidate, and the bucket length as a distance."""
    lsh = about.parameters.estimator()
    dim = about.dim or 1
    distances = np.linspace(0, bins[-1], _POINTS)
    chance = candidate_chance(distances, lsh, dim, about.parameters.min_collisions)
    right = axes.twinx()
    right.plot(distances, 100 * chance, color=_BLACK, linestyle="--")
    right.set(ylim=(0, 105), ylabel="% that are candidates (dashed)")
    right.spines["top"].set_visible(False)
    axes.plot([], [], color=_BLACK, linestyle="--", label="chance to be a candidate")
    scale, factor = (math.sqrt(dim), " x √dim") if lsh.projection == "spark" else (1, "")
    mark = lsh.bucket_length * scale
    label = f"bucket length{factor}: {mark:.3g}"
    if mark <= bins[-1]:
        axes.axvline(mark, color=_BLACK, linestyle=":", label=label)
    else:
        axes.plot([], [], " ", label=f"{label}, beyond")


def _legend_below(axes: "Axes", columns: int) -> None:
    """Put the legend where it hides nothing."""
    place: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.14)}
    axes.legend(frameon=False, fontsize="small", ncols=columns, **place)


def _say_nothing(axes: "Axes", text: str) -> None:
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes)
    axes.set(xticks=[], yticks=[])
