"""Bars arrive once, their coverage is measured, and bad files leave the lake as it was."""

from time import time_ns

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pytest
from sqlalchemy import select

from infra.tables import coverage
from market.errors import LockstepError
from market.timeframe import DAY_MS
from tasks.collecting import backfill_files, backfill_synthetic
from tasks.coverage import measure
from tasks.symbols import SYNTHETIC_START_MS, check_files, file_symbols
from tests.infra.lake_data import FIVE, walk
from tests.tasks.conftest import DAYS, SYMBOLS

pytestmark = pytest.mark.integration


def write(folder, symbol, *, bars=400, drop=None):
    """A CSV of sound bars, without row ``drop``."""
    candles = walk(bars, symbol=symbol)
    names = ("open", "high", "low", "close", "volume")
    table = pa.table({"timestamp": candles.open_time} | {name: getattr(candles, name) for name in names})
    if drop is not None:
        table = pa.concat_tables([table.slice(0, drop), table.slice(drop + 1)])
    pa_csv.write_csv(table, folder / f"{symbol}.csv")


def test_the_synthetic_market_is_appended_once(app, home):
    """What the fixture already brought is not written again."""
    done = backfill_synthetic.fn(str(home), symbols=SYMBOLS, days=DAYS, seed=7)
    assert done == {"source": "synthetic", "symbols": list(SYMBOLS), "new_rows": 0}
    times = app.lake.candles("SYNBTCUSDT", FIVE).open_time
    assert (times[0], times[-1]) == (SYNTHETIC_START_MS, SYNTHETIC_START_MS + DAYS * DAY_MS - FIVE.ms)


def test_coverage_is_stored_once_per_symbol_and_renewed(app, home):
    """Measured twice, there is one row each, and it says what is in the lake."""
    for _ in range(2):
        found = measure.fn(str(home), symbols=SYMBOLS)
    assert [row["coverage"] for row in found] == [1.0, 1.0]
    with app.engine.connect() as connection:
        rows = connection.execute(select(coverage).where(coverage.c.symbol.in_(SYMBOLS))).mappings().all()
    assert sorted((row["symbol"], row["rows"], row["missing"]) for row in rows) == [
        (symbol, DAYS * 288, 0) for symbol in SYMBOLS
    ]


def test_files_bring_their_window_and_a_hole_is_counted(app, home, tmp_path):
    """Bars before the start and from the end on stay out; the missing one is missing."""
    write(tmp_path, "LTCUSDT", drop=100)
    start = int(walk(1).open_time[0])
    arguments = {"symbols": ["LTCUSDT"], "start_ms": start + 50 * FIVE.ms, "end_ms": start + 150 * FIVE.ms}
    assert backfill_files.fn(str(home), str(tmp_path), **arguments)["new_rows"] == 99
    assert backfill_files.fn(str(home), str(tmp_path), **arguments)["new_rows"] == 0
    (row,) = measure.fn(str(home), symbols=["LTCUSDT"])
    assert (row["rows"], row["missing"], row["coverage"]) == (99, 1, 0.99)


def test_one_bad_file_keeps_every_row_out(app, home, tmp_path):
    """Also the rows of the sound files before it."""
    write(tmp_path, "ADAUSDT")
    (tmp_path / "DOTUSDT.csv").write_text("timestamp,open\n1,2\n")
    symbols = list(file_symbols(str(tmp_path), timeframe=FIVE, wanted=()))
    assert symbols == ["ADAUSDT", "DOTUSDT"]
    with pytest.raises(LockstepError, match=r"DOTUSDT\.csv"):
        backfill_files.fn(str(home), str(tmp_path), symbols=symbols, start_ms=None, end_ms=None)
    assert app.lake.candles("ADAUSDT", FIVE).open_time.size == 0
    with pytest.raises(LockstepError, match=r"DOTUSDT\.csv"):
        check_files(str(tmp_path), timeframe=FIVE, symbols=symbols)


def test_a_folder_without_candles_says_what_it_has(tmp_path):
    """Funding alone; and candles of a length that adds up to no 5m bar."""
    (tmp_path / "funding").mkdir()
    (tmp_path / "funding" / "ADAUSDT.csv").write_text("timestamp,funding_rate\n1738281600000,0.0001\n")
    with pytest.raises(LockstepError, match=r"holds funding and no candles.*candles of the same markets"):
        file_symbols(str(tmp_path), timeframe=FIVE, wanted=())
    (tmp_path / "candles_1h").mkdir()
    write(tmp_path / "candles_1h", "ADAUSDT")
    with pytest.raises(LockstepError, match=r"no 5m candles in .*LOCKSTEP_DATA__TIMEFRAME"):
        file_symbols(str(tmp_path), timeframe=FIVE, wanted=())


def test_a_bar_that_has_not_closed_is_refused(app, home, tmp_path):
    """Its values are not final, and with a wrong year it would look fresh for ever."""
    time = time_ns() // 1_000_000 // FIVE.ms * FIVE.ms + np.arange(-20, 1) * FIVE.ms
    table = pa.table({"timestamp": time} | {name: np.ones(21) for name in ("open", "high", "low", "close", "volume")})
    pa_csv.write_csv(table, tmp_path / "ADAUSDT.csv")
    with pytest.raises(LockstepError, match=r"ADAUSDT in .* in the future: only closed bars are stored"):
        backfill_files.fn(str(home), str(tmp_path))
    assert app.lake.candles("ADAUSDT", FIVE).open_time.size == 0
    pa_csv.write_csv(table.slice(0, 20), tmp_path / "ADAUSDT.csv")
    assert backfill_files.fn(str(home), str(tmp_path))["new_rows"] == 20


def test_a_symbol_without_bars_has_no_coverage(home):
    """Named, with the remedy."""
    with pytest.raises(LockstepError, match=r"NOPEUSDT: no 5m candles in the lake.*backfill NOPEUSDT"):
        measure.fn(str(home), symbols=["NOPEUSDT"])
