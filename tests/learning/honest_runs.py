"""One training on a market whose truth is known, judged as ``lockstep promote`` would judge it.

The evidence is that of ``tasks``: walk-forward numbers from ``training_evidence``, a shadow stretch that nothing was
fitted on, decided by the serving decision and paired by ``shadow_skill``, and the gates of the paper profile. What is
no matter of statistics (hashes, a fresh process, coverage) is granted.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from learning.backtest import decide, dense_market, dense_probabilities, trades_of
from learning.climatology import Climatology
from learning.gate_profiles import gate_profile
from learning.gates import GateInputs, evaluate_gates, gates_verdict
from learning.panel import Panel
from learning.plausibility import plausibility
from learning.shadow import ShadowEvidence
from learning.trade_evidence import TradeEvidence, trade_evidence
from learning.training import TrainingResult, train
from market.costs import CostModel
from market.timeframe import Timeframe
from registry.cards import Gate
from registry.predictors import ensemble_mean, load_predictor, predict_all
from tasks.shadow_evidence import ShadowRows, restored_skill, shadow_skill
from tasks.training_evidence import training_evidence
from tests.learning.honest_market import CONTRACT, HORIZON, NAMES, SPEC, market_panel, small_config

SHADOW_BARS = 700
FIVE = Timeframe(CONTRACT.timeframe_ms)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """A training, its evidence as it would be stored, and what the gates say."""

    panel: Panel
    result: TrainingResult
    evidence: dict[str, object]
    shadow: ShadowEvidence | None
    gates: tuple[Gate, ...]

    @property
    def failed(self) -> set[str]:
        """Names of the gates that did not pass."""
        return {gate.name for gate in self.gates if not gate.passed}

    @property
    def verdict(self) -> str:
        """``promote`` or ``refuse``."""
        return gates_verdict(self.gates)[0]


@cache
def edge_market(seed: int, edge: float = 0.6) -> Judged:
    """Three markets with an edge, ten days and two of shadow: trained and judged once a process."""
    return judge(market_panel(edge=edge, seed=seed, bars=3400, symbols=3))


@cache
def noise_market(seed: int) -> Judged:
    """Two markets without an edge; from seed 10 on trades are nearly free, so that costs do not help to refuse."""
    costs = CostModel(taker_fee_bps=1.0, slippage_bps=0.2) if seed >= 10 else SPEC.costs
    return judge(market_panel(edge=0.0, seed=seed, bars=3400, symbols=2, costs=costs))


def trained(panel: Panel, **changes: object) -> TrainingResult:
    """Train on all but the shadow stretch."""
    return train(panel, CONTRACT, SPEC, small_config(**changes), train_end_index=shadow_first(panel))


def shadow_first(panel: Panel) -> int:
    """First bar of the shadow stretch."""
    return int(panel.bar_index[-1]) + 1 - SHADOW_BARS


def judge(panel: Panel) -> Judged:
    """Train on ``panel`` and ask every gate of the paper profile; there is no champion yet."""
    result = trained(panel)
    evidence = training_evidence(result, timeframe=FIVE, horizon_bars=HORIZON, seed=7, trials=4, alpha=0.05)
    shadow, trades = _shadow(panel, result)
    inputs = GateInputs(
        synthetic=False,
        target="paper",
        integrity_ok=True,
        fresh_process_ok=True,
        coverage_min=1.0,
        class_share_max=max(result.evaluation["predicted_shares"]),
        confidence_std=evidence["confidence_std"],
        confidence_spread=evidence["confidence_spread"],
        skill_vs_climatology=restored_skill(evidence["skill"]["climatology"]),
        skill_vs_logistic=restored_skill(evidence["skill"]["logistic"]),
        calibration_slope=result.evaluation["calibration_slope"],
        plausibility=plausibility(result, panel, names=NAMES),
        deflated_sharpe=evidence["deflated_sharpe"]["probability"],
        trials=evidence["trials"],
        pbo=evidence["pbo"]["pbo"],
        walk_forward_trades=TradeEvidence(**evidence["trades"]),
        shadow=shadow,
        shadow_reference="climatology",
        shadow_trades=trades,
    )
    gates = evaluate_gates(inputs, gate_profile("paper"))
    return Judged(panel=panel, result=result, evidence=evidence, shadow=shadow, gates=gates)


def _shadow(panel: Panel, result: TrainingResult) -> tuple[ShadowEvidence | None, TradeEvidence]:
    """What the final models did on bars that neither training nor thresholds had seen."""
    first = shadow_first(panel)
    end = first + SHADOW_BARS
    rows = np.flatnonzero(panel.bar_index >= first)
    predictors = [load_predictor(part, result.scaler, len(NAMES)) for part in result.models]
    p = predict_all(predictors, panel.X[rows])
    known = (panel.y[rows] >= 0) & (panel.label_end[rows] < end)
    skill = shadow_skill(
        ShadowRows(
            bar_index=panel.bar_index[rows][known],
            y=panel.y[rows][known],
            ours=ensemble_mean(p, result.weights)[known],
            champion=np.full((int(known.sum()), 3), np.nan),
            ours_net=np.full(int(known.sum()), np.nan),
            champion_net=np.full(int(known.sum()), np.nan),
            live=np.zeros(int(known.sum()), dtype=bool),
            sides=panel.sides[rows][known],
        ),
        climatology=Climatology.from_values(result.evaluation["climatology"]),
        against_champion=False,
        origin=first,
        horizon_bars=HORIZON,
        seed=7,
        alpha=0.05,
    )
    market = dense_market(panel, rows, first_index=first, end_index=end)
    done = trades_of(decide(result.policy, result.weights, market, dense_probabilities(market, rows, p)), market, panel)
    inside = done.resolved & (done.exit_index < end)
    trades = trade_evidence(
        net=done.net[inside],
        size=done.size[inside],
        exit_index=done.exit_index[inside],
        first_index=first,
        end_index=end,
        bars_per_year=FIVE.bars_per_year,
    )
    return skill, trades
