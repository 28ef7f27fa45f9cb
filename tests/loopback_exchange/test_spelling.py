"""Is a fault on the command line the fault that was meant?"""

import pytest

from market.timeframe import DAY_MS, HOUR_MS
from tests.infra.lake_data import JANUARY_31
from tests.loopback_exchange import FaultKind, Hole, Revision
from tests.loopback_exchange.spelling import apply_fault, fault_help, time_of


@pytest.mark.parametrize(
    ("spelling", "expected"),
    [
        ("429:klines:3:2.5", {"status": 429, "times": 3, "retry_after_s": 2.5, "kind": FaultKind.STATUS}),
        ("503:/:5%", {"path": "/", "times": None, "probability": 0.05}),
        ("drop:klines@ETHUSDT", {"kind": FaultKind.DROP, "path": "klines", "symbol": "ETHUSDT", "times": 1}),
        ("slow_body:kline:1.5:*", {"kind": FaultKind.SLOW_BODY, "slow_s": 1.5, "times": None}),
        ("conflict:fundingRate:2", {"kind": FaultKind.CONFLICT, "times": 2}),
    ],
)
def test_faults_of_calls(exchange, spelling, expected):
    """Path, symbol, number and chance."""
    apply_fault(exchange, spelling)
    (fault,) = exchange.faults
    assert {name: getattr(fault, name) for name in expected} == expected


def test_warts_of_markets(exchange, histories):
    """Times with colons, a number of bars, one symbol or all."""
    noon = JANUARY_31 + 12 * HOUR_MS
    apply_fault(exchange, "gap:BTCUSDT:2025-01-31T12:00:223")
    assert len(exchange.markets["BTCUSDT"].candles) == len(histories["BTCUSDT"].candles) - 223
    apply_fault(exchange, "healing_gap:*:2025-01-31T12:00:00Z:12:2asks")
    apply_fault(exchange, f"healing_gap:ETHUSDT:{noon}:12:2025-02-01")
    hour = {"start_ms": noon, "end_ms": noon + HOUR_MS}
    asked, timed = Hole(**hour, heals_after_asks=2), Hole(**hour, heals_at_ms=JANUARY_31 + DAY_MS)
    assert exchange.markets["BTCUSDT"].holes == (asked,)
    assert exchange.markets["ETHUSDT"].holes == (asked, timed)
    apply_fault(exchange, "revised:ETHUSDT:20")
    assert exchange.markets["ETHUSDT"].revisions == (Revision(for_ms=20_000),)
    apply_fault(exchange, "delisted:ETHUSDT:2025-02-01:2025-02-02T00:00")
    assert exchange.markets["ETHUSDT"].delisted_ms == JANUARY_31 + DAY_MS
    assert exchange.markets["ETHUSDT"].removed_ms == JANUARY_31 + 2 * DAY_MS
    for name in ("funding_switch", "funding_jitter", "oi_off_grid", "oi_zero", "oi_doubled"):
        before = exchange.markets["ETHUSDT"]
        apply_fault(exchange, f"{name}:ETHUSDT")
        assert exchange.markets["ETHUSDT"] is not before


def test_the_clock(exchange):
    """Only what it says, or what it serves too."""
    apply_fault(exchange, "clock:-90")
    assert (exchange.says_offset_ms, exchange.serves_offset_ms) == (-90_000, 0)
    apply_fault(exchange, "clock:90:serves")
    assert (exchange.says_offset_ms, exchange.serves_offset_ms) == (90_000, 90_000)


@pytest.mark.parametrize(
    "spelling", ["", "burst:klines", "429", "gap:BTCUSDT", "gap:NOPEUSDT:2025-01-31", "500:/:often"]
)
def test_what_is_not_understood_is_refused_with_the_list(exchange, spelling):
    """With a line for each fault there is."""
    with pytest.raises(ValueError, match="is not understood") as refusal:
        apply_fault(exchange, spelling)
    assert fault_help() in str(refusal.value)
    assert all(kind.value in fault_help() for kind in FaultKind)


def test_times_are_utc():
    """A date, a time, milliseconds."""
    assert time_of("2025-01-31") == time_of("2025-01-31T00:00:00Z") == time_of(str(JANUARY_31)) == JANUARY_31
