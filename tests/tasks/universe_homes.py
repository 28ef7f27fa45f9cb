"""Homes whose universe follows turnover: a lake each, rules of their own, one database for each module."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from infra.bootstrap import App, open_app
from infra.database import database_url
from market.candles import Candles
from market.timeframe import DAY_MS
from tests.infra.lake_data import JANUARY_31, walk

MakeHome = Callable[..., App]
_RULES = count()


def day(n: float) -> int:
    """Start of the ``n``-th day of these lakes."""
    return JANUARY_31 + int(n * DAY_MS)


def traded(symbol: str, first: float, end: float, *, scale: float = 1.0, seed: int = 0) -> Candles:
    """A walk over ``[day(first), day(end))`` with its volumes multiplied."""
    bars = walk(int((end - first) * 288), symbol=symbol, start_ms=day(first), seed=seed)
    return replace(bars, volume=bars.volume * scale)


def cut(candles: Candles, keep: np.ndarray) -> Candles:
    """Only these bars."""
    names = ("open_time", "open", "high", "low", "close", "volume")
    return replace(candles, **{name: getattr(candles, name)[keep] for name in names})


@pytest.fixture
def make_home(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[MakeHome]:
    """Open a home under these settings (``universe__top_n=3``), also for code that opens it by itself.

    Each home excludes another market that does not exist: its rule, and so its universe, is its own.
    """
    with ExitStack() as stack:

        def make(name: str = "home", **settings: object) -> App:
            values = {"universe__mode": "turnover", "universe__min_age_days": 0, **settings}
            values["universe__exclude"] = f"NONE{next(_RULES)}USDT"
            values["database__url"] = database_url(app.engine, request.module.__name__.rpartition(".")[2])
            environ = {f"LOCKSTEP_{key.upper()}": str(value) for key, value in values.items()}
            for key, value in environ.items():
                monkeypatch.setenv(key, value)
            return stack.enter_context(open_app(tmp_path / name, environ=environ))

        yield make


__all__ = ["MakeHome", "cut", "day", "make_home", "traded"]
