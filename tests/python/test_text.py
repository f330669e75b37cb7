"""Numbers as people read them."""

import pytest
from fast_lsh_ann._text import bytes_text, duration_text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "0.977 KiB"),
        (1536 << 20, "1.5 GiB"),
        (5 << 50, "5.12e+03 TiB"),
    ],
)
def test_bytes_have_three_digits(size: int, text: str) -> None:
    assert bytes_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 s"),
        (0.0042, "0.0042 s"),
        (9.87, "9.9 s"),
        (119.4, "119 s"),
        (210, "3.5 min"),
        (3000, "50 min"),
        (26 * 3600, "26 h"),
    ],
)
def test_times_have_two_digits_or_more(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
