"""Panels of curves as a picture, times on a logarithmic axis."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("pictures")

# A contender looks the same in every panel; ours comes first.
COLORS = ["#c0392b", "#2c6fbb", "#3a8f4d", "#8a5fb0", "#c98a1b", "#5c6670"]
MARKS = "os^DvP"


@dataclass(frozen=True)
class Panel:
    """Curves of (x, seconds) by contender."""

    title: str
    x: str
    curves: Mapping[str, Sequence[tuple[float, float]]]
    linear_x: bool = False


def draw(name: str, panels: Sequence[Panel]) -> Path:
    """Write bench/pictures/<name>.png."""
    import matplotlib.figure  # here, so that tables need no matplotlib

    columns = min(3, len(panels))
    height = math.ceil(len(panels) / columns)
    figure = matplotlib.figure.Figure(
        figsize=(4.2 * columns, 3.5 * height + 0.5), dpi=110, layout="constrained"
    )
    axes = figure.subplots(height, columns, squeeze=False).ravel()
    labels = list(dict.fromkeys(label for panel in panels for label in panel.curves))
    handles: dict[str, Any] = {}
    for panel, axis in zip(panels, axes, strict=False):
        for label, points in panel.curves.items():
            place = labels.index(label)
            style = {"color": COLORS[place % len(COLORS)], "marker": MARKS[place % 6]}
            (handles[label],) = axis.plot(
                *zip(*points, strict=True), **style, markersize=4.5, linewidth=1.6
            )
        scale_axes(panel, axis)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    shown = [handles[label] for label in labels]
    columns = min(len(labels), columns + 1)
    figure.legend(shown, labels, loc="outside lower center", ncols=columns, frameon=False)
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.png"
    figure.savefig(path)
    return path


def scale_axes(panel: Panel, axis: Any) -> None:
    """Ticks at the sizes that were measured, and at 1, 10, 100 of a unit of time."""
    import matplotlib.ticker

    axis.set_title(panel.title, fontsize=10.5)
    axis.set_xlabel(panel.x)
    axis.set_yscale("log")
    seconds = [y for points in panel.curves.values() for _, y in points]
    axis.set_ylim(decade(min(seconds), math.floor), decade(max(seconds), math.ceil))
    axis.yaxis.set_major_formatter(matplotlib.ticker.EngFormatter("s"))
    axis.yaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
    if not panel.linear_x:
        axis.set_xscale("log")
        sizes = sorted({x for points in panel.curves.values() for x, _ in points})
        axis.set_xticks(sizes, [short(x) for x in sizes], fontsize=8.5)
        axis.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    axis.grid(True, which="major", color="#d8d8d8", linewidth=0.7)
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_axisbelow(True)


def decade(seconds: float, rounded: Any) -> float:
    return 10.0 ** int(rounded(math.log10(seconds)))


def short(size: float) -> str:
    for unit, name in ((1e6, "M"), (1e3, "K")):
        if size >= unit and size % unit == 0:
            return f"{size / unit:g}{name}"
    return f"{size:g}"
