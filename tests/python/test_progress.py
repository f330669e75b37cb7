"""What a progress bar shows, and that it waits until a call has taken a while."""

import sys
from typing import TypeAlias

import pytest
from fast_lsh_ann import _progress
from fast_lsh_ann._progress import reporting

Capture: TypeAlias = pytest.CaptureFixture[str]


class Clock:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(_progress, "time", made)
    return made


@pytest.fixture
def without_tqdm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)


def test_short_work_shows_nothing(clock: Clock, capsys: Capture) -> None:
    with reporting(True, "work") as report:
        assert report is not None
        for done in range(5):
            clock.now += 0.3
            report(done, 5)
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("without_tqdm")
def test_a_line_is_rewritten_now_and_then(clock: Clock, capsys: Capture) -> None:
    with reporting(True, "work") as report:
        assert report is not None
        for seconds, done in (
            (1.9, 100),
            (0.2, 1100),
            (0.1, 1200),
            (0.6, 1500),
            (0, 2000),
        ):
            clock.now += seconds
            report(done, 2000)
    lines = ["work: 1,100 of 2,000 (55 %)", "work: 1,500 of 2,000 (75 %)"]
    lines += ["work: 2,000 of 2,000 (100 %)"]
    assert capsys.readouterr().err == "".join(f"\r{line}" for line in lines) + "\n"


@pytest.mark.usefixtures("without_tqdm")
def test_nothing_to_do_is_all_done(clock: Clock, capsys: Capture) -> None:
    with reporting(True, "work") as report:
        assert report is not None
        clock.now += 3
        report(0, 0)
    assert capsys.readouterr().err == "\rwork: 0 of 0 (100 %)\n"


def test_tqdm_draws_where_it_is_installed(clock: Clock, capsys: Capture) -> None:
    pytest.importorskip("tqdm")
    with reporting(True, "work") as report:
        assert report is not None
        clock.now += 3
        report(700, 2000)
        report(2000, 2000)
    bar = capsys.readouterr().err.split("\r")[-1]
    assert bar.startswith("work: 100%")
    assert "2.00k/2.00k" in bar


def fail_half_way(clock: Clock) -> None:
    with reporting(True, "work") as report:
        assert report is not None
        clock.now += 3
        report(1, 2)
        raise LookupError


@pytest.mark.usefixtures("without_tqdm")
def test_an_error_ends_the_line(clock: Clock, capsys: Capture) -> None:
    with pytest.raises(LookupError):
        fail_half_way(clock)
    assert capsys.readouterr().err.endswith("(50 %)\n")
