"""What does the command say to input that cannot be used? One line with what, why and what to do; nothing half-done."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from tests.e2e.lockstep_command import Answer, Lockstep
from tests.infra.lake_data import FIVE, walk

pytestmark = pytest.mark.e2e
_BARS = 400


@pytest.fixture(scope="session")
def command(tmp_path_factory: pytest.TempPathFactory, starting: object) -> Iterator[Lockstep]:
    """The command under default settings, with no server of its own; those that later tests share start meanwhile."""
    made = Lockstep(cwd=tmp_path_factory.mktemp("refused"))
    yield made
    made.close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home that is not there yet."""
    return tmp_path / "home"


def assert_refused(answer: Answer, *words: str) -> None:
    """Exit code 1 and one line on standard error with what, why and remedy, in which each of ``words`` is found."""
    assert answer.code == 1, answer
    assert "Traceback" not in answer.err + answer.out
    assert len(answer.lines) == 1, answer.err
    line = answer.lines[0]
    assert line.startswith("refused ")
    assert ". What to do: " in line
    assert ": " in line.partition(". What to do: ")[0]
    for word in words:
        assert word.lower() in line.lower(), line


def frame(symbol: str = "BTCUSDT", bars: int = _BARS) -> dict[str, np.ndarray]:
    """Columns of a sound file."""
    candles = walk(bars, symbol=symbol)
    names = ("open", "high", "low", "close", "volume")
    return {"timestamp": candles.open_time.copy()} | {name: getattr(candles, name).copy() for name in names}


def wrong_columns(columns):
    columns["last_price"] = columns.pop("close")


def unsorted(columns):
    for values in columns.values():
        values[[10, 11]] = values[[11, 10]]


def duplicated(columns):
    columns["timestamp"][20] = columns["timestamp"][19]


def high_below_low(columns):
    columns["high"][30], columns["low"][30] = columns["low"][30] - 1, columns["high"][30]


def negative_price(columns):
    for name in ("open", "high", "low", "close"):
        columns[name][40] = -1.0


def not_a_number(columns):
    columns["close"][50] = np.nan


def mixed_timeframes(columns):
    steps = np.full(_BARS, FIVE.ms)
    steps[200:] = 12 * FIVE.ms
    columns["timestamp"][:] = columns["timestamp"][0] + np.concatenate(([0], np.cumsum(steps)[:-1]))


def three_bars(columns):
    for name in columns:
        columns[name] = columns[name][:3]


def other_timeframe(columns):
    columns["timestamp"][:] = columns["timestamp"][0] + np.arange(_BARS) * 12 * FIVE.ms


_BAD_BARS = {
    wrong_columns: "close",
    unsorted: "order",
    duplicated: "",
    high_below_low: "high",
    negative_price: "price",
    not_a_number: "close",
    mixed_timeframes: "mixed timeframes",
    three_bars: "3 bar",
    other_timeframe: "",
}


@pytest.mark.parametrize("name", ["csv", "parquet"])
@pytest.mark.parametrize("spoil", _BAD_BARS, ids=lambda spoil: spoil.__name__)
def test_bars_that_break_a_rule(command, home, tmp_path, spoil, name):
    """The file is named, no server was started and no home was made, although another file is sound."""
    folder = _folder(tmp_path)
    columns = frame("ETHUSDT")
    spoil(columns)
    _write(folder / f"ETHUSDT.{name}", columns)
    answer = command.ask("backfill", "--files", folder, "--home", home)
    assert_refused(answer, "ETHUSDT", _BAD_BARS[spoil])
    assert not home.exists()


def test_the_demo_refuses_such_bars_too(command, home, tmp_path):
    """Before it starts anything, with the reason also as JSON."""
    folder = _folder(tmp_path)
    columns = frame("ETHUSDT")
    duplicated(columns)
    _write(folder / "ETHUSDT.csv", columns)
    answer = command.ask("demo", "--files", folder, "--home", home, "--json")
    assert_refused(answer, "ETHUSDT.csv")
    assert set(answer.json["error"]) == {"what", "why", "remedy"}
    assert not home.exists()


def test_an_empty_file(command, home, tmp_path):
    """It is refused by name, not skipped."""
    folder = _folder(tmp_path)
    (folder / "ETHUSDT.csv").touch()
    assert_refused(command.ask("backfill", "--files", folder, "--home", home), "ETHUSDT.csv", "empty")
    assert not home.exists()


def test_a_corrupt_parquet_file(command, home, tmp_path):
    """Whatever the reader says becomes one line."""
    folder = _folder(tmp_path)
    _write(folder / "ETHUSDT.parquet", frame("ETHUSDT"))
    content = bytearray((folder / "ETHUSDT.parquet").read_bytes())
    content[len(content) // 3 :] = b"\0" * (len(content) - len(content) // 3)
    (folder / "ETHUSDT.parquet").write_bytes(bytes(content))
    assert_refused(command.ask("backfill", "--files", folder, "--home", home), "ETHUSDT.parquet", "damaged")
    assert not home.exists()


@pytest.mark.parametrize("what", ["backfill", "demo"])
def test_a_folder_that_is_not_there_or_holds_nothing(command, home, tmp_path, what):
    """Both are refused before a home exists."""
    missing, empty = tmp_path / "missing", tmp_path / "empty"
    empty.mkdir()
    assert_refused(command.ask(what, "--files", missing, "--home", home), "missing", "not a folder")
    assert_refused(command.ask(what, "--files", empty, "--home", home), "empty")
    assert not home.exists()


def test_an_unknown_symbol(command, home, tmp_path):
    """The nearest known one is offered."""
    answer = command.ask("backfill", "--files", _folder(tmp_path), "--symbols", "BTCUSDC", "--home", home)
    assert_refused(answer, "BTCUSDC", "did you mean BTCUSDT")
    assert_refused(command.ask("demo", "--symbols", "BTCUSDT", "--home", home), "BTCUSDT", "synthetic")
    assert_refused(command.ask("backfill", "--files", _folder(tmp_path), "--symbols", "???", "--home", home), "???")
    assert not home.exists()


def test_a_folder_without_the_reference_market(command, home, tmp_path):
    """The demo needs it, and says how to name another."""
    folder = tmp_path / "eth"
    folder.mkdir()
    _write(folder / "ETHUSDT.csv", frame("ETHUSDT"))
    assert_refused(command.ask("demo", "--files", folder, "--home", home), "LOCKSTEP_FEATURES__REFERENCE_SYMBOL")
    assert not home.exists()


_NEED_A_HOME = (
    ("status",),
    ("doctor",),
    ("train",),
    ("shadow",),
    ("promote",),
    ("parity",),
    ("drift",),
    ("serve",),
    ("serve", "--once"),
    ("serve", "--replay", "2025-01-01", "2025-01-02"),
    ("halt", "--reason", "x"),
    ("resume", "--reason", "x"),
    ("rollback", "--why", "x"),
    ("models", "list"),
    ("models", "show", "1"),
    ("models", "verify", "1"),
    ("models", "diff", "1", "2"),
    ("cards", "list"),
    ("cards", "show", "1"),
    ("features", "build"),
    ("features", "show", "BTCUSDT"),
    ("features", "verify"),
)


@pytest.mark.parametrize("arguments", _NEED_A_HOME, ids=" ".join)
def test_no_home(command, home, arguments):
    """A misspelt home is refused and not made: least of all halted."""
    assert_refused(command.ask(*arguments, "--home", home), f"no home at {home}")
    assert not home.exists()


@pytest.mark.parametrize("arguments", [("status",), ("demo",), ("backfill", "--files", "."), ("up",)], ids=" ".join)
def test_a_home_that_is_a_file(command, tmp_path, arguments):
    """It stays the file it is."""
    path = tmp_path / "file"
    path.write_text("mine")
    assert_refused(command.ask(*arguments, "--home", path), str(path), "it is a file")
    assert path.read_text() == "mine"


_BAD_DATABASES = {
    "postgresql+psycopg://user:hidden-word@127.0.0.1:1/lockstep": "nothing listens there",
    "mysql://user:hidden-word@127.0.0.1/lockstep": "mysql://",
    "postgresql+psycopg://user:hidden-word@127.0.0.1:1": "names no database",
    "not an address": "cannot be read",
}


@pytest.mark.parametrize("url", _BAD_DATABASES)
def test_a_wrong_database_address(command, home, url):
    """Said in words, never with the password."""
    (home / "lake").mkdir(parents=True)
    answer = command.ask("status", "--home", home, more={"LOCKSTEP_DATABASE__URL": url})
    assert_refused(answer, _BAD_DATABASES[url])
    assert "hidden-word" not in answer.err + answer.out
    assert [path.name for path in home.rglob("*")] == ["lake"]


def test_a_folder_that_is_no_home_is_left_alone(command, tmp_path):
    """Looking at somebody else's folder does not start a database in it."""
    answer = command.ask("status", "--home", tmp_path)
    assert_refused(answer, "there is no home at")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("LOCKSTEP_TRAINING__FOLD", "3", "did you mean LOCKSTEP_TRAINING__FOLDS"),
        ("LOCKSTEP_HOEM", "x", "LOCKSTEP_HOEM"),
        ("LOCKSTEP_TRAINING__FOLDS", "many", "LOCKSTEP_TRAINING__FOLDS = 'many'"),
        ("LOCKSTEP_LABELS__HORIZON_BARS", "-1", "LOCKSTEP_LABELS__HORIZON_BARS"),
        ("LOCKSTEP_DATA__TIMEFRAME", "7m", "LOCKSTEP_DATA__TIMEFRAME"),
    ],
)
def test_a_setting_that_is_unknown_or_wrong(command, home, name, value, words):
    """By its name in the environment, with the nearest known one."""
    assert_refused(command.ask("demo", "--home", home, more={name: value}), words)
    assert not home.exists()


def test_a_damaged_settings_file(command, home):
    """The file is named and left alone."""
    home.mkdir()
    (home / "lockstep.toml").write_text("[training\nfolds = 3")
    assert_refused(command.ask("status", "--home", home), "lockstep.toml", "cannot be read")
    assert [path.name for path in home.iterdir()] == ["lockstep.toml"]


_USAGE = (
    ("demo", "--no-such-option"),
    ("no-such-command",),
    ("demo", "--days", "many"),
    ("demo", "--days", "0"),
    ("backfill",),
    ("backfill", "--symbols", "BTCUSDT"),
    ("backfill", "--symbols", "BTCUSDT", "--from", "yesterday"),
    ("backfill", "--symbols", "BTCUSDT", "--from", "2999-01-01"),
    ("serve", "--once", "--replay", "2025-01-01", "2025-01-02"),
    ("serve", "--replay", "2025-01-01"),
    ("halt",),
    ("models", "show"),
    ("models", "show", "newest"),
    ("features", "show", "BTCUSDT", "--last", "0"),
)


@pytest.mark.parametrize("arguments", _USAGE, ids=" ".join)
def test_wrong_usage(command, home, arguments):
    """Exit code 2 with what is wrong, and no home."""
    answer = command.ask(*arguments, more={"LOCKSTEP_HOME": str(home)})
    assert answer.code == 2, answer
    assert answer.out == ""
    assert "Error" in answer.err
    assert "Traceback" not in answer.err
    assert not home.exists()


def test_a_history_that_is_too_short(command, home, tmp_path):
    """The demo says at once how many days are missing, for the synthetic market and for files."""
    assert_refused(command.ask("demo", "--days", 6, "--home", home), "6.0 days of history", "backfill 36 more days")
    answer = command.ask("demo", "--files", _folder(tmp_path), "--home", home)
    assert_refused(answer, "1.4 days of history", "more days")
    assert not home.exists()


def test_the_script_itself_refuses_in_one_line(command, home):
    """As a process of its own, without the harness: code 1 and the line, code 2 and the usage."""
    assert_refused(command.run("status", "--home", home), "no home")
    assert command.run("status", "--no-such-option").code == 2
    assert not home.exists()


def _folder(tmp_path: Path) -> Path:
    """A folder with one sound file."""
    folder = tmp_path / "candles"
    folder.mkdir(exist_ok=True)
    _write(folder / "BTCUSDT.csv", frame())
    return folder


def _write(path: Path, columns: dict[str, np.ndarray]) -> None:
    table = pa.table(columns)
    if path.suffix == ".csv":
        pa_csv.write_csv(table, path)
    else:
        pq.write_table(table, path)
