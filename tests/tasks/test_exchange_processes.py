"""Killed at any moment, and two at once: a home ends where an undisturbed one ends, each row once."""

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.bootstrap import open_app
from infra.lake import Lake
from tests.loopback_exchange import Fault, run_in_thread
from tests.tasks.venue_case import BEFORE, START, SYMBOLS, Home, exchange_with

pytestmark = pytest.mark.integration
_ROOT = Path(__file__).resolve().parents[2]
_KINDS = ("candles_5m", "funding", "open_interest")
BACKFILL = {"do": "backfill", "stop": None}
COLLECT = {"do": "collect", "stop": None}
MOMENTS = (("os.replace", 1), ("os.fsync", 5), ("os.replace", 4), ("os.replace", 2), ("tasks.fetching.mark_many", 1))


@dataclass(frozen=True, kw_only=True)
class Processes:
    """A home whose database is open, before a venue; ``run`` gives the outcomes of each step."""

    home: Home

    def run(self, *steps: list[dict]) -> list[list[object]]:
        """The steps one after the other, the jobs of each at once."""
        plan = {
            "home": str(self.home.app.settings.home),
            "now_ms": self.home.exchange.now_ms,
            "start_ms": START,
            "symbols": SYMBOLS,
            "steps": steps,
        }
        more = {"LOCKSTEP_DATA__EXCHANGE_URL": self.home.url, "LOCKSTEP_DATA__HISTORY_DAYS": "2"}
        done = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("collecting_processes.py")), json.dumps(plan)],
            cwd=_ROOT,
            env=os.environ | more | {"PYTHONPATH": str(_ROOT)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def assert_each_row_once(self) -> None:
        """All that the venue has, in no version but one."""
        lake = Lake(self.home.app.settings.home / "lake")
        dataclasses.replace(self.home, app=dataclasses.replace(self.home.app, lake=lake)).assert_whole(BEFORE)
        for symbol in SYMBOLS:
            for kind in _KINDS:
                times = lake.versions(kind, symbol).time
                assert times.size == len(set(times.tolist())), (symbol, kind)


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """An empty home, kept open so that its database stays up, before a venue with both markets."""
    exchange = exchange_with(lambda held: held, venue="binanceusdm")
    with open_app(tmp_path / "home", environ={}) as app, run_in_thread(exchange) as url:
        yield Processes(home=Home(app=app, exchange=exchange, url=url))


def test_a_backfill_killed_at_many_moments_goes_on_where_it_was(processes):
    """Before a file is put in place, before its bytes are safe, and between storing and marking."""
    stopped = [[{"do": "backfill", "stop": moment}] for moment in MOMENTS]
    outcomes = processes.run(*stopped, [BACKFILL], [COLLECT])
    assert outcomes == [*[["killed"]] * len(MOMENTS), [0], [0]], "what was stored unmarked is asked for once more"
    processes.assert_each_row_once()


def test_of_two_collections_at_once_one_wins_also_beside_a_backfill(processes):
    """The other is told why at once; every row is there once, whoever of the two that run brought it."""
    processes.home.strike(Fault(path="kline", slow_s=0.5, times=None))
    (outcomes,) = processes.run([COLLECT, BACKFILL, COLLECT])
    assert isinstance(outcomes[1], int), outcomes
    assert {type(outcomes[0]), type(outcomes[2])} == {int, str}, outcomes
    assert "another collection is running on this home" in next(one for one in outcomes if isinstance(one, str))
    processes.assert_each_row_once()
