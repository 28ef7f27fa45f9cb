"""What ``lockstep universe`` tells people and machines, from snapshots that are stored."""

import json

import pytest
from typer.testing import CliRunner

from cli.main import app as lockstep
from cli.universe import _show_build, _show_refresh
from tasks.universe import build_universe
from tests.tasks.universe_homes import day, traded

pytestmark = pytest.mark.integration


@pytest.fixture
def home(make_home):
    """Two markets, of which the second comes on the second day and pushes the first out on the third."""
    opened = make_home(universe__top_n=1)
    opened.lake.append_candles(traded("AUSDT", 0, 4), source="files")
    opened.lake.append_candles(traded("BUSDT", 1, 4, scale=1e6, seed=1), source="files")
    return opened


@pytest.fixture
def built(home):
    """The same home with its days decided, and what that said."""
    return build_universe.fn(str(home.settings.home), start_ms=day(1))


def ask(home, *words):
    """The command as typed: exit code and what it printed."""
    done = CliRunner().invoke(lockstep, ["universe", "show", "--home", str(home.settings.home), *words])
    return done.exit_code, done.stdout, done.stderr


def test_the_newest_universe_as_a_table(home, built):
    """Members and who left, with numbers that can be read; its age and whether it is stale."""
    code, shown, _ = ask(home)
    lines = [line.split() for line in shown.splitlines()]
    assert (code, shown.splitlines()[0].strip()) == (0, "Universe of 2025-02-04: 1 market")
    assert lines[2][:3] == ["1", "BUSDT", "stayed"]
    assert lines[2][-6:] == ["rank", "1", "of", "1", "by", "turnover"]
    assert "judged and out: 1 more" in shown
    assert "stale" in shown
    _, third, _ = ask(home, "--as-of", "2025-02-02")
    assert [line.split()[:3] for line in third.splitlines()[2:4]] == [["1", "BUSDT", "entered"], ["2", "AUSDT", "left"]]


def test_the_same_as_one_object(home, built):
    """Each judged market with its reason, under stable keys."""
    code, shown, _ = ask(home, "--json")
    found = json.loads(shown)
    assert (code, found["day"], found["members"], found["mode"]) == (0, "2025-02-04", ["BUSDT"], "turnover")
    assert [(one["symbol"], one["member"], one["reason"]) for one in found["judged"]] == [
        ("BUSDT", True, "rank 1 of 1 by turnover"),
        ("AUSDT", False, "rank 2, beyond 1"),
    ]


def test_the_history_of_a_market_in_any_spelling(home, built):
    """When it entered, when it left and why."""
    code, shown, _ = ask(home, "--history", "A/USDT:USDT")
    assert code == 0
    assert shown.splitlines()[2].split()[:2] == ["2025-02-01", "2025-02-02"]
    assert "rank 2, beyond 1" in shown
    assert json.loads(ask(home, "--history", "AUSDT", "--json")[1])["stays"][0]["left"] == "2025-02-02"


def test_refusals_are_one_line_with_the_remedy(home):
    """Nothing decided yet, a day before everything, two questions at once, a date that is none."""
    code, _, said = ask(home)
    assert code == 1
    assert "lockstep universe refresh" in said
    code, shown, _ = ask(home, "--as-of", "2025-01-01", "--json")
    assert (code, json.loads(shown)["error"]["remedy"]) == (1, "run lockstep universe build --from 2025-01-01")
    assert ask(home, "--as-of", "2025-01-01", "--history", "AUSDT")[0] == 2
    assert ask(home, "--as-of", "yesterday")[0] == 2


def test_what_a_build_and_a_refresh_tell(built, capsys):
    """Days decided and kept, entries and exits; a second refresh of a day says so."""
    _show_build(built)
    told = capsys.readouterr().out
    assert "2025-02-01 to 2025-02-04: 4 days decided, 0 were; 1 market on the last" in told
    assert "2025-02-02  AUSDT   left     rank 2, beyond 1" in told
    found = {
        "mode": "fixed",
        "day": "2025-02-04",
        "source": "binanceusdm",
        "as_of_ms": day(4),
        "content_hash": "0123456789abcdef",
        "age_hours": 49.0,
        "stale": True,
        "members": ["BUSDT"],
        "entered": ["BUSDT"],
        "left": {"AUSDT": "delisted"},
    }
    _show_refresh({**found, "decided_now": True})
    told = capsys.readouterr().out
    assert "1 market, decided now" in told
    assert "delisted" in told
    assert "49.0 hours ago, id 0123456789ab stale" in told
    assert "not in use: universe.mode is fixed" in told
    _show_refresh({**found, "decided_now": False})
    assert "a day is decided once" in capsys.readouterr().out
