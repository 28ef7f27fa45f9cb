"""The universe of four real months: who was traded most, and when did the late listings come in?"""

import numpy as np
import pyarrow.parquet as pq
import pytest

from infra.universe import read_snapshots, universe_rule
from market.candles import Candles
from market.timeframe import DAY_MS
from tasks.universe import build_universe
from tasks.universe_report import market_history
from tests.infra.lake_data import FIVE
from tests.real_data import real_data_dir

pytestmark = pytest.mark.integration

START = int(np.datetime64("2025-07-04", "ms").astype(np.int64))
# Old enough after two weeks (GIGGLE on the 24th), and among the 25 most traded by then.
LATE = {"XPLUSDT": "2025-09-06", "ASTERUSDT": "2025-10-04", "GIGGLEUSDT": "2025-10-26"}


def real_candles():
    """The 33 perpetuals from July to October 2025, as they are."""
    root = real_data_dir()
    for path in sorted(root.glob("*_um/candles_5m/*.parquet")):
        if path.parts[-3] not in {"marketlab_um", "genetic_um"}:
            continue
        table = pq.read_table(path)
        columns = {name: table[name].to_numpy() for name in table.column_names}
        prices = {name: columns[name].astype(float) for name in ("open", "high", "low", "close", "volume")}
        times = columns["timestamp"].astype("datetime64[ms]").astype(np.int64)
        yield Candles(symbol=path.stem, timeframe=FIVE, open_time=times, **prices).between(START, None)


def test_four_real_months(make_home):
    """Every day's members are the 25 most traded of two weeks or more, by sums made without our code."""
    home = make_home(universe__top_n=25, universe__min_age_days=14)
    traded, first = {}, {}
    for bars in real_candles():
        home.lake.append_candles(bars, source="files")
        day = (bars.open_time - START) // DAY_MS
        traded[bars.symbol] = np.bincount(day, weights=bars.volume * bars.close, minlength=120)
        first[bars.symbol] = int(bars.open_time[0])
    done = build_universe.fn(str(home.settings.home), start_ms=START + DAY_MS)
    assert (done["decided"], done["first_day"], done["last_day"]) == (120, "2025-07-05", "2025-11-01")
    for k, snapshot in enumerate(read_snapshots(home.engine, universe_rule(home.settings)), start=1):
        old = [name for name in traded if START + k * DAY_MS + 5000 - first[name] >= 14 * DAY_MS]
        best = sorted(old, key=lambda name, day=k - 1: -traded[name][day])[:25]
        assert snapshot.members == tuple(sorted(best)), snapshot.day
    for name, entered in LATE.items():
        assert market_history(home, name)["stays"][0]["entered"] == entered
