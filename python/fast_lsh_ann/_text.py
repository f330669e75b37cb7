"""Numbers as people read them."""

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


def bytes_text(size: float) -> str:
    """Write a number of bytes with three digits and a unit, as "1.5 GiB"."""
    power = 0
    while size >= 1000 and power + 1 < len(_UNITS):
        size, power = size / 1024, power + 1
    return f"{size:.3g} {_UNITS[power]}"


def duration_text(seconds: float) -> str:
    """Write a time with two digits or more and a unit, as "12 s", "3.5 min" or "26 h"."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            digits = 0 if seconds >= 10 * size else 1
            return f"{seconds / size:.{digits}f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"
