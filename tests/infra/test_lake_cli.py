"""``lockstep lake``: counts and folding, told to people and to machines."""

import json

import pytest
from typer.testing import CliRunner

from cli.main import app
from infra.lake import Lake
from tests.infra.lake_data import FIVE, JANUARY_31, bar, walk

pytest_plugins = ["tests.infra.lake_places"]
pytestmark = pytest.mark.integration


@pytest.fixture
def lake(settings, engine, object_server, open_lake, monkeypatch) -> Lake:
    """The lake of the room's home, in a bucket of its own: 50 bars, two parts and a revision."""
    place = object_server.new_place()
    monkeypatch.setenv("LOCKSTEP_DATA__LAKE_URL", place)
    monkeypatch.setenv("LOCKSTEP_HOME", str(settings.home))
    made = open_lake(place)
    made.append_candles(walk(50), source="a")
    made.append_candles(walk(51), source="a")
    made.append_candles(bar(JANUARY_31, 5.0), source="a")
    return made


def ask(*arguments: str) -> str:
    """Standard output of a command that succeeds."""
    answer = CliRunner().invoke(app, ["lake", *arguments])
    assert answer.exit_code == 0, answer.output
    return answer.stdout


def test_show_counts_by_kind(lake):
    """Rows, revisions, files and bytes; the place without its options."""
    found = json.loads(ask("show", "--json"))
    (held,) = lake.holdings()
    assert found == {
        "place": lake.place,
        "kinds": [
            {"kind": "candles_5m", "symbols": 1, "rows": 51, "revisions": 1, "files": 3, "bytes": held.size_bytes}
        ],
    }
    page = ask("show")
    assert lake.place in page
    assert "candles_5m" in page
    assert "?" not in page


def test_compact_tells_before_and_after(lake):
    """Three files become one; what is read stays."""
    bars = lake.candles("BTCUSDT", FIVE)
    first = json.loads(ask("compact", "--json"))
    assert (first["months"], first["files_before"], first["files_after"]) == (1, 3, 1)
    assert 0 < first["bytes_after"] < first["bytes_before"]
    assert "0 months folded: 1 files" in ask("compact")
    assert lake.candles("BTCUSDT", FIVE).close.tobytes() == bars.close.tobytes()
