"""Which times a source has answered for."""

import time
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from infra.fetched_windows import (
    FetchedWindow,
    fetched,
    fetched_many,
    mark_fetched,
    mark_many,
    unfetched,
    unfetched_many,
)
from infra.sources.protocol import Kind


@pytest.fixture
def symbol() -> str:
    """A market no other test knows."""
    return f"T{uuid4().hex[:12].upper()}"


def window(symbol: str, start_ms: int, end_ms: int, *, source: str = "venue") -> FetchedWindow:
    """Candles of 5 minutes."""
    return FetchedWindow(
        symbol=symbol, kind=Kind.CANDLES, timeframe="5m", source=source, start_ms=start_ms, end_ms=end_ms
    )


def mark(engine: Engine, symbol: str, start_ms: int, end_ms: int, *, source: str = "venue") -> None:
    """One answered window."""
    mark_fetched(
        engine, symbol=symbol, kind=Kind.CANDLES, timeframe="5m", source=source, start_ms=start_ms, end_ms=end_ms
    )


def held(engine: Engine, symbol: str, *, source: str | None = None) -> tuple[tuple[int, int], ...]:
    """What is remembered of the candles."""
    return fetched(engine, symbol=symbol, kind="candles", timeframe="5m", source=source)


def test_windows_that_overlap_or_touch_become_one(engine, symbol):
    """Unions merge, neighbours join, a window apart stays apart; an empty or inverted one leaves no trace."""
    mark(engine, symbol, 100, 200)
    mark(engine, symbol, 200, 300)
    mark(engine, symbol, 250, 350)
    mark(engine, symbol, 900, 1000)
    mark(engine, symbol, 500, 500)
    mark(engine, symbol, 700, 600)
    assert held(engine, symbol) == ((100, 350), (900, 1000))


def test_what_was_never_answered_for_is_left_over(engine, symbol):
    """Subtracting the answered windows leaves the holes between them, oldest first, and nothing inside them."""
    mark(engine, symbol, 100, 200)
    mark(engine, symbol, 300, 400)
    asked = {"symbol": symbol, "kind": "candles", "timeframe": "5m", "source": "venue"}
    assert unfetched(engine, **asked, start_ms=0, end_ms=500) == ((0, 100), (200, 300), (400, 500))
    assert unfetched(engine, **asked, start_ms=110, end_ms=190) == ()
    assert unfetched(engine, **asked, start_ms=150, end_ms=150) == ()
    assert unfetched(engine, **asked | {"kind": "funding"}, start_ms=0, end_ms=50) == ((0, 50),)


def test_each_source_answers_for_itself_and_all_together(engine, symbol):
    """A source is not spared what another one answered; without a source the union over all counts."""
    mark(engine, symbol, 0, 100, source="binanceusdm")
    mark(engine, symbol, 50, 150, source="bybit")
    assert held(engine, symbol, source="bybit") == ((50, 150),)
    assert held(engine, symbol) == ((0, 150),)
    assert unfetched(
        engine, symbol=symbol, kind="candles", timeframe="5m", source="binanceusdm", start_ms=0, end_ms=150
    ) == ((100, 150),)


def test_many_symbols_answer_in_the_order_asked(engine, symbol):
    """One call marks the same symbol twice and others once; answers keep their place, empty questions included."""
    other = f"{symbol}X"
    mark_many(engine, [window(symbol, 0, 10), window(other, 5, 6), window(symbol, 10, 20)])
    asked = [window(other, 0, 10), window(symbol, 3, 3), window(symbol, 0, 30), window(f"{symbol}Y", 1, 2)]
    assert unfetched_many(engine, asked) == (((0, 5), (6, 10)), (), ((20, 30),), ((1, 2),))
    assert fetched_many(engine, symbols=[other, f"{symbol}Y", symbol], kind="candles", timeframe="5m") == {
        other: ((5, 6),),
        f"{symbol}Y": (),
        symbol: ((0, 20),),
    }
    mark_many(engine, [])
    assert unfetched_many(engine, []) == ()


def test_writers_at_once_lose_nothing(engine, symbol):
    """Twenty threads that mark interleaved parts of the same two symbols, in opposite orders, end with the whole."""

    def write(k: int) -> None:
        pair = [window(symbol, 10 * k, 10 * k + 10), window(f"{symbol}B", 10 * k, 10 * k + 10)]
        mark_many(engine, pair if k % 2 else pair[::-1])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(20)))
    assert held(engine, symbol) == held(engine, f"{symbol}B") == ((0, 200),)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spans=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12)), max_size=8))
def test_the_answer_is_that_of_a_set_of_points(engine, spans):
    """Against sets of whole milliseconds: fetched and unfetched split every window between them."""
    symbol = f"T{uuid4().hex[:12].upper()}"
    mark_many(engine, [window(symbol, start, start + length) for start, length in spans])
    points = {t for start, length in spans for t in range(start, start + length)}
    assert {t for start, end in held(engine, symbol) for t in range(start, end)} == points
    left = unfetched_many(engine, [window(symbol, 0, 60)])[0]
    assert {t for start, end in left for t in range(start, end)} == set(range(60)) - points


def test_a_hundred_symbols_cost_one_round_trip_each_way(engine, symbol):
    """Marking and asking for 300 windows takes a small part of the 2 s a collect run may cost."""
    many = [window(f"{symbol}{k}", 0, 1000) for k in range(300)]
    began = time.perf_counter()
    mark_many(engine, many)
    assert unfetched_many(engine, many) == ((),) * 300
    assert time.perf_counter() - began < 1.0
