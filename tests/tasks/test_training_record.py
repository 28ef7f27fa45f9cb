"""What people see of a training: its run in MLflow and its page, made from one result."""

import json
import re
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from learning.training import train
from learning.training_report import render_training
from learning.training_report_inputs import Fact, Range
from market.timeframe import Timeframe
from registry.model_card import flatten
from tasks.training_evidence import own_trials, training_evidence
from tasks.training_record import training_record
from tasks.training_report import report_path, training_report
from tests.learning.planted import CONTRACT, FIRST, NAMES, SPEC, planted_panel, tiny_config

FIVE = Timeframe.parse("5m")
HASH = "0123456789abcdef" * 4
TRIALS = (
    {"name": "trial 1", "params": {"leaves": 7}, "metrics": {"inner_log_loss": 0.8765}, "state": "COMPLETE"},
    {"name": "trial 2", "params": {"leaves": 31}, "metrics": {}, "state": "PRUNED"},
    {"name": "trial 3", "params": {"leaves": 63}, "metrics": {"log_loss": float("nan")}, "state": "FAIL"},
)


@pytest.fixture(scope="module")
def panel():
    return planted_panel(edge=1.0)


@pytest.fixture(scope="module")
def result(panel):
    return train(panel, CONTRACT, SPEC, tiny_config(), train_end_index=FIRST + 2800)


@pytest.fixture(scope="module")
def evidence(result):
    return training_evidence(result, timeframe=FIVE, horizon_bars=12, seed=7, trials=17, alpha=0.05)


@pytest.fixture(scope="module")
def facts(panel, result):
    """Facts as they are sealed: through JSON and back."""
    made = {
        "model_name": "planted",
        "snapshot_id": "5" * 32,
        "symbols": list(panel.symbols),
        "timeframe": "5m",
        "train_start_ms": FIVE.open_time(FIRST),
        "train_end_ms": FIVE.open_time(FIRST + 2800),
        "seed": 7,
        "synthetic": True,
        "commit": "c" * 40,
        "universe": {"mode": "fixed"},
        "class_shares": result.evaluation["class_shares"],
        "evaluation": result.evaluation,
        "config": {
            "labels": asdict(SPEC),
            "events": asdict(panel.events),
            "training": asdict(tiny_config()),
            "contract": CONTRACT.fingerprint,
            "universe": {"mode": "fixed", "id": "u"},
        },
    }
    return json.loads(json.dumps(made, allow_nan=False))


@pytest.fixture(scope="module")
def record(facts, evidence):
    return training_record(
        facts,
        evidence,
        bundle_hash=HASH,
        training_key="k",
        timings={"fit": 2.0, "score": 1.0},
        artifacts={"reports": (Path("page.html"),)},
        trials=TRIALS,
    )


@pytest.fixture(scope="module")
def inputs(facts, evidence, result):
    timings = {"fit": 2.0, "score": 1.0}
    return training_report(
        facts, evidence, result, bundle_hash=HASH, features=NAMES, made_ms=0, timings=timings, trials=TRIALS
    )


def test_a_run_can_be_told_from_others_in_a_list(record):
    """The short hash comes first, then model and period; what filters need is a tag."""
    assert record.name == "01234567 planted 2027-01-15 to 2027-01-25"
    assert record.tags["mode"] == "direction"
    assert record.tags["snapshot_id"] == "5" * 32
    assert "Synthetic market" in record.description
    assert record.seconds == 3.0


def test_metrics_stand_in_groups_and_are_those_of_the_evaluation(record, result):
    """Ensemble, models and baselines under their prefixes, with the ends of the intervals; folds are a series."""
    scores, sure = result.evaluation["strategies"], result.evaluation["uncertainty"]
    assert record.metrics["oof/log_loss"] == scores["ensemble"]["log_loss"]
    assert record.metrics["oof/sharpe"] == scores["ensemble"]["sharpe"]
    assert record.metrics["oof/sharpe_low"] == sure["strategies"]["ensemble"]["sharpe"]["low"]
    assert record.metrics["baseline/climatology/log_loss"] == scores["climatology"]["log_loss"]
    assert record.metrics["model/xgboost/hit_rate"] == scores["xgboost"]["hit_rate"]
    assert record.metrics["evidence/trials"] == 17
    assert record.series["fold/log_loss"][1] is None
    assert record.series["fold/log_loss"][3] == result.evaluation["folds"][2]["log_loss"]
    assert all(re.fullmatch(r"[\w./ -]+", name) for name in [*record.metrics, *record.series])


def test_parameters_are_flat_short_and_without_what_is_learnt(record):
    """One name a setting; thresholds are learnt, so they are no parameter."""
    assert record.params["training.folds"] == 3
    assert record.params["decision.horizon_bars"] == 12
    assert record.params["training.models"] == "lightgbm, xgboost, logistic"
    assert not [name for name in record.params if name.startswith("decision.threshold")]
    assert flatten(record.params) == record.params
    assert all(len(str(value)) < 500 for value in record.params.values())


def test_every_fold_and_every_trial_is_a_child(record, result):
    """Folds with dates, rounds and skill; trials with their state, one that was pruned or failed included."""
    folds = [child for child in record.children if child.kind == "fold"]
    trials = [child for child in record.children if child.kind == "trial"]
    assert [child.params["scored"] for child in folds] == [False, True, True]
    last = result.evaluation["folds"][2]
    assert folds[2].metrics["skill"] == pytest.approx(last["climatology_log_loss"] - last["log_loss"])
    assert folds[2].metrics["rounds/lightgbm"] == last["rounds"]["lightgbm"]
    assert folds[2].name == "fold 3: 2027-01-22 to 2027-01-25"
    assert [child.state for child in trials] == ["FINISHED", "KILLED", "FAILED"]
    assert trials[0].params == {"leaves": 7}


def test_the_ledgers_count_deflates_the_sharpe_ratio(result, evidence):
    """More trials on a snapshot, less probability; PBO states how many configurations it compared."""
    many = training_evidence(result, timeframe=FIVE, horizon_bars=12, seed=7, trials=1700, alpha=0.05)
    assert evidence["deflated_sharpe"]["trials"] == evidence["trials"] == 17
    assert many["deflated_sharpe"]["benchmark"] > evidence["deflated_sharpe"]["benchmark"]
    assert evidence["pbo"]["configurations"] == 4


class _Page(HTMLParser):
    """Tags that open and close, texts, and addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.open, self.titles, self.addresses, self.text = [], [], [], ""

    def handle_starttag(self, tag, attrs):
        self.addresses += [value for name, value in attrs if name in {"src", "href", "xlink:href"} and value]
        if tag not in {"meta", "br", "path", "use", "rect"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in {"path", "use", "rect"}:
            return
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "h2":
            self.titles.append(data)
        self.text += data


def read(inputs) -> _Page:
    page = _Page()
    page.feed(render_training(inputs))
    assert page.open == []
    return page


def test_the_page_has_every_section_and_fetches_nothing(inputs):
    """Well-formed, self-contained, light and dark; every number that cannot be had is a dash."""
    page = read(inputs)
    assert page.titles == [
        "What was trained on",
        "Strategies beside baselines",
        "Ensemble minus each other",
        "Equity and drawdown",
        "Reliability per class",
        "Feature importance and its stability",
        "Class shares",
        "Folds",
        "By symbol",
        "By month",
        "By volatility",
        "By trend",
        "Decision funnel",
        "Trials and what could be seen",
        "Where the time went",
    ]
    assert all(address.startswith("#") for address in page.addresses)
    html = render_training(inputs)
    assert "prefers-color-scheme:dark" in html
    assert "<script" not in html
    assert "nan" not in page.text.lower().split()
    assert "None" not in page.text


def test_the_page_shows_the_numbers_of_the_training(inputs, result):
    """Log loss of the ensemble, the steps of its decisions, the snapshot, and the first feature."""
    text = read(inputs).text
    ours = result.evaluation["strategies"]["ensemble"]
    for told in (
        f"{ours['log_loss']:.4f}",
        f"{ours['trades']:,}",
        "5" * 32,
        "traded",
        "0.8765",
        "trial 2",
        "Better than the",
    ):
        assert told in text
    assert inputs.importance[0].name == "hint"
    assert inputs.importance[0].among_first == 3
    assert -1.0 <= inputs.stability <= 1.0
    assert [curve.name for curve in inputs.equity] == ["ensemble", "buy and hold", "primary rule"]
    assert inputs.equity[0].equity[0] == pytest.approx(result.equity[0])


def test_what_a_bundle_says_of_trials_is_its_trainings_own(result):
    """The ensemble, its models and the tuning trials that did not fail, whatever else the ledger holds."""
    assert own_trials(result) == 1 + len(result.scored.model_names)
    tuned = [{"complete": 3, "pruned": 1, "failed": 2}, {"complete": 2, "pruned": 0, "failed": 0}]
    searched = replace(result, evaluation={**result.evaluation, "tuning": tuned})
    assert own_trials(searched) == own_trials(result) + 6


def test_the_supervisor_is_told_by_what_it_looks_at(inputs):
    """It blocks a side that too many of the last actions took; it knows nothing of losses."""
    text = read(replace(inputs, steps=(("SUPERVISOR", 3),))).text
    assert "took the same side" in text
    assert "losses" not in text.split("Decision funnel")[1].split("Trials and what")[0]


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.1, 0.3, "Better than"), (-0.3, -0.1, "Worse than"), (-0.1, 0.1, "Cannot be told"), (None, None, "Too short")],
)
def test_the_verdict_follows_from_the_interval(inputs, low, high, words):
    """It says better only where the whole interval is above zero."""
    assert words in read(replace(inputs, skill=Range(value=0.0, low=low, high=high))).text


def test_what_is_unknown_is_left_out_and_what_is_foreign_is_escaped(inputs):
    """A page without optional parts still reads, and a name cannot bring markup along."""
    bare = replace(
        inputs,
        equity=(),
        calibration=(),
        importance=(),
        folds=(),
        breakdown=(),
        steps=(),
        trial_lines=(),
        timings=(),
        skill=Range(),
        facts=(Fact(name="Symbols", value="<b>BTC</b>"),),
        synthetic=False,
    )
    page = read(bare)
    assert "Folds" not in page.titles
    assert "<b>BTC</b>" in page.text
    assert "Synthetic market" not in page.text


def test_every_bundle_has_a_page_of_its_own(tmp_path):
    """Named after model and hash, beside the page of the home."""
    assert report_path(tmp_path, model_name="m", bundle_hash=HASH) == tmp_path / "reports" / "m-0123456789ab.html"


def test_the_stability_of_importance_is_a_rank_correlation(facts, evidence, result):
    """Equal folds give 1, reversed ones -1, and features that never split leave it unknown."""

    def stability(importance):
        made = replace(result, importance=importance)
        return training_report(facts, evidence, made, bundle_hash=HASH, features=NAMES, made_ms=0, timings={}).stability

    shares = np.arange(1.0, 10.0) / 45.0
    assert stability(np.stack([shares] * 4)) == pytest.approx(1.0)
    assert stability(np.stack([shares[::-1]] * 3 + [shares])) == pytest.approx(-1.0)
    assert stability(np.zeros((4, 9))) is None
