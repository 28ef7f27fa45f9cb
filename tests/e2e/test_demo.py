"""What does a stranger get from ``lockstep demo``?"""

import re

import pytest
from sqlalchemy import text

from cli.reference import RESULT_KEYS
from tests.e2e.lockstep_command import DAYS, SYMBOLS

pytestmark = pytest.mark.e2e


def test_the_summary_has_the_documented_keys(life):
    """Every key that docs/cli.md names at the top level is there."""
    page = re.sub(r"\([^)]*\)", "", RESULT_KEYS["demo"])
    documented = set(re.findall(r"`([a-z_]+)`", page))
    assert documented <= set(life.first)
    assert {"data", "parity", "walk_forward", "gates", "champion", "serving", "timings_s"} <= documented


def test_the_data_are_what_was_asked_for(life):
    """All days of all symbols, without a hole."""
    data = life.first["data"]
    assert data["symbols"] == list(SYMBOLS)
    assert data["bars"] == len(SYMBOLS) * DAYS * 288
    assert data["coverage"] == 1.0
    assert data["new_rows"] > data["bars"], "funding and open interest come with the candles"
    assert life.first["synthetic"] is True


def test_every_served_row_is_what_batch_computes(life):
    """Parity is 100 % over the shadow and the served stretch."""
    parity = life.first["parity"]
    assert parity == {"rows": len(SYMBOLS) * 3 * 288, "identical": len(SYMBOLS) * 3 * 288, "first_mismatch": None}


def test_scores_stand_beside_baselines(life):
    """Models, ensemble and baselines with finite scores; the ensemble knows more than class shares alone."""
    scores = life.first["walk_forward"]
    models = {"ensemble", "lightgbm", "xgboost", "logistic"}
    assert models | {"climatology", "primary_rule", "buy_and_hold", "no_trade"} <= set(scores)
    assert all(0.5 < scores[name]["log_loss"] < 1.5 for name in models)
    assert scores["ensemble"]["log_loss"] < scores["climatology"]["log_loss"]
    assert scores["no_trade"]["net_return"] == 0
    assert all(0 <= scores[name]["max_drawdown"] <= 1 for name in models)


def test_the_planted_edge_earns_a_promotion(life):
    """All gates passed, each with its number, and version 1 is champion for that reason."""
    gates = life.first["gates"]
    assert len(gates) >= 20
    assert all(gate["passed"] for gate in gates)
    measured = [gate for gate in gates if gate["threshold"] is not None]
    for gate in measured:
        low = gate["comparison"] == ">="
        assert gate["measured"] >= gate["threshold"] if low else gate["measured"] <= gate["threshold"], gate
    assert life.first["verdict"]["verdict"] == "promote"
    assert life.first["champion"]["version"] == 1
    assert life.first["champion"]["reason"] == life.first["verdict"]["reason"]


def test_what_is_served_adds_up(life):
    """One decision per symbol and served bar, some of them trades, and a last signal of each symbol with its reason."""
    serving = life.first["serving"]
    assert serving["decisions"] == len(SYMBOLS) * 288 == sum(serving["actions"].values())
    assert serving["actions"]["BUY"] + serving["actions"]["SELL"] > 0
    assert (serving["state"], serving["reason"]) == ("FULL", "ok")
    assert sorted(row["symbol"] for row in serving["last_signals"]) == sorted(SYMBOLS)
    assert {row["bar"] for row in serving["last_signals"]} == {serving["last_bar"]} == {life.first["data"]["last"]}


def test_drift_states_its_false_alarm_rate(life):
    """The verdict, on all served rows, with how often it would be wrong."""
    drift = life.first["drift"]
    assert drift["rows"] == len(SYMBOLS) * 288
    assert drift["verdict"] in {"NONE", "WARN", "ALERT"}
    assert 0 < drift["false_alarm_rate"] <= 0.2
    assert drift["calibration_windows"] >= 10


def test_each_step_is_timed_and_the_report_is_there(life):
    """Seconds of every step, and one self-contained page that names the model."""
    timings = life.first["timings_s"]
    assert set(timings) == {"data", "train", "shadow", "promote", "serve", "parity", "drift"}
    assert all(seconds > 0 for seconds in timings.values())
    page = (life.home / "reports" / "lockstep-synthetic.html").read_text()
    assert life.first["report"].endswith("lockstep-synthetic.html")
    assert life.first["champion"]["bundle_hash"][:12] in page
    assert not re.search(r"(?:src|href)=.https?://", page), "the page must need no network"


def test_the_same_demo_again_adds_no_row_anywhere(life):
    """All tables of both databases, MLflow's versions among them, count what they counted before."""
    assert life.stored_second.rows == life.stored_first.rows
    assert life.stored_first.rows["mlflow.model_versions"] == 1
    assert life.stored_first.rows["lockstep.deployments"] == 1
    assert life.stored_first.rows["lockstep.predictions"] == len(SYMBOLS) * 3 * 288 // 3  # every third bar is an event


def test_the_same_demo_again_changes_no_byte_of_lake_bundles_or_artifacts(life):
    """No file is new, gone or different, and the lake took no row."""
    assert life.stored_second.files == life.stored_first.files
    assert any(name.startswith("lake/") for name in life.stored_first.files)
    assert life.second["data"]["new_rows"] == 0


def test_the_same_demo_again_says_the_same(life):
    """Only that it trained nothing, and how long it took, is different."""
    assert life.second["training"]["trained_now"] is False
    same = ("walk_forward", "gates", "champion", "parity", "drift", "serving")
    assert {name: life.second[name] for name in same} == {name: life.first[name] for name in same}
    assert life.second["shadow"]["already_served"] == 2 * 288


def test_database_registry_and_summary_name_the_same_champion(life):
    """The deployments row is the truth, MLflow's alias follows, and the summary reads both right."""
    of_model, of_name = "WHERE model_name = 'lockstep-synthetic'", "WHERE name = 'lockstep-synthetic'"
    with life.engine.connect() as connection:
        row = connection.execute(text(f"SELECT version, bundle_hash, model_name FROM deployments {of_model}")).one()
    with life.registry.connect() as connection:
        aliases = connection.execute(text(f"SELECT name, alias, version FROM registered_model_aliases {of_name}")).all()
    assert tuple(row) == (1, life.first["champion"]["bundle_hash"], "lockstep-synthetic")
    assert [tuple(alias) for alias in aliases] == [("lockstep-synthetic", "champion", 1)]


def test_nothing_half_made_is_left(life):
    """No temporary file or folder remains in the home."""
    left = [
        path for path in life.home.rglob("*") if path.name.startswith((".tmp", ".arriving", "sealing-", "download-"))
    ]
    assert left == []
