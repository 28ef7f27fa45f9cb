"""Symbols that cannot be used are left out by name; a home without any says what to do."""

from dataclasses import replace

import pytest

from infra.lake import Lake
from infra.settings import load_settings
from market.errors import LockstepError
from tasks.symbols import symbols_in_use
from tasks.windows import current_window
from tests.infra.lake_data import walk
from tests.tasks.conftest import DAYS, SYMBOLS, TINY

pytestmark = pytest.mark.integration


def test_the_window_is_what_the_lake_holds(app):
    """All symbols with full coverage, up to the last bar."""
    window = current_window(app)
    assert window.symbols == SYMBOLS
    assert window.coverage == dict.fromkeys(SYMBOLS, 1.0)
    assert window.left_out == {}
    assert window.stretches.serve_end - window.stretches.first == DAYS * 288


def test_unfit_symbols_are_left_out_with_the_reason(app, tmp_path):
    """Too short, too thin, not there at all: each by name; the others go on."""
    lake = Lake(tmp_path)
    whole = walk(2500, symbol="BTCUSDT")
    lake.append_candles(whole, source="files")
    end = int(whole.open_time[-1])
    lake.append_candles(walk(2500, symbol="ETHUSDT", seed=1).between(end - 500 * 300_000, None), source="files")
    lake.append_candles(thinned(walk(2500, symbol="XRPUSDT", seed=2)), source="files")
    settings = load_settings(
        tmp_path,
        environ=TINY,
        overrides={"data.symbols": ["BTCUSDT", "ETHUSDT", "XRPUSDT", "NOPEUSDT"], "features.warmup_bars": 640},
    )
    window = current_window(replace(app, lake=lake, settings=settings))
    assert window.symbols == ("BTCUSDT",)
    assert window.left_out["ETHUSDT"].startswith("501 bars, fewer than")
    assert window.left_out["XRPUSDT"] == "coverage 90.0%, below 95%"
    assert window.left_out["NOPEUSDT"] == "no bars in the lake"


def test_a_lake_without_anything_useful_is_refused(app, tmp_path):
    """Empty, without the symbols asked for, or with none that fits: what to do differs."""
    empty = replace(app, lake=Lake(tmp_path), settings=load_settings(tmp_path, environ={}))
    with pytest.raises(LockstepError, match=r"the lake holds no candles.*What to do: run lockstep backfill"):
        symbols_in_use(empty)
    asked = load_settings(tmp_path, environ=TINY, overrides={"data.symbols": ["BTCUSDT"]})
    with pytest.raises(LockstepError, match="no 5m candles of BTCUSDT"):
        current_window(replace(empty, settings=asked))
    empty.lake.append_candles(walk(100), source="files")
    with pytest.raises(LockstepError, match="no symbol can be used: BTCUSDT: 100 bars"):
        current_window(replace(empty, settings=asked))


def thinned(candles):
    """The same candles without every tenth bar, first and last kept."""
    from market.candles import Candles

    keep = [i for i in range(len(candles)) if i % 10 != 5]
    names = ("open_time", "open", "high", "low", "close", "volume")
    return Candles(
        symbol=candles.symbol, timeframe=candles.timeframe, **{name: getattr(candles, name)[keep] for name in names}
    )
