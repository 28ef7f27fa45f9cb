"""What is odd about candles that keep every rule."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.candles import Candles, check_candles
from market.quality import Finding, Severity, judge_candles, judge_revisions, judge_starts
from market.runs import BarRun, runs_of
from market.timeframe import DAY_MS, Timeframe

FIVE = Timeframe.parse("5m")
START = 1_738_281_600_000  # 2025-01-31 00:00 UTC
COLUMNS = ("open_time", "open", "high", "low", "close", "volume")


def market(n: int = 600, *, seed: int = 1) -> Candles:
    """A seeded random walk whose opens continue the closes; nothing about it is odd."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.uniform(-1e-3, 1e-3, n)))
    opened = np.concatenate((close[:1], close[:-1]))
    return Candles(
        symbol="BTCUSDT",
        timeframe=FIVE,
        open_time=at(0) + np.arange(n, dtype=np.int64) * FIVE.ms,
        open=opened,
        high=np.maximum(opened, close) * 1.0001,
        low=np.minimum(opened, close) * 0.9999,
        close=close,
        volume=rng.uniform(5.0, 15.0, n),
    )


def at(k: int) -> int:
    """Open time of bar ``k``."""
    return START + k * FIVE.ms


def found(candles: Candles) -> dict[str, Finding]:
    """Findings by kind; each kind at most once, each telling runs that add up."""
    check_candles(candles)
    judged = judge_candles(candles)
    assert len({one.kind for one in judged}) == len(judged)
    for one in judged:
        assert one.bars == sum(run.bars for run in one.runs)
        assert (one.first_ms, one.last_ms) == (one.runs[0].first_ms, one.runs[-1].last_ms)
        assert one.symbol == "BTCUSDT"
    return {one.kind: one for one in judged}


def stand_still(candles: Candles, lo: int, hi: int) -> None:
    """Let the price of bars ``[lo, hi)`` be the close before them, and go on from there."""
    price = candles.close[lo - 1]
    for column in (candles.open, candles.high, candles.low, candles.close):
        column[lo:hi] = price
    candles.open[hi : hi + 1] = price
    candles.high[hi : hi + 1] = max(price, candles.high[hi : hi + 1].max(initial=0.0))
    candles.low[hi : hi + 1] = min(price, candles.low[hi : hi + 1].min(initial=price))


def test_a_sound_market_has_nothing_odd():
    """No finding at all, of bars enough for every quartile; and none of no bars."""
    assert found(market()) == {}
    assert judge_candles(market().between(0, 0)) == ()


def test_zero_volume_is_told_with_its_runs():
    """Two runs, the longer one named; an hour of silence is a warning, a bar is not; nothing is changed."""
    bars = market()
    bars.volume[[10, 11, 300]] = 0.0
    one = found(bars)["zero_volume"]
    assert one.runs == (
        BarRun(first_ms=at(10), last_ms=at(11), bars=2),
        BarRun(first_ms=at(300), last_ms=at(300), bars=1),
    )
    assert one.severity is Severity.INFO
    assert one.words == "3 bars without volume (2 runs, the longest 2 from 2025-01-31 00:50)"
    bars.volume[100:112] = 0.0
    assert found(bars)["zero_volume"].severity is Severity.WARN


def test_a_flat_line_is_a_price_that_stands_still_for_an_hour():
    """Twelve bars at the close before them are a flat line, eleven are not; volume does not matter."""
    bars = market()
    stand_still(bars, 100, 112)
    stand_still(bars, 300, 311)
    one = found(bars)["flat_line"]
    assert one.runs == (BarRun(first_ms=at(100), last_ms=at(111), bars=12),)
    assert one.severity is Severity.WARN


def test_a_dead_contract_is_a_silent_flat_tail_of_a_day():
    """A day at one price without volume up to the last bar; trading once more, it lives; a flat middle is no death."""
    bars = market(1000)
    stand_still(bars, 700, 1000)
    bars.volume[700:] = 0.0
    dead = found(bars)["dead_contract"]
    assert (dead.first_ms, dead.bars, dead.severity) == (at(700), 300, Severity.WARN)
    assert "nothing traded since 2025-02-02 10:20" in dead.words
    bars.volume[999] = 1.0
    assert "dead_contract" not in found(bars)
    assert "dead_contract" not in found(bars.between(None, at(960)).between(None, at(701)))


def test_one_wild_return_is_found_and_named():
    """The bar that moved by 30 % is the worst of those named, and a warning; after a hole nothing counts as a move."""
    bars = market()
    for column in (bars.open, bars.high, bars.low, bars.close):
        column[401:] *= 1.3
    bars.close[400] *= 1.3
    bars.high[400] = bars.close[400]
    one = found(bars)["extreme_return"]
    assert [run.first_ms for run in one.runs] == [at(400)]
    assert one.severity is Severity.WARN
    assert "0.26" in one.words
    assert "2025-02-01 09:20" in one.words
    with_hole = [k for k in range(600) if k != 400]
    cut = Candles(symbol="BTCUSDT", timeframe=FIVE, **{name: getattr(bars, name)[with_hole] for name in COLUMNS})
    assert "extreme_return" not in found(cut)


def test_returns_of_a_stablecoin_do_not_all_count_as_wild():
    """A market that mostly stands still or moves by one tick has few outliers; one without any move has none."""
    rng = np.random.default_rng(4)
    price = np.round(1.0 + 1e-4 * rng.integers(-1, 2, 600), 4)
    price[300] = 1.01
    opened = np.concatenate((price[:1], price[:-1]))
    bars = Candles(
        symbol="BTCUSDT",
        timeframe=FIVE,
        open_time=market().open_time,
        open=opened,
        high=np.maximum(opened, price),
        low=np.minimum(opened, price),
        close=price,
        volume=np.arange(600) + 1.0,
    )
    assert [run.first_ms for run in found(bars)["extreme_return"].runs] == [at(300)]
    assert found(bars)["extreme_return"].runs[0].bars == 2
    flat = np.ones(600)
    still = Candles(
        symbol="BTCUSDT",
        timeframe=FIVE,
        open_time=bars.open_time,
        open=flat,
        high=flat,
        low=flat,
        close=flat,
        volume=bars.volume,
    )
    assert set(found(still)) == {"flat_line"}


def tear(bars: Candles, row: int, *, volume: float) -> None:
    """Save the bar while it still forms: the right open, a close that is not the last, little volume."""
    bars.close[row] = bars.open[row] * 1.0008
    bars.high[row], bars.low[row] = bars.close[row], bars.open[row]
    bars.volume[row] = volume


def test_torn_bars_are_told_by_a_jump_after_little_volume():
    """Two torn bars are found where they are; the same jump after a full bar is a market that jumped."""
    bars = market()
    bars.close[200] = bars.open[200]
    for row in (200, 450):
        tear(bars, row, volume=0.5)
    one = found(bars)["torn_bar"]
    assert [run.first_ms for run in one.runs] == [at(200), at(450)]
    assert one.severity is Severity.WARN
    bars.volume[[200, 450]] = 14.9
    assert "torn_bar" not in found(bars)


def test_a_few_torn_bars_of_many_are_no_warning():
    """Three in six thousand are worth knowing, not worth a look before every training."""
    bars = market(6000)
    for row in (1000, 3000, 5000):
        tear(bars, row, volume=0.5)
    assert found(bars)["torn_bar"].severity is Severity.INFO


def test_a_repeated_bar_is_a_copy_of_the_one_before():
    """All five columns alike with a range: a copy. One column that differs, or a hole between, and it is none."""
    bars = market()
    for name in COLUMNS[1:]:
        getattr(bars, name)[51] = getattr(bars, name)[50]
    one = found(bars)["repeated_bar"]
    assert (one.first_ms, one.bars, one.severity) == (at(51), 1, Severity.WARN)
    bars.volume[51] += 0.001
    assert "repeated_bar" not in found(bars)


def test_late_starts_are_counted_from_the_earliest_market():
    """A day later is late, an hour later is not; nothing to compare is no finding."""
    first = {"A": START, "B": START + 3_600_000, "C": START + DAY_MS, "D": START + 2 * DAY_MS + FIVE.ms}
    late = judge_starts(first, FIVE)
    assert [(one.symbol, one.bars) for one in late] == [("C", 288), ("D", 577)]
    assert "2.0 days after" in late[1].words
    assert judge_starts({}, FIVE) == ()


def test_revised_bars_are_counted_once():
    """A bar revised twice is one bar; without revisions there is nothing to say."""
    times = np.array([at(3), at(3), at(9)])
    (one,) = judge_revisions("BTCUSDT", times, times + DAY_MS)
    assert (one.bars, one.first_ms, one.last_ms, one.severity) == (2, at(3), at(9), Severity.INFO)
    assert judge_revisions("BTCUSDT", times[:0], times[:0]) == ()


@settings(max_examples=60, deadline=None)
@given(
    chosen=st.lists(st.booleans(), min_size=1, max_size=40),
    holes=st.sets(st.integers(0, 40), max_size=4),
    at_least=st.integers(1, 4),
)
def test_runs_agree_with_a_walk_along_the_bars(chosen, holes, at_least):
    """Against a loop that starts a new run at every hole and every bar not chosen."""
    index = np.array([k for k in range(60) if k not in holes][: len(chosen)])
    expected, run = [], []
    for k, hit in zip(index.tolist(), chosen, strict=True):
        if run and (not hit or k != run[-1] + 1):
            expected.append(run)
            run = []
        if hit:
            run.append(k)
    expected = [run for run in [*expected, run] if len(run) >= max(at_least, 1)]
    got = runs_of(index * FIVE.ms, np.array(chosen), step_ms=FIVE.ms, at_least=at_least)
    assert [(r.first_ms // FIVE.ms, r.last_ms // FIVE.ms, r.bars) for r in got] == [
        (run[0], run[-1], len(run)) for run in expected
    ]


@pytest.mark.parametrize("n", [1, 2, 3, 12, 13])
def test_a_short_history_is_judged_without_trouble(n):
    """One bar, two bars, an hour: no error, and nothing invented."""
    assert found(market(n)) == {}
