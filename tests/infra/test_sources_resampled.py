"""A folder of shorter bars serves a home of longer ones, and says so."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.sources import FetchRequest, FileSource, Kind
from market.errors import CandleError
from market.resample import resample
from market.timeframe import Timeframe
from tests.infra.lake_data import FIVE, JANUARY_31, same, walk

HOUR = Timeframe.parse("1h")
NAMES = ("open", "high", "low", "close", "volume")


def table(bars):
    """An Arrow table of candles."""
    return pa.table({"timestamp": bars.open_time, **{name: getattr(bars, name) for name in NAMES}})


def by_kind(folder, bars, name):
    """One Parquet file in a folder of its timeframe."""
    (folder / name).mkdir(exist_ok=True)
    pq.write_table(table(bars), folder / name / "BTCUSDT.parquet")


def test_shorter_bars_are_added_up_and_the_source_says_so(tmp_path):
    """A folder of 5m bars answers for 1h under a name of its own; what is incomplete stays a hole."""
    bars = walk(20 * 12 + 5)
    keep = np.delete(np.arange(len(bars)), 30)
    holed = replace(bars, open_time=bars.open_time[keep], **{name: getattr(bars, name)[keep] for name in NAMES})
    by_kind(tmp_path, holed, "candles_5m")
    source = FileSource(tmp_path)
    assert (source.symbols(HOUR), source.symbols(Timeframe.parse("1m"))) == (("BTCUSDT",), ())
    hours = source.candles("BTCUSDT", HOUR)
    assert same(hours, resample(holed, HOUR))
    assert len(hours) == 19
    assert JANUARY_31 + 2 * HOUR.ms not in hours.open_time
    assert (source.source_of("BTCUSDT", HOUR), source.source_of("BTCUSDT", FIVE)) == (
        f"files:{tmp_path.name}@5m",
        f"files:{tmp_path.name}",
    )
    request = FetchRequest(
        symbol="BTCUSDT", kind=Kind.CANDLES, timeframe=HOUR, start_ms=JANUARY_31, end_ms=JANUARY_31 + 2 * HOUR.ms
    )
    assert [len(part) for part in source.fetch(request)] == [2]


def test_the_longest_bars_that_serve_are_taken(tmp_path):
    """Own bars of the length before any sum, then 15m before 5m; a plain file of shorter bars serves as well."""
    minutes = walk(20 * 12)
    by_kind(tmp_path, minutes, "candles_5m")
    by_kind(tmp_path, resample(minutes, Timeframe.parse("15m")), "candles_15m")
    assert FileSource(tmp_path).source_of("BTCUSDT", HOUR).endswith("@15m")
    assert FileSource(tmp_path).timeframes("BTCUSDT") == (FIVE, Timeframe.parse("15m"))
    by_kind(tmp_path, resample(minutes, HOUR), "candles_1h")
    assert FileSource(tmp_path).source_of("BTCUSDT", HOUR) == FileSource(tmp_path).name
    (tmp_path / "plain").mkdir()
    pq.write_table(table(minutes), tmp_path / "plain" / "BTCUSDT.parquet")
    source = FileSource(tmp_path / "plain")
    assert source.source_of("BTCUSDT", HOUR) == "files:plain@5m"
    assert same(source.candles("BTCUSDT", HOUR), resample(minutes, HOUR))


def test_too_few_bars_to_add_up_are_refused(tmp_path):
    """Fifty 5m bars are four hours, and four bars are no history."""
    by_kind(tmp_path, walk(50), "candles_5m")
    with pytest.raises(CandleError, match=r"BTCUSDT 5m as 1h: 4 bar\(s\)"):
        FileSource(tmp_path).candles("BTCUSDT", HOUR)
