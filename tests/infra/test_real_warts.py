"""Are the warts of the real data found, each where it is known to be, and does none of them break anything?"""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from infra.coverage import measure_coverage
from infra.sources.files import FileSource
from market.candles import Candles
from market.quality import Finding, Severity, judge_candles, judge_starts
from market.stamp_quality import judge_funding, judge_open_interest
from market.timeframe import Timeframe
from tests.real_data import real_data_dir

FIVE, HOUR = Timeframe.parse("5m"), Timeframe.parse("1h")


@pytest.fixture(scope="module")
def data() -> Path:
    """The folder of real data."""
    return real_data_dir()


def ms(text: str) -> int:
    """A UTC moment."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def candles(data: Path, source: str, symbol: str, timeframe: Timeframe = FIVE) -> Candles:
    """The bars of one file."""
    return FileSource(data / source).candles(symbol, timeframe)


def odd(history: Candles) -> dict[str, Finding]:
    """Findings by kind."""
    return {one.kind: one for one in judge_candles(history)}


def runs(finding: Finding) -> set[tuple[int, int]]:
    """First bar and length of each run."""
    return {(run.first_ms, run.bars) for run in finding.runs}


def settled(data: Path, source: str, symbol: str) -> dict[str, Finding]:
    """What is odd about the funding of one file."""
    stamps = FileSource(data / source).funding(symbol)
    assert stamps is not None
    return {one.kind: one for one in judge_funding(stamps)}


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ORCAUSDT"])
def test_outages_of_the_exchange_are_silent_bars_and_no_gaps(data, symbol):
    """Two bars in January, three in August, in every market; the history has all its bars."""
    history = candles(data, "marketlab_um", symbol)
    outages = {(ms("2025-01-29 01:25"), 2), (ms("2025-08-29 06:20"), 3)}
    assert runs(odd(history)["zero_volume"]) == outages
    assert measure_coverage(history).gaps == ()


@pytest.mark.parametrize(
    ("source", "symbol", "size"),
    [("genetic_um", "TONUSDT", "1.26"), ("marketlab_um", "PIPPINUSDT", "1.14"), ("genetic_um", "SUIUSDT", "1.06")],
)
def test_the_cascade_of_october_is_the_worst_return_and_stays(data, source, symbol, size):
    """Named first with its size and its quarter of an hour; a warning, no refusal."""
    worst = odd(candles(data, source, symbol))["extreme_return"]
    assert worst.severity is Severity.WARN
    first = worst.words.split("the most: ")[1].split(",")[0]
    assert first.startswith(size)
    assert "2025-10-10 21:" in first


def test_a_stablecoin_is_judged_by_its_own_measure(data):
    """445 silent bars in many runs, no flat line of an hour, few of its single ticks called wild."""
    history = candles(data, "marketlab_spot", "USD1USDT")
    found = odd(history)
    assert found["zero_volume"].bars == 445
    assert "flat_line" not in found
    assert found["extreme_return"].bars < 0.03 * len(history)
    assert found["extreme_return"].severity is Severity.INFO
    assert odd(candles(data, "alpergulsen_um", "USDCUSDT"))["zero_volume"].bars == 15


def test_late_listings_make_a_ragged_panel(data):
    """HYPE, PIPPIN, XPL, ASTER and GIGGLE begin days after the rest of their panel, to the bar."""
    first = {"HYPEUSDT": "2025-05-30 10:30", "PIPPINUSDT": "2025-01-24 10:15"}
    late = {"XPLUSDT": "2025-08-22 09:30", "ASTERUSDT": "2025-09-19 12:00", "GIGGLEUSDT": "2025-10-09 09:45"}
    for source, begins, other in (("marketlab_um", first, "BTCUSDT"), ("genetic_um", late, "TRXUSDT")):
        starts = {s: int(candles(data, source, s).open_time[0]) for s in (*begins, other)}
        found = judge_starts(starts, FIVE)
        assert {one.symbol: one.first_ms for one in found} == {s: ms(text) for s, text in begins.items()}


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT"])
def test_the_hole_and_the_torn_bars_of_a_scraped_history(data, symbol):
    """One hole of 223 bars; the bars saved while still forming are found, against the same bars of another archive."""
    history = candles(data, "cointrading_spot", symbol)
    (gap,) = measure_coverage(history).gaps
    assert (gap.first_ms, gap.last_ms, gap.bars) == (ms("2025-09-20 05:30"), ms("2025-09-21 00:00"), 223)
    torn = odd(history)["torn_bar"]
    assert torn.severity is Severity.WARN
    truth = candles(data, "marketlab_spot", symbol)
    rows = np.searchsorted(truth.open_time, history.open_time)
    wrong = set(
        history.open_time[(truth.close[rows] != history.close) | (truth.volume[rows] != history.volume)].tolist()
    )
    said = {at for run in torn.runs for at in range(run.first_ms, run.last_ms + 1, FIVE.ms)}
    assert said <= wrong, "a sound bar was called torn"
    assert len(said) >= 0.8 * len(wrong)
    assert len(measure_coverage(candles(data, "cointrading_spot", "SOLUSDT")).gaps) == 0
    assert odd(truth)["torn_bar"].severity is Severity.INFO


def test_funding_intervals_change_and_differ(data):
    """HYPE and PIPPIN settle every 4 hours; ORCA for days every 2, twice; nothing is taken for missing."""
    orca = settled(data, "marketlab_um", "ORCAUSDT")
    assert [(run.first_ms, run.bars) for run in orca["funding_intervals"].runs][1:] == [
        (ms("2025-03-21 08:00"), 36),
        (ms("2025-03-24 08:00"), 114),
        (ms("2025-04-12 08:00"), 50),
        (ms("2025-04-16 12:00"), 1190),
    ]
    for symbol, words in (("HYPEUSDT", "4h x 926"), ("PIPPINUSDT", "4h x 1,682"), ("BTCUSDT", "8h x 914")):
        found = settled(data, "marketlab_um", symbol)
        assert found["funding_intervals"].words == f"settles {words}"
        assert "funding_missing" not in found
    assert "funding_missing" not in orca


@pytest.mark.parametrize(
    ("symbol", "low", "high"),
    [("ORCAUSDT", "-2.00%", ""), ("ZECUSDT", "-1.64%", ""), ("PIPPINUSDT", "-1.08%", "+0.85%")],
)
def test_extreme_funding_rates_are_named(data, symbol, low, high):
    """The extremes of the year, as warnings."""
    found = settled(data, "marketlab_um", symbol)["funding_extreme_rate"]
    assert low in found.words
    assert high in found.words
    assert found.severity is Severity.WARN


@pytest.mark.parametrize(
    ("source", "symbol", "most"), [("alpergulsen_um", "BTCUSDT", "5 ms"), ("freqtrade_testdata_um", "XRPUSDT", "19 ms")]
)
def test_jitter_of_settlements_is_measured(data, source, symbol, most):
    """Some stamps lie milliseconds after their hour; the interval stays 8 hours."""
    found = settled(data, source, symbol)
    assert found["funding_jitter"].words.endswith(most)
    assert "settles 8h x" in found["funding_intervals"].words


def test_open_interest_off_grid_doubled_empty_and_zero(data):
    """Of one market: rows off the grid, up to minutes late, slots with two rows and with none, and zeros."""
    stamps = FileSource(data / "vision_metrics_um").open_interest("BTCUSDT")
    assert stamps is not None
    found = {one.kind: one for one in judge_open_interest(stamps.symbol, stamps.time, stamps.value, timeframe=FIVE)}
    assert 50 <= found["open_interest_off_grid"].bars <= 100
    assert 10 <= found["open_interest_zero"].bars <= 54
    assert ms("2025-01-05 17:30") <= found["open_interest_zero"].first_ms
    assert found["open_interest_zero"].last_ms <= ms("2025-07-21 17:12")
    assert found["open_interest_empty"].bars == 9
    assert found["open_interest_doubled"].bars > 0


def test_a_dead_contract_is_called_dead(data):
    """FTT after 2022-11-14: one price, no volume, 26,000 bars to the end."""
    dead = odd(candles(data, "futuresklines_um", "FTTUSDT", HOUR))["dead_contract"]
    assert dead.first_ms == ms("2022-11-14 05:00")
    assert dead.bars == 25_987


def test_an_outage_of_an_hour_is_one_missing_and_one_silent_bar(data):
    """Spot bitcoin on 2023-03-24: 12:00 without volume, 13:00 not there."""
    history = candles(data, "futuresklines_spot", "BTCUSDT", HOUR)
    (gap,) = measure_coverage(history).gaps
    assert (gap.first_ms, gap.bars) == (ms("2023-03-24 13:00"), 1)
    assert runs(odd(history)["zero_volume"]) == {(ms("2023-03-24 12:00"), 1)}


def test_old_markets_with_many_true_holes_are_judged(data):
    """Minutes without trades are holes of the archive: counted, not filled; returns over them count as none."""
    history = candles(data, "freqtrade_testdata_spot", "XRPETH", Timeframe.parse("1m"))
    coverage = measure_coverage(history)
    assert (coverage.missing, len(coverage.gaps)) == (1091, 676)
    assert set(odd(history)) == {"extreme_return", "repeated_bar"}
    assert max(gap.bars for gap in measure_coverage(candles(data, "freqtrade_testdata_spot", "ADABTC")).gaps) == 33


def test_small_prices_and_large_volumes_are_nothing_odd(data):
    """PEPE and SHIB a thousandfold, DOGE: only what happened to every market."""
    for source, symbol in (
        ("genetic_um", "1000PEPEUSDT"),
        ("genetic_um", "1000SHIBUSDT"),
        ("marketlab_um", "DOGEUSDT"),
    ):
        assert set(odd(candles(data, source, symbol))) <= {"zero_volume", "extreme_return", "torn_bar"}
