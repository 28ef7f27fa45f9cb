"""Progress is told to whoever listens, and to nobody else."""

import pytest

from tasks.progress import report, reporting


def test_progress_reaches_whoever_listens_and_only_while_they_do():
    """Nested listeners take turns; an error gives the seat back."""
    heard: list[tuple[str, int, int, str]] = []
    report("nobody", 0, 1)
    with reporting(lambda *what: heard.append(what)):
        report("train", 1, 2)
        with pytest.raises(ZeroDivisionError), reporting(lambda *_: 1 / 0):
            report("hidden", 1, 2)
        report("train", 2, 2, note="all of it")
    report("nobody", 1, 1)
    assert heard == [("train", 1, 2, ""), ("train", 2, 2, "all of it")]
