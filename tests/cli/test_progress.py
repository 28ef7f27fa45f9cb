"""A log shows how far a step has come, without filling up."""

import io

import pytest
from rich.console import Console

from cli.progress import plain_lines, progress_bars
from tasks.progress import report, reporting


def lines_of(reports, *, every_s):
    """What is written when these reports come so many seconds apart."""
    written = io.StringIO()
    now = 0.0

    def clock_s():
        nonlocal now
        now += every_s
        return now

    with reporting(plain_lines(Console(file=written, width=200, soft_wrap=True), clock_s=clock_s)):
        for stage, done, total, note in reports:
            report(stage, done, total, note=note)
    return written.getvalue().splitlines()


def test_a_short_step_is_two_lines():
    """It begins and it ends, however often it reports."""
    reports = [("features", done, 1000, "") for done in range(1001)]
    assert lines_of(reports, every_s=0.001) == ["features ... (1,000)", "features: done"]


def test_a_long_step_is_a_line_every_tenth():
    """With what is left of it and where it is; brackets in a note are no markup."""
    reports = [("bars", done, 1000, f"[{done}] at BTCUSDT") for done in range(1001)]
    lines = lines_of(reports, every_s=1.0)
    assert len(lines) == 2 + 9
    assert lines[5] == "bars ... (50 %, about 8 min left, [500] at BTCUSDT)"


def test_slow_steps_of_which_there_are_few_are_told_one_by_one():
    """Two of three markets after two hours: one more hour."""
    reports = [("symbols", done, 3, "") for done in range(4)]
    assert lines_of(reports, every_s=3600.0) == [
        "symbols ... (3)",
        "symbols ... (30 %, about 2 h left)",
        "symbols ... (60 %, about 1 h left)",
        "symbols: done",
    ]


def test_an_empty_step_is_done_at_once():
    """Nothing to do divides by nothing."""
    assert lines_of([("bars", 0, 0, "")], every_s=1.0) == ["bars ... (0)", "bars: done"]


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]):
    """Not a line on either stream."""
    with progress_bars(quiet=True):
        report("bars", 0, 1)
        report("bars", 1, 1)
    assert capsys.readouterr() == ("", "")
