"""Which times a source has answered for."""

import time
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from infra.fetched_windows import FetchedWindow, fetched_many, mark_many
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
    mark_many(engine, [window(symbol, start_ms, end_ms, source=source)])


def held(engine: Engine, symbol: str, *, source: str | None = None) -> tuple[tuple[int, int], ...]:
    """What is remembered of the candles."""
    return fetched_many(engine, symbols=[symbol], kind="candles", timeframe="5m", source=source)[symbol]


def test_windows_that_overlap_or_touch_become_one(engine, symbol):
    """Unions merge, neighbours join, a window apart stays apart; an empty or inverted one leaves no trace."""
    mark(engine, symbol, 100, 200)
    mark(engine, symbol, 200, 300)
    mark(engine, symbol, 250, 350)
    mark(engine, symbol, 900, 1000)
    mark(engine, symbol, 500, 500)
    mark(engine, symbol, 700, 600)
    assert held(engine, symbol) == ((100, 350), (900, 1000))


def test_each_source_answers_for_itself_and_all_together(engine, symbol):
    """A source is not spared what another one answered; without a source the union over all counts."""
    mark(engine, symbol, 0, 100, source="binanceusdm")
    mark(engine, symbol, 50, 150, source="bybit")
    assert held(engine, symbol, source="bybit") == ((50, 150),)
    assert held(engine, symbol) == ((0, 150),)
    assert fetched_many(engine, symbols=[symbol], kind="funding", timeframe="5m") == {symbol: ()}


def test_many_symbols_are_marked_and_read_at_once(engine, symbol):
    """One call marks the same symbol twice and others once; a symbol nobody answered for has no windows."""
    other = f"{symbol}X"
    mark_many(engine, [window(symbol, 0, 10), window(other, 5, 6), window(symbol, 10, 20)])
    assert fetched_many(engine, symbols=[other, f"{symbol}Y", symbol], kind="candles", timeframe="5m") == {
        other: ((5, 6),),
        f"{symbol}Y": (),
        symbol: ((0, 20),),
    }
    mark_many(engine, [])


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
    """Against a set of whole milliseconds."""
    symbol = f"T{uuid4().hex[:12].upper()}"
    mark_many(engine, [window(symbol, start, start + length) for start, length in spans])
    points = {t for start, length in spans for t in range(start, start + length)}
    assert {t for start, end in held(engine, symbol) for t in range(start, end)} == points


def test_a_hundred_symbols_cost_one_round_trip_each_way(engine, symbol):
    """Marking and asking for 300 windows takes a small part of the 2 s a collect run may cost."""
    many = [window(f"{symbol}{k}", 0, 1000) for k in range(300)]
    began = time.perf_counter()
    mark_many(engine, many)
    names = [one.symbol for one in many]
    assert fetched_many(engine, symbols=names, kind="candles", timeframe="5m") == dict.fromkeys(names, ((0, 1000),))
    assert time.perf_counter() - began < 1.0
