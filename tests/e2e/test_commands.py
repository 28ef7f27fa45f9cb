"""Does each stage run alone, tell the truth and change only what it says?"""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pytest
from sqlalchemy import text

from cli.reference import RESULT_KEYS
from learning.device import cuda_devices
from tests.e2e.conftest import Life
from tests.e2e.lockstep_command import SYMBOLS, Answer, Lockstep
from tests.infra.lake_data import walk

pytestmark = pytest.mark.e2e


@dataclass(frozen=True, kw_only=True)
class Home:
    """The home in which the demo ran, and the command in it."""

    life: Life
    command: Lockstep

    def ask(self, *arguments: object, code: int = 0, more: dict[str, str] | None = None) -> Answer:
        """The answer of one command, which must end with ``code``."""
        answer = self.command.ask(*arguments, "--home", self.life.home, more=more)
        assert answer.code == code, f"{arguments}: {answer.out[-1500:]}{answer.err[-1500:]}"
        return answer

    def json(self, *arguments: object, code: int = 0, more: dict[str, str] | None = None) -> Any:
        """Its JSON, which has every key that docs/cli.md names."""
        found = self.ask(*arguments, "--json", code=code, more=more).json
        name = " ".join(str(one) for one in arguments)
        command = max((known for known in RESULT_KEYS if name.startswith(known)), key=len)
        always = re.sub(r"`[a-z_]+` \(with [^)]*\)", "", RESULT_KEYS[command])
        keys = re.findall(r"`([a-z_]+)`", re.sub(r"\([^)]*\)", "", always))
        assert set(keys) <= set(found), f"{command}: {set(keys) - set(found)} documented but not there"
        return found


@pytest.fixture(scope="session")
def home(life: Life, lockstep: Lockstep) -> Home:
    """The shared home."""
    return Home(life=life, command=lockstep)


@pytest.fixture
def unchanged(life: Life) -> Iterator[None]:
    """A command that only looks leaves every table and file as it was."""
    before = life.stored()
    yield
    assert life.stored() == before


@pytest.mark.usefixtures("unchanged")
def test_status_tells_the_truth(home):
    """Champion as in the deployments row, counts as in the tables; after the demo FLAT because its bars are old."""
    found = home.json("status")
    with home.life.engine.connect() as connection:
        row = connection.execute(
            text("SELECT version, bundle_hash FROM deployments WHERE model_name = 'lockstep-synthetic'")
        ).one()
        counted = {}
        for name in found["counts"]:
            ours = " WHERE model_name = 'lockstep-synthetic'" if name in {"signals", "predictions"} else ""
            counted[name] = connection.execute(text(f"SELECT count(*) FROM {name}{ours}")).scalar_one()
    assert (found["champion"]["version"], found["champion"]["bundle_hash"]) == tuple(row)
    assert found["meaning"] != "unknown"
    assert found["halted"] is False
    first = home.life.status
    assert (first["state"], first["reason"], first["halted"]) == ("FLAT", "stale_data", False)
    assert first["champion"] == found["champion"]
    assert found["counts"] == counted
    assert found["lake_last_bar_ms"] == 1_735_689_600_000 + 30 * 86_400_000 - 300_000
    assert found["symbols"] == list(SYMBOLS)
    assert found["parity"]["identical"] == found["parity"]["rows"] == home.life.first["parity"]["rows"]
    assert found["synthetic"] is True
    assert found["challenger"] is None
    assert f"FLAT ({found['reason']}: " in home.ask("status").out


@pytest.mark.usefixtures("unchanged")
def test_the_doctor_finds_nothing(home):
    """Every check is well and exits with 0."""
    found = home.json("doctor")
    assert found["well"] is True
    assert [one["check"] for one in found["checks"]] == ["versions", "database", "lake", "registry", "bundle", "disk"]
    assert "champion = 1" in found["checks"][3]["detail"]


def test_features_are_built_once_and_shown_with_their_formulae(home):
    """Finished blocks of training come from the cache; shown values are those of a row of the lake's last bar."""
    built = home.json("features", "build")
    assert built["rows"] == len(SYMBOLS) * 30 * 288
    assert built["blocks_cached"] > 0
    shown = home.json("features", "show", "SYNBTC/USDT:USDT", "--last", "2")
    assert shown["symbol"] == "SYNBTCUSDT"
    assert shown["rows"][-1]["bar"] == home.life.first["data"]["last"]
    assert shown["rows"][-1]["reason"] == ""
    assert set(shown["rows"][-1]["values"]) == set(shown["formulas"])
    assert len(shown["formulas"]) == built["features"]
    assert "atr_pct" in home.ask("features", "show", "SYNBTCUSDT").out


@pytest.mark.usefixtures("unchanged")
def test_an_unknown_symbol_has_no_features(home):
    """Refused with the remedy."""
    answer = home.ask("features", "show", "NOPEUSDT", code=1)
    assert len(answer.lines) == 1
    assert "NOPEUSDT" in answer.lines[0]
    answer = home.ask("features", "build", "--symbols", "NOPEUSDT", code=1)
    assert len(answer.lines) == 1
    assert "NOPEUSDT" in answer.lines[0]


@pytest.mark.usefixtures("unchanged")
def test_training_again_answers_from_the_finished_one(home):
    """The same data and settings are trained once, and the text shows the same scores as the first time."""
    found = home.json("train")
    assert (found["trained_now"], found["version"], found["timings_s"]) == (False, 1, {})
    assert "Training of lockstep-synthetic" in Path(found["report"]).read_text()
    assert found["bundle_hash"] == home.life.first["champion"]["bundle_hash"]
    shown = home.ask("train").out
    assert "trained before" in shown
    assert "ensemble (what is served)" in shown


@pytest.mark.skipif(cuda_devices() > 0, reason="there is a GPU here")
@pytest.mark.usefixtures("unchanged")
def test_a_gpu_that_is_not_there_is_refused(home):
    """One line with the remedy before anything is read: even the finished training does not answer for it."""
    answer = home.ask("train", more={"LOCKSTEP_TRAINING__DEVICE": "cuda"}, code=1)
    assert len(answer.lines) == 1
    for said in ("training.device is cuda, but", "not what was asked for", "set training.device to cpu, or"):
        assert said in answer.lines[0]


@pytest.mark.usefixtures("unchanged")
def test_nobody_challenges_the_champion(home):
    """Shadow and promotion without a challenger say so and change nothing."""
    shadow = home.json("shadow")
    assert (shadow["challenger_version"], shadow["champion_version"], shadow["bars"]) == (None, 1, 0)
    assert shadow["already_served"] == 2 * 288
    found = home.ask("promote", "--json").json
    assert (found["verdict"], found["promoted"]) == ("none", False)
    assert "champion already" in found["reason"]
    assert "champion already" in home.ask("promote", "--dry-run").out


@pytest.mark.usefixtures("unchanged")
def test_parity_and_drift_repeat_what_they_found(home):
    """The same rows give the same answer and no second row in their ledgers."""
    assert home.json("parity")["identical"] == home.life.first["parity"]["rows"]
    assert home.json("features", "verify")["first_mismatch"] is None
    assert "byte for byte identical" in home.ask("parity").out
    drift = home.json("drift")
    assert drift["verdict"] == home.life.first["drift"]["verdict"]
    assert len(drift["features"]) > 50
    assert "Furthest from training" in home.ask("drift").out


@pytest.mark.usefixtures("unchanged")
def test_the_ledger_and_the_funnel_are_those_of_the_stored_rows(home, tmp_path):
    """Results, positions, a picture, and a funnel that adds up to the signals of the status."""
    book = home.json("ledger", "--plot", tmp_path / "equity.png")
    assert book["closed"] > 0
    assert book["closed"] + book["unresolved"] == sum(book["barriers"].values())
    assert (tmp_path / "equity.png").stat().st_size > 5_000
    assert "Open positions" in (told := home.ask("ledger").out) or "no open position" in told
    found = home.json("funnel")
    assert found["adds_up"] is True
    assert found["signals"] == home.json("status")["counts"]["signals"] == found["bars"] * len(SYMBOLS)
    assert f"{found['signals']:,}" in home.ask("funnel").out


def test_models_and_cards_can_be_looked_at(home):
    """The registered version, its sealed facts, its proof in a fresh process, and the card that promoted it."""
    (version,) = home.json("models", "list")["versions"]
    assert (version["version"], list(version["aliases"]), version["synthetic"]) == (1, ["champion"], True)
    facts = home.json("models", "show", 1)
    assert facts["symbols"] == list(SYMBOLS)
    assert abs(sum(facts["models"].values()) - 1) < 1e-3
    checked = home.json("models", "verify", 1)
    assert (checked["sound"], checked["mlflow_imported"]) == (True, False)
    assert checked["bundle_hash"] == version["bundle_hash"] == facts["bundle_hash"]
    compared = home.json("models", "diff", 1, 1)
    assert (compared["same"], compared["facts"], set(compared["models"])) == (True, {}, set(facts["models"]))
    assert "hold the same bundle" in home.ask("models", "diff", 1, 1).out
    (card,) = home.json("cards", "list")["cards"]
    assert version["decision"] == f"promote (card {card['id']})"
    shown = home.json("cards", "show", card["id"])
    assert (shown["verdict"], shown["champion_hash"]) == ("promote", None)
    assert [gate["name"] for gate in shown["gates"]] == [gate["name"] for gate in home.life.first["gates"]]
    for arguments in (("models", "list"), ("models", "show", 1), ("cards", "list"), ("cards", "show", card["id"])):
        assert version["bundle_hash"][:12] in home.ask(*arguments).out


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("models", "show", 99), "99"),
        (("models", "verify", 99), "99"),
        (("models", "diff", 1, 99), "99"),
        (("cards", "show", 99), "99"),
        (("rollback", "--why", "x"), "nothing to return to"),
        (("rollback", "--why", "x", "--to", 99), "99"),
        (("serve", "--replay", "2024-01-01", "2024-01-02"), "cannot be replayed"),
        (("serve", "--replay", "2025-01-30", "2025-01-29"), "cannot be replayed"),
    ],
    ids=str,
)
def test_what_is_not_there_is_refused(home, arguments, words):
    """In one line with the remedy, and nothing changes."""
    answer = home.ask(*arguments, code=1)
    assert len(answer.lines) == 1, answer.err
    assert words in answer.lines[0]
    assert "What to do: " in answer.lines[0]


@pytest.mark.usefixtures("unchanged")
def test_a_stretch_is_served_once(home):
    """Replaying bars that were served adds nothing and shows the last signals."""
    found = home.json("serve", "--replay", "2025-01-30", "2025-01-30T01:00")
    assert (found["bars"], found["already_served"], found["cause"]) == (0, 12, "ok")
    assert "12 before" in home.ask("serve", "--replay", "2025-01-30", "2025-01-30T01:00").out


def test_a_second_model_lives_its_life_stage_by_stage(home):
    """Under another name: train, shadow, judge, refuse, promote, each alone; the first model is untouched."""
    life, name = home.life, {"LOCKSTEP_REGISTRY__MODEL_NAME": "second"}
    asked = name | {"LOCKSTEP_DATA__SYMBOLS": ",".join((*SYMBOLS, "SYNNOPEUSDT"))}
    trained = home.json("train", more=asked)
    assert (trained["trained_now"], trained["version"], trained["model_name"]) == (True, 1, "second")
    assert {"panel", "fit", "score", "register"} <= set(trained["timings_s"])
    assert trained["report"] in home.ask("train", more=asked).out.replace("\n", "")
    assert trained["evaluation"]["left_out"] == {"SYNNOPEUSDT": "no bars in the lake"}
    assert "SYNNOPEUSDT" in home.ask("train", more=asked).out
    assert home.json("status", more=name)["challenger"]["version"] == 1
    shadow = home.json("shadow", more=name)
    assert (shadow["challenger_version"], shadow["champion_version"], shadow["bars"]) == (1, None, 2 * 288)
    assert shadow["predictions"] == 2 * 288 * len(SYMBOLS) // 3  # every third bar is an event
    _dry_run_changes_nothing(home, name)
    _a_gate_that_does_not_pass_refuses(home, name)
    decided = home.json("promote", more=name)
    assert (decided["verdict"], decided["promoted"]) == ("promote", True)
    status = home.json("status", more=name)
    assert status["champion"]["bundle_hash"] == trained["bundle_hash"]
    assert (status["registry"]["cause"], status["registry"]["detail"]) == ("ok", "")
    assert status["challenger"] is None
    assert home.json("status")["champion"]["bundle_hash"] == life.first["champion"]["bundle_hash"]
    with life.registry.connect() as connection:
        aliases = connection.execute(text("SELECT name, alias, version FROM registered_model_aliases ORDER BY name"))
        assert [tuple(row) for row in aliases] == [("lockstep-synthetic", "champion", 1), ("second", "champion", 1)]


def test_equal_trainings_are_one_bundle_and_the_one_asked_for_challenges(home):
    """Whatever was tried in between: asked again the first challenges again, and lost, it is trained into its bytes."""
    name = {"LOCKSTEP_REGISTRY__MODEL_NAME": "asked"}
    first = home.json("train", more=name)
    other = home.json("train", "--mode", "meta", more=name)
    assert _challenger(home, name) == other["version"] == 2
    again = home.json("train", more=name)
    assert (again["trained_now"], again["version"]) == (False, 1)
    assert _challenger(home, name) == 1
    shutil.rmtree(home.life.home / "bundles" / first["bundle_hash"])
    once_more = home.json("train", more=name)
    assert (once_more["trained_now"], once_more["bundle_hash"]) == (True, first["bundle_hash"])


def _challenger(home, name):
    """The version that would be judged."""
    (found,) = [one for one in home.json("models", "list", more=name)["versions"] if "challenger" in one["aliases"]]
    return found["version"]


def _dry_run_changes_nothing(home, name):
    before = home.life.stored()
    judged = home.json("promote", "--dry-run", more=name)
    assert (judged["verdict"], judged["promoted"], judged["card_id"]) == ("promote", False, None)
    assert home.life.stored() == before


def _a_gate_that_does_not_pass_refuses(home, name):
    """Exit code 1 with the gate's name; the card is kept and nobody is promoted."""
    asked = {"LOCKSTEP_GATES__MIN_DEFLATED_SHARPE": "1", "LOCKSTEP_GATES__MIN_TRADES": "100000"}
    refused = home.json("promote", code=1, more=name | asked)
    failed = {gate["name"] for gate in refused["gates"] if not gate["passed"]}
    assert "walk_forward_trades_min" in failed
    assert (refused["verdict"], refused["promoted"]) == ("refuse", False)
    assert home.json("cards", "show", refused["card_id"])["verdict"] == "refuse"
    status = home.json("status", more=name)
    assert (status["champion"], status["challenger"]["version"]) == (None, 1)


def test_halt_stops_signals_and_resume_takes_it_back(home):
    """The switch shows in the status with the reason and in the signals of the next bar."""
    assert home.json("halt", "--reason", "exchange maintenance")["halted"] is True
    try:
        found = home.json("status")
        assert (found["state"], found["reason"], found["halted"]) == ("HALT", "halted", True)
        served = home.json("serve", "--once", more={"LOCKSTEP_REGISTRY__MODEL_NAME": "third"})
        assert served["reasons"] == {"halted": len(SYMBOLS)}
    finally:
        resumed = home.json("resume", "--reason", "it is over")
    assert resumed == {"halted": False, "why": "it is over"}
    assert home.json("status")["state"] == "FLAT"
    with home.life.engine.connect() as connection:
        row = connection.execute(text("SELECT value, why FROM switches WHERE name = 'halt'")).one()
    assert tuple(row) == ("off", "it is over")


def test_serving_once_on_old_bars_stands_flat(home):
    """Nothing of a market that stopped months ago becomes a signal to trade."""
    home.json("serve", "--once")
    with home.life.engine.connect() as connection:
        newest = "SELECT max(bar_ms) FROM signals WHERE model_name = 'lockstep-synthetic'"
        rows = connection.execute(text(f"SELECT DISTINCT action, state FROM signals WHERE bar_ms = ({newest})")).all()
    assert {row.action for row in rows} == {0}
    assert {row.state for row in rows} <= {"FLAT", "HALT"}
    assert home.json("status")["state"] == "FLAT"


def test_files_are_backfilled_once_and_add_up(lockstep, tmp_path_factory):
    """Coverage of what the files hold; the second time nothing is new."""
    root = tmp_path_factory.mktemp("files")
    folder = root / "candles"
    folder.mkdir()
    for seed, symbol in enumerate(("BTCUSDT", "ETHUSDT")):
        _write(folder / f"{symbol}.csv", symbol, seed)
    home = root / "home"
    arguments = ("backfill", "--files", folder, "--home", home)
    first = lockstep.ask(*arguments, "--json").json
    assert first["new_rows"] == 2 * 500
    assert [(row["symbol"], row["rows"], row["missing"]) for row in first["coverage"]] == [
        ("BTCUSDT", 500, 0),
        ("ETHUSDT", 500, 0),
    ]
    again = lockstep.ask(*arguments)
    assert again.code == 0
    assert "0 new rows from files:candles" in again.out
    status = lockstep.ask("status", "--home", home, "--json").json
    assert (status["champion"], status["reason"], status["synthetic"]) == (None, "no_champion", False)


def _write(path: Path, symbol: str, seed: int) -> None:
    bars = walk(500, symbol=symbol, seed=seed)
    names = ("open", "high", "low", "close", "volume")
    pa_csv.write_csv(pa.table({"timestamp": bars.open_time} | {name: getattr(bars, name) for name in names}), path)
