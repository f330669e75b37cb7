"""Plain warnings: what in a table or in parameters will surprise, and what to change."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fast_lsh_ann._describe.text import percent

if TYPE_CHECKING:
    from fast_lsh_ann.description import Description

# Fewer rows are searched exactly in less time than it takes to choose parameters.
_FEW_ROWS = 1000
_ON_SHARPER = (
    ".  The sharper hashes leave so few that buckets would be looked up instead: measure "
    "whether that is faster"
)


def warnings_of(about: "Description") -> tuple[str, ...]:
    """Give the warnings, the most important first."""
    return (*_about_rows(about), *_about_parameters(about), *_about_advice(about))


def _about_rows(about: "Description") -> Iterator[str]:
    valid = about.rows - about.invalid.total
    if about.invalid.total:
        yield (
            f"{about.invalid.total:,} of {about.rows:,} rows are invalid: calls raise "
            f"for them unless on_invalid='skip' leaves them out"
        )
    if valid == 0:
        yield "There are no rows to describe"
    elif valid <= _FEW_ROWS:
        yield (
            f"The rows are few ({valid:,}): exact search takes no time, and shares and "
            f"recalls are rough"
        )
    # More of the squared length is common to all rows than tells them apart.
    if about.norms and about.norms.off_centre**2 > 0.5:
        yield (
            f"The rows lie off centre, their mean is {percent(about.norms.off_centre)} "
            f"as long as they are: judge a bucket_length by the spread of the "
            f"projections, not by the norms"
        )


def _about_parameters(about: "Description") -> Iterator[str]:
    search, distances = about.search, about.distances
    if search is None or distances is None or about.suggested:
        return
    candidates = search.candidate_share * (about.rows - about.invalid.total - 1)
    if search.candidate_share > 0.5:
        yield (
            f"{percent(search.candidate_share)} of the rows are candidates of a row: "
            f"these buckets select next to nothing; shorter ones, more hashes per table "
            f"or more min_collisions select more and find less"
        )
    if candidates < distances.k:
        yield (
            f"A row has {candidates:.2g} candidates on average, fewer than "
            f"{distances.k} neighbors: take a longer bucket_length or more tables"
        )
    if search.recall < about.target_recall:
        yield (
            f"{percent(1 - search.recall)} of the {distances.k} nearest neighbors are no "
            f"candidates and would be missed: take a longer bucket_length or more "
            f"tables, or exact=True"
        )


def _about_advice(about: "Description") -> Iterator[str]:
    best, distances = about.suggestion, about.distances
    if distances is None:
        return
    if distances.random.max == 0:
        yield "The rows of the sample are all equal: there are no neighbors to find"
    elif best is None:
        yield (
            f"No bucket_length was found that reaches a recall of {about.target_recall} "
            f"with these hashes: use fewer hashes per table or min_collisions, or "
            f"exact=True"
        )
    elif best.search.plan == "dense":
        sharper = "" if about.sharper is None else _ON_SHARPER
        yield (
            f"A recall of {about.target_recall} takes "
            f"{percent(best.search.candidate_share)} of the rows as candidates: exact "
            f"search (exact=True) costs about as much here and misses nothing{sharper}"
        )
