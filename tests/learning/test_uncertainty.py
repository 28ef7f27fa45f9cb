"""Intervals of an evaluation, and the smallest edge that it could have seen."""

import json
from dataclasses import replace

import numpy as np
import pytest

from learning.bootstrap import block_bootstrap_sharpe
from learning.errors import EvidenceError
from learning.evaluation import ScoredRows
from learning.metrics import log_loss, sharpe
from learning.regimes import Regimes
from learning.uncertainty import uncertainty

HORIZON, YEAR = 12, 365 * 288


def overlapping(n: int, rng: np.random.Generator, *, mean: float) -> np.ndarray:
    """Unit-variance returns whose neighbours share moves, as trades of a horizon do."""
    steps = np.concatenate(([0.0], np.cumsum(rng.standard_normal(n + HORIZON))))
    return mean + (steps[HORIZON : HORIZON + n] - steps[:n]) / np.sqrt(HORIZON)


def made_rows(n: int, *, edge: float, seed: int = 1) -> ScoredRows:
    """One symbol; the ensemble gives what happened ``edge`` more than a third, the model a third of that."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    flat = np.full((n, 3), 1.0 / 3.0)
    knows = np.eye(3)[y] - 1.0 / 3.0
    nothing = np.zeros(n, dtype=np.int8)
    return ScoredRows(
        model_names=("logistic",),
        symbol_id=np.zeros(n, dtype=np.int32),
        bar_index=np.arange(n),
        label_end=np.arange(n) + HORIZON,
        y=y.astype(np.int8),
        fold=np.ones(n, dtype=np.int64),
        ensemble=flat + edge * knows,
        climatology=flat,
        models=(flat + edge / 3.0 * knows)[None],
        regimes=Regimes(volatility=nothing, trend=nothing),
    )


def measured(rows: ScoredRows, returns: dict[str, np.ndarray]) -> dict:
    return uncertainty(rows, returns, horizon_bars=HORIZON, bars_per_year=YEAR, seed=5)


def test_the_sharpe_interval_covers_the_true_ratio_of_overlapping_returns():
    """About 95 of 100 times; blocks of a single bar, which deny the overlap, far less often."""
    rng = np.random.default_rng(8)
    truth, covered, naive = 0.1 * np.sqrt(YEAR), 0, 0
    for _ in range(100):
        returns = overlapping(2400, rng, mean=0.1)
        found = block_bootstrap_sharpe(returns, horizon_bars=HORIZON, bars_per_year=YEAR, seed=1, resamples=300)
        covered += found.low <= truth <= found.high
        alone = block_bootstrap_sharpe(returns, horizon_bars=1, bars_per_year=YEAR, seed=1, resamples=300)
        naive += alone.low <= truth <= alone.high
    assert covered >= 87
    assert naive < covered - 10


def test_the_sharpe_interval_is_around_the_sharpe_of_the_metrics():
    """One definition; without variation there is none, and blocks are never shorter than the horizon."""
    returns = overlapping(1000, np.random.default_rng(2), mean=0.05)
    found = block_bootstrap_sharpe(returns, horizon_bars=HORIZON, bars_per_year=YEAR, seed=1)
    assert found.mean == pytest.approx(sharpe(returns, bars_per_year=YEAR))
    assert found.low < found.mean < found.high
    assert found.block_bars >= HORIZON
    assert np.isnan(block_bootstrap_sharpe(np.zeros(500), horizon_bars=HORIZON, bars_per_year=YEAR, seed=1).mean)
    with pytest.raises(EvidenceError, match="0 bars"):
        block_bootstrap_sharpe(returns, horizon_bars=0, bars_per_year=YEAR, seed=1)


def test_a_true_sharpe_of_the_detectable_size_is_found_with_the_stated_power():
    """Worlds with exactly that edge are told from zero about four times in five, worlds without one hardly ever."""
    rng = np.random.default_rng(11)
    flat = made_rows(2400, edge=0.0)
    smallest = np.mean(
        [
            measured(flat, {"ensemble": overlapping(2400, rng, mean=0.0)})["minimum_detectable"]["sharpe"]
            for _ in range(8)
        ]
    )
    found = {0.0: 0, smallest / np.sqrt(YEAR): 0}
    for mean in found:
        for _ in range(60):
            returns = overlapping(2400, rng, mean=mean)
            one = block_bootstrap_sharpe(returns, horizon_bars=HORIZON, bars_per_year=YEAR, seed=1, resamples=300)
            found[mean] += one.low > 0.0
    none, edge = found.values()
    assert none <= 6
    assert 36 <= edge <= 58


def test_skill_and_differences_say_who_is_better_by_how_much():
    """Ensemble over climatology, ensemble over the model, in nats; positive is better, swapped it is negative."""
    rows = made_rows(1200, edge=0.3)
    returns = {"ensemble": np.full(1200, 1e-4), "logistic": np.zeros(1200)}
    found = measured(rows, returns)
    gain = log_loss(rows.climatology, rows.y) - log_loss(rows.ensemble, rows.y)
    assert found["strategies"]["ensemble"]["skill"]["value"] == pytest.approx(gain)
    assert found["differences"]["climatology"]["skill"] == found["strategies"]["ensemble"]["skill"]
    lead = log_loss(rows.models[0], rows.y) - log_loss(rows.ensemble, rows.y)
    assert found["differences"]["logistic"]["skill"]["value"] == pytest.approx(lead)
    assert found["differences"]["logistic"]["net_return"]["value"] == pytest.approx(0.12)
    assert found["strategies"]["ensemble"]["net_return"]["value"] == pytest.approx(0.12)
    swapped = measured(replace(rows, ensemble=rows.models[0], models=rows.ensemble[None]), returns)
    assert swapped["differences"]["logistic"]["skill"]["value"] == pytest.approx(-lead)
    assert found["block_bars"] >= HORIZON


def test_what_cannot_be_had_is_none_and_json_has_no_nan():
    """No trades: no Sharpe and no detectable one; two blocks: no interval at all."""
    none = measured(made_rows(1200, edge=0.1), {"ensemble": np.zeros(1200)})
    assert none["strategies"]["ensemble"]["sharpe"] == {"value": None, "low": None, "high": None}
    assert none["minimum_detectable"]["sharpe"] is None
    assert none["minimum_detectable"]["skill"] >= 0.0
    short = measured(made_rows(30, edge=0.1), {"ensemble": np.linspace(-1.0, 1.0, 30)})
    ours = short["strategies"]["ensemble"]
    assert (ours["skill"]["low"], ours["sharpe"]["high"], short["minimum_detectable"]["skill"]) == (None, None, None)
    assert ours["skill"]["value"] is not None
    for found in (none, short):
        assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_equal_inputs_give_equal_intervals():
    """They are sealed into the bundle; another seed draws other blocks."""
    rows, returns = made_rows(1200, edge=0.2), {"ensemble": overlapping(1200, np.random.default_rng(1), mean=0.0)}
    assert json.dumps(measured(rows, returns)) == json.dumps(measured(rows, returns))
    assert measured(rows, returns) != uncertainty(rows, returns, horizon_bars=HORIZON, bars_per_year=YEAR, seed=6)
