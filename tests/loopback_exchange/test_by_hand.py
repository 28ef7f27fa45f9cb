"""Can a person start the venue, use it and end it?"""

import shutil
import signal
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from market.timeframe import Timeframe
from tests.infra.lake_data import FIVE, JANUARY_31, same, walk
from tests.loopback_exchange.__main__ import main
from tests.loopback_exchange.asking import get
from tests.loopback_exchange.data import real_markets, synthetic_markets
from tests.real_data import real_data_dir


def folder_of(path, bars):
    """A folder laid out like the shared data, with these bars, funding and open interest."""
    times = pa.array(bars.open_time, pa.timestamp("ms"))
    columns = {name: getattr(bars, name) for name in ("open", "high", "low", "close", "volume")}
    files = {
        "candles_5m": {"timestamp": times, **columns},
        "funding": {"timestamp": times[:2], "funding_rate": [1e-4, 2e-4]},
        "open_interest_5m": {"timestamp": times[:3], "open_interest": [5.0, 0.0, 7.0]},
    }
    for kind, table in files.items():
        (path / kind).mkdir(parents=True)
        pq.write_table(pa.table(table), path / kind / f"{bars.symbol}.parquet")
    return path


def test_it_serves_a_folder_until_it_is_interrupted(tmp_path):
    """URL and variable are printed; a fault of the command line strikes; Ctrl-C ends it with code 0."""
    folder = folder_of(tmp_path, walk(400))
    command = [sys.executable, "-m", "tests.loopback_exchange", "--data", str(folder), "--speed", "0"]
    command += ["--now", "2025-02-01T00:02:00Z", "--fault", "empty:klines:1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as venue:
        try:
            lines = [venue.stdout.readline().strip() for _ in range(3)]
            assert lines[0] == "binanceusdm and bybit at 2025-02-01 00:02 UTC: BTCUSDT"
            assert lines[2].startswith("LOCKSTEP_DATA__EXCHANGE_URL=http://127.0.0.1:")
            url = lines[2].partition("=")[2]
            assert get(url, "/fapi/v1/klines", symbol="BTCUSDT", interval="5m") == []
            rows = get(url, "/fapi/v1/klines", symbol="BTCUSDT", interval="5m", limit=1)
            assert rows[0][0] == JANUARY_31 + 288 * FIVE.ms
        finally:
            venue.send_signal(signal.SIGINT)
            out, err = venue.communicate(timeout=20)
    assert (venue.returncode, err) == (0, "")
    assert out.strip() == "ended after 2 calls, 1 struck by a fault"


def test_wrong_arguments_are_told(tmp_path, capsys):
    """Exit code 2 with what is wrong."""
    assert main(["--data", str(tmp_path)]) == 2
    assert "no candles_5m" in capsys.readouterr().err
    assert main(["--timeframe", "7m"]) == 2
    assert "timeframe '7m'" in capsys.readouterr().err
    folder = folder_of(tmp_path, walk(3))
    assert main(["--data", str(folder), "--fault", "nonsense"]) == 2
    assert "is not understood" in capsys.readouterr().err


def test_folders_add_up_and_the_first_wins(tmp_path):
    """Candles of one folder, open interest of another; nothing is checked or repaired."""
    first = folder_of(tmp_path / "a", walk(5))
    second = folder_of(tmp_path / "b", walk(9))
    shutil.rmtree(first / "open_interest_5m")
    found = real_markets([first, second], timeframe=FIVE)["BTCUSDT"]
    assert same(found.candles, walk(5))
    assert found.open_interest.value.tolist() == [5.0, 0.0, 7.0]
    assert found.funding.rate.tolist() == [1e-4, 2e-4]
    assert real_markets([first], timeframe=Timeframe.parse("1h")) == {}


def test_real_candles_are_served_as_they_are():
    """The folder's own markets, with funding from it and open interest from its sibling."""
    root = real_data_dir()
    markets = real_markets(
        [root / "marketlab_um", root / "vision_metrics_um"], timeframe=FIVE, symbols=["BTCUSDT", "HYPEUSDT"]
    )
    assert sorted(markets) == ["BTCUSDT", "HYPEUSDT"]
    assert markets["BTCUSDT"].open_interest is not None
    assert markets["HYPEUSDT"].open_interest is None
    assert markets["HYPEUSDT"].onboard_ms > markets["BTCUSDT"].onboard_ms


def test_synthetic_markets_have_names_that_look_real():
    """In every part, so that a client takes them."""
    made = synthetic_markets(13, timeframe=Timeframe.parse("1h"), start_ms=JANUARY_31, days=1)
    assert len(made) == 13
    assert not any(name.startswith("SYN") for name in made)
    assert all(market.candles.symbol == name for name, market in made.items())
    assert np.isfinite(made["BTCUSDT"].candles.close).all()
