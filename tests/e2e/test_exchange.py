"""Do bars arrive from a venue, through the real client, once?"""

import dataclasses
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pytest

from infra.database import open_database
from infra.lake import Lake
from infra.settings import load_settings
from market.funding import FundingStamps
from tests.e2e.lockstep_command import Answer, Lockstep
from tests.infra.lake_data import FIVE, JANUARY_31, same, walk
from tests.loopback_exchange import LoopbackExchange, LoopbackMarket, run_in_thread

pytestmark = pytest.mark.e2e
_HELD = 600
_HOURS_8 = 8 * 3_600_000


@dataclass(frozen=True, kw_only=True)
class Venue:
    """A running loopback venue and a home that collects from it."""

    exchange: LoopbackExchange
    url: str
    home: Path
    command: Lockstep

    def ask(self, *arguments: object, url: str | None = None) -> Answer:
        """One command of the home against the venue, or against ``url``."""
        more = {"LOCKSTEP_DATA__EXCHANGE_URL": url or self.url, "LOCKSTEP_DATA__MAX_RETRIES": "0"}
        return self.command.ask(*arguments, "--home", self.home, more=more)

    def lake(self) -> Lake:
        """The home's lake, opened anew."""
        return Lake(self.home / "lake")


def closed_port() -> int:
    """A loopback port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def venue(lockstep: Lockstep, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Venue]:
    """Two markets with funding; the clock stands in the 401st bar."""
    markets = {}
    for seed, symbol in enumerate(("BTCUSDT", "ETHUSDT")):
        settled = JANUARY_31 + np.arange(4, dtype=np.int64) * _HOURS_8
        funding = FundingStamps(symbol=symbol, time=settled, rate=np.full(4, 1e-4))
        markets[symbol] = LoopbackMarket(candles=walk(_HELD, symbol=symbol, seed=seed), funding=funding)
    exchange = LoopbackExchange(markets=markets, now_ms=JANUARY_31 + 400 * FIVE.ms + 60_000)
    with run_in_thread(exchange) as url:
        home = tmp_path_factory.mktemp("venue") / "home"
        with open_database(load_settings(home, environ={})):  # kept open, so that no command has to start it
            yield Venue(exchange=exchange, url=url, home=home, command=lockstep)


_JANUARY_31 = ("backfill", "--symbols", "BTC/USDT:USDT,ETHUSDT", "--from", "2025-01-31", "--to", "2025-02-01")


def test_history_arrives_once(venue):
    """Backfill brings what had closed, and nothing twice; what it brought is bit for bit what the venue sent."""
    arguments = _JANUARY_31
    first = venue.ask(*arguments, "--json").json
    assert first["new_rows"] == 2 * (288 + 3)
    assert [(row["symbol"], row["rows"], row["missing"]) for row in first["coverage"]] == [
        ("BTCUSDT", 288, 0),
        ("ETHUSDT", 288, 0),
    ]
    assert venue.ask(*arguments, "--json").json["new_rows"] == 0
    calls = venue.exchange.count("/fapi/v1/klines")
    venue.ask(*arguments)
    assert venue.exchange.count("/fapi/v1/klines") == calls, "parts the lake holds are not asked for again"
    lake = venue.lake()
    assert lake.sources("BTCUSDT", FIVE) == ("binanceusdm",)
    held = lake.candles("BTCUSDT", FIVE)
    assert same(held, walk(_HELD, symbol="BTCUSDT", seed=0).between(None, JANUARY_31 + 288 * FIVE.ms))


def test_a_venue_that_is_down_is_one_line_and_nothing_is_lost(venue):
    """Exit code 1 with the remedy; the bars that were there stay."""
    venue.ask(*_JANUARY_31)
    answer = venue.ask(
        "backfill",
        "--symbols",
        "BTCUSDT",
        "--from",
        "2025-02-01",
        "--to",
        "2025-02-02",
        url=f"http://127.0.0.1:{closed_port()}",
    )
    assert answer.code == 1
    assert len(answer.lines) == 1, answer.err
    assert "Traceback" not in answer.err
    assert "run this again: it goes on where it stopped" in answer.lines[0]
    assert len(venue.lake().candles("BTCUSDT", FIVE)) == 288


def test_a_symbol_the_venue_does_not_list(venue):
    """Refused by its name in one line."""
    answer = venue.ask("backfill", "--symbols", "NOPEUSDT", "--from", "2025-01-31", "--to", "2025-02-01")
    assert answer.code == 1
    assert len(answer.lines) == 1, answer.err
    assert "NOPEUSDT" in answer.lines[0]
    assert venue.lake().candles("NOPEUSDT", FIVE).open_time.size == 0


def test_a_synthetic_symbol_is_no_exchanges(venue):
    """It is refused before the venue is asked."""
    answer = venue.ask("collect", "--symbols", "SYNBTCUSDT")
    assert answer.code == 1
    assert "is a synthetic market" in answer.lines[0]


def test_what_closed_since_is_collected_once(venue):
    """First the newest day, then only the new bars, then nothing; the heartbeat says that the collector lives."""
    now = time.time_ns() // 1_000_000
    first = now // FIVE.ms * FIVE.ms - 102 * FIVE.ms
    names = ("LTCUSDT", "XRPUSDT")
    bars = {name: walk(101, symbol=name, start_ms=first, seed=9) for name in names}
    cut = int(bars["LTCUSDT"].open_time[99])
    early = {name: LoopbackMarket(candles=one.between(None, cut)) for name, one in bars.items()}
    exchange = LoopbackExchange(markets=early, now_ms=now, speed=1.0)
    with run_in_thread(exchange) as url:
        arguments = ("collect", "--symbols", ",".join(names))
        assert venue.ask(*arguments, "--json", url=url).json["new_rows"] == 2 * 99
        exchange.markets = {name: LoopbackMarket(candles=one) for name, one in bars.items()}
        found = venue.ask(*arguments, "--json", url=url).json
        assert (found["new_rows"], found["revisions"], found["failed"]) == (2 * 2, 0, {})
        again = venue.ask(*arguments, url=url)
        assert again.code == 0
        assert "0 new rows from binanceusdm, 0 revised, in " in again.out
        status = venue.ask("status", "--json", url=url).json
    assert same(venue.lake().candles("LTCUSDT", FIVE), bars["LTCUSDT"])
    assert status["lake_last_bar_ms"] == bars["LTCUSDT"].open_time[-1]
    assert "collector" in str(status["heartbeats"])


def test_a_run_that_brings_not_everything_says_so_and_keeps_the_rest(venue):
    """Exit code 1 with one line, beside a result that names what failed and what was stored."""
    wanted = ("backfill", "--symbols", "ETHUSDT,BTCUSDC", "--from", "2025-01-31", "--to", "2025-02-01")
    answer = venue.ask(*wanted, "--json")
    assert answer.code == 1
    assert len(answer.lines) == 1, answer.err
    assert "lists no perpetual BTCUSDC" in answer.lines[0]
    assert "did you mean BTCUSDT" in answer.lines[0]
    assert list(answer.json["failed"]) == ["BTCUSDC"]
    assert set(answer.json["error"]) == {"what", "why", "remedy"}
    assert [row["symbol"] for row in answer.json["coverage"]] == ["ETHUSDT"]


def test_another_venue_is_another_history(venue):
    """Its bars are refused for a symbol that has bars of the first, before it is asked for any."""
    venue.ask(*_JANUARY_31)
    asked = len(venue.exchange.calls)
    answer = venue.ask(*_JANUARY_31, "--exchange", "bybit")
    assert answer.code == 1
    assert len(answer.lines) == 1, answer.err
    assert "BTCUSDT holds bars of binanceusdm, and these would be of bybit" in answer.lines[0]
    assert "--exchange binanceusdm" in answer.lines[0]
    assert len(venue.exchange.calls) == asked


def test_files_are_carried_on_by_their_venue(venue, tmp_path):
    """What files hold is not asked for; what they lack, before and after them, is."""
    held = walk(_HELD, symbol="BTCUSDT", seed=0)
    home = tmp_path / "home"
    names = ("open", "high", "low", "close", "volume")
    table = pa.table({"timestamp": held.open_time} | {name: getattr(held, name) for name in names})
    pa_csv.write_csv(table.slice(0, 250), tmp_path / "BTCUSDT.csv")
    other = dataclasses.replace(venue, home=home)
    assert other.ask("backfill", "--files", tmp_path, "--json").json["new_rows"] == 250
    wanted = ("backfill", "--symbols", "BTCUSDT", "--from", "2025-01-31", "--to", "2025-02-01", "--json")
    found = other.ask(*wanted).json
    assert (found["new_rows"], found["open_gaps"]) == (38 + 3, 0)
    assert other.lake().sources("BTCUSDT", FIVE) == ("binanceusdm", f"files:{tmp_path.name}")
    assert same(other.lake().candles("BTCUSDT", FIVE), held.between(None, JANUARY_31 + 288 * FIVE.ms))
