"""Coverage of a history against the grid."""

import numpy as np
import pytest

from infra.coverage import measure_coverage
from infra.lake_rows import months_of
from infra.sources import FileSource
from market.candles import Candles
from market.runs import BarRun
from tests.infra.lake_data import FIVE, JANUARY_31, walk
from tests.real_data import real_data_dir


def with_holes(keep: list[int]) -> Candles:
    """A walk of 20 bars of which only these are left."""
    bars = walk(20)
    return Candles(
        symbol=bars.symbol,
        timeframe=FIVE,
        **{name: getattr(bars, name)[keep] for name in ("open_time", "open", "high", "low", "close", "volume")},
    )


def at(k: int) -> int:
    """Open time of bar ``k`` of the walk."""
    return JANUARY_31 + k * FIVE.ms


def test_holes_inside_and_at_both_ends_of_the_window_are_listed():
    """Each run of absent bars once, with its first and last bar; the share counts the window."""
    found = measure_coverage(with_holes([2, 3, 6, 7, 9]), start_ms=at(0), end_ms=at(12))
    assert found.gaps == (
        BarRun(first_ms=at(0), last_ms=at(1), bars=2),
        BarRun(first_ms=at(4), last_ms=at(5), bars=2),
        BarRun(first_ms=at(8), last_ms=at(8), bars=1),
        BarRun(first_ms=at(10), last_ms=at(11), bars=2),
    )
    assert (found.expected, found.rows, found.missing, found.share) == (12, 5, 7, 5 / 12)


def test_without_a_window_the_history_spans_itself():
    """A complete history covers everything it spans; an empty window covers nothing and divides by nothing."""
    whole = measure_coverage(walk(20))
    assert (whole.share, whole.missing, whole.gaps) == (1.0, 0, ())
    nothing = measure_coverage(walk(20), start_ms=at(50), end_ms=at(60))
    assert (nothing.rows, nothing.share, nothing.first_ms) == (0, 0.0, None)
    assert nothing.gaps == (BarRun(first_ms=at(50), last_ms=at(59), bars=10),)
    assert measure_coverage(walk(20).between(0, 0)).share == 0.0


def test_months_cover_sorted_times_once():
    """Every row lies in exactly one calendar month, in order."""
    times = walk(10_000).open_time
    parts = months_of(times)
    assert [name for name, _ in parts] == ["2025-01", "2025-02", "2025-03"]
    assert np.concatenate([times[part] for _, part in parts]).tolist() == times.tolist()


@pytest.mark.parametrize(
    ("source", "symbol", "gaps", "missing"),
    [("cointrading_spot", "BTCUSDT", 1, 223), ("freqtrade_testdata_spot", "ADABTC", None, 33)],
)
def test_real_histories_show_the_holes_they_are_known_for(source, symbol, gaps, missing):
    """The outage of 223 bars, and the hole of 33 bars, are found where they are."""
    found = measure_coverage(FileSource(real_data_dir() / source).candles(symbol, FIVE))
    assert gaps is None or len(found.gaps) == gaps
    assert max(gap.bars for gap in found.gaps) == missing
