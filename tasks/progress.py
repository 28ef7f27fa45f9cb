"""Who is told how far a long step has come?

Whoever calls ``reporting``: the command line shows bars, a flow run under a worker shows nothing. The reporter
travels in a context variable, so no function in between has to carry it. A note says in words what numbers do not:
which market it is at, how fast it goes.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["Reporter", "report", "reporting"]


Reporter = Callable[[str, int, int, str], None]
"""Told that so many of so many steps of a stage are over: ``(stage, done, total, note)``."""


def _nobody(stage: str, done: int, total: int, note: str) -> None:
    """Nobody is watching."""


_reporter: ContextVar[Reporter] = ContextVar("reporter", default=_nobody)


def report(stage: str, done: int, total: int, *, note: str = "") -> None:
    """Say that ``done`` of ``total`` steps of ``stage`` are over."""
    _reporter.get()(stage, done, total, note)


@contextmanager
def reporting(reporter: Reporter) -> Iterator[None]:
    """Send reports to ``reporter`` while the block runs."""
    token = _reporter.set(reporter)
    try:
        yield
    finally:
        _reporter.reset(token)
