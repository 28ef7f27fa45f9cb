"""What happens once a bar is closed?

``serve_bar`` is the whole story of one bar for all symbols: look at the markets, settle open paper trades, predict
champion and challengers on the same rows, decide each with its own memory, say what the champion decided or why nothing
is said. It computes; the store writes. Trading may be blocked (any state but FULL and LAST_GOOD) while predictions,
decisions and paper trades of every bundle go on: a blocked system must be able to prove that it has recovered.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from features.reasons import describe
from market.barriers import PricePath, Side
from market.candles import Floats
from registry.load import LoadedBundle
from registry.policy import Action, DecisionPolicy
from registry.predictors import ensemble_mean
from serving.decision import BarDecisions, Step, decide_bar, funnel, used_weights
from serving.decision_state import DecisionState, guard_cause, guard_level
from serving.ledger import Ledger, Sizes, close_ended
from serving.lineup import Lineup, ServePlan, coverage_cause, lineup_cause
from serving.market_facts import REGIMES, MarketFacts, facts_of_rows
from serving.market_view import BarView, MarketView
from serving.records import BarRecord, FeatureRow, PaperExit, PaperTrade, PositionCheck, PredictionRow, SignalRow
from serving.reevaluation import check_positions
from serving.states import OK, UNKNOWN, State, cause_of_error, gravest, kind_of, state_of

__all__ = ["Seat", "serve_bar", "silent_bar"]


@dataclass(slots=True, kw_only=True, eq=False)
class Seat:
    """One bundle at work: its role, its policy's share, what its decision remembers, and its open paper trades."""

    role: str
    version: int | None
    bundle: LoadedBundle
    policy: DecisionPolicy
    state: DecisionState
    ledger: Ledger
    covered: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Said:
    """What one seat gave for one bar: ``probabilities (M, n, 3)`` of the ``rows (n,)``, and the decision.

    ``held`` are the symbols with an open position, and the ensemble's ``(3,)`` for each that could be predicted on.
    """

    rows: NDArray[np.int64]
    probabilities: Floats
    decided: BarDecisions
    facts: MarketFacts
    held: Mapping[str, Floats]


def serve_bar(
    view: MarketView,
    seats: Sequence[Seat],
    lineup: Lineup,
    plan: ServePlan,
    *,
    index: int,
    standing_cause: str = OK,
    stale: Collection[str] = (),
) -> BarRecord:
    """Serve bar ``index``; ``standing_cause`` is what the caller knows about it (stale, halted, clock, ...).

    ``stale`` names the symbols whose data stopped too long ago.
    """
    bar = view.advance(index)
    paths: dict[tuple[int, int], PricePath | None] = {}
    row_of = {symbol: s for s, symbol in enumerate(plan.symbols)}

    def path_at(symbol: str, first_index: int) -> PricePath | None:
        key = (row_of[symbol], first_index) if symbol in row_of else None
        if key is None:
            return None
        if key not in paths:
            paths[key] = view.path(key[0], first_index=first_index, index=index)
        return paths[key]

    predictions: list[PredictionRow] = []
    opened: list[PaperTrade] = []
    closed: list[PaperExit] = []
    checks: list[PositionCheck] = []
    errors: dict[str, str] = {}
    unforeseen = dict(bar.unforeseen)
    champion: _Said | None = None
    guard = OK
    for seat in seats:
        ended = seat.ledger.settle(index, path_at)
        close_ended(seat.policy, seat.state, ended, row_of, index=index)
        closed += ended
        try:
            said = _judge(seat, bar, plan)
        except Exception as error:  # noqa: BLE001  fail closed: a bundle's trouble is that bundle's cause
            cause = cause_of_error(error)
            errors[seat.bundle.hash] = "model_error" if state_of(cause) < State.FLAT else cause
            if cause == UNKNOWN:
                unforeseen[seat.bundle.hash] = kind_of(error)
            continue
        predictions += _prediction_rows(seat, said, bar, plan)
        checks += check_positions(seat.policy, seat.ledger, index, said.held, path_at)
        opened += _open_trades(seat, said, bar, plan)
        if seat.role == "champion":
            champion = said
            guard = guard_cause(seat.policy, seat.state)
    standing = gravest((standing_cause, guard))
    causes = _signal_causes(bar, lineup, plan, champion=champion, errors=errors, standing_cause=standing, stale=stale)
    verdicts = {one.symbol: one.verdict for one in checks if one.bundle_hash == _champion_hash(lineup)}
    signals = _signals(bar, lineup, plan, champion, causes, verdicts)
    return BarRecord(
        bar_ms=view.timeframe.open_time(index),
        features=_feature_rows(bar, plan),
        predictions=tuple(predictions),
        signals=signals,
        opened=tuple(opened),
        closed=tuple(closed),
        checks=tuple(checks),
        detail=_detail(bar, plan, champion, causes, errors)
        | _guards(seats)
        | ({"unforeseen": unforeseen} if unforeseen else {}),
    )


def silent_bar(lineup: Lineup, plan: ServePlan, *, index: int, cause: str, kind: str | None = None) -> BarRecord:
    """A bar of which nothing can be seen: one signal per symbol with the cause, and nothing else.

    ``kind`` is that of an error nobody foresaw.
    """
    bar_ms = index * plan.contract.timeframe_ms
    steps = {"cause": cause} if kind is None else {"cause": cause, "error": kind}
    signals = tuple(_signal(lineup, plan, symbol, bar_ms, cause, steps) for symbol in plan.symbols)
    detail: dict[str, object] = {"bar_ms": bar_ms, "run": plan.run, "cause": cause}
    if kind is not None:
        detail["unforeseen"] = {"bar": kind}
    return BarRecord(bar_ms=bar_ms, signals=signals, detail=detail)


def _judge(seat: Seat, bar: BarView, plan: ServePlan) -> _Said:
    bundle = seat.bundle
    eligible = seat.covered & np.array([cause == OK for cause in bar.causes])
    event = np.zeros(eligible.size, dtype=np.bool_)
    at = np.full(int(eligible.sum()), bar.index, dtype=np.int64)
    event[eligible] = bundle.sides(bar.features[eligible], at).any(axis=1)
    held = eligible & (seat.state.side != 0)
    asked = np.flatnonzero(event | held)
    found = bundle.predict_models(bar.features[asked])
    p = np.full((len(plan.symbols), len(bundle.model_names), 3), np.nan)
    p[asked] = found.transpose(1, 0, 2)
    facts = facts_of_rows(bar.features, plan.contract.names, bars_per_day=seat.policy.bars_per_day)
    mean = ensemble_mean(found, bundle.weights)
    now = {plan.symbols[s]: mean[k] for k, s in enumerate(asked.tolist()) if held[s]}
    decided = decide_bar(
        seat.policy,
        bundle.weights,
        seat.state,
        bar_index=bar.index,
        probabilities=p,
        healthy=np.ones(len(bundle.model_names), dtype=np.bool_),
        eligible=eligible,
        event=event,
        facts=facts,
    )
    return _Said(
        rows=np.flatnonzero(event), probabilities=found[:, event[asked]], decided=decided, facts=facts, held=now
    )


def _feature_rows(bar: BarView, plan: ServePlan) -> tuple[FeatureRow, ...]:
    little = bar.features.astype("<f4", copy=False)
    return tuple(
        FeatureRow(
            contract=plan.contract_id,
            symbol=symbol,
            bar_ms=bar.index * plan.contract.timeframe_ms,
            features=little[s].tobytes(),
            reason=int(bar.reasons[s]),
            known_at_ms=bar.known_at_ms,
        )
        for s, symbol in enumerate(plan.symbols)
        if bar.reasons[s] >= 0
    )


def _prediction_rows(seat: Seat, said: _Said, bar: BarView, plan: ServePlan) -> list[PredictionRow]:
    mean = ensemble_mean(said.probabilities, seat.bundle.weights)
    decided, bundle = said.decided, seat.bundle
    used = used_weights(seat.policy, bundle.weights, np.ones(bundle.weights.size, dtype=np.bool_)).tolist()
    made = []
    for k, s in enumerate(said.rows.tolist()):
        each = np.ascontiguousarray(said.probabilities[:, k, :])
        action, confidence, size = int(decided.action[s]), float(decided.confidence[s]), float(decided.size[s])
        made.append(
            PredictionRow(
                model_name=plan.model_name,
                bundle_hash=bundle.hash,
                symbol=plan.symbols[s],
                bar_ms=bar.index * plan.contract.timeframe_ms,
                role=seat.role,
                run=plan.run,
                contract=plan.contract_id,
                model_probabilities=tuple(each.ravel().tolist()),
                probabilities=(float(mean[k, 0]), float(mean[k, 1]), float(mean[k, 2])),
                votes=tuple(decided.votes[s].tolist()),
                action=action,
                confidence=confidence,
                size=size,
                steps=_json(_steps(seat, said, s) | {"weights": used}),
                output_hash=sha256(each.tobytes() + np.array([action, confidence, size]).tobytes()).hexdigest()[:32],
            )
        )
    return made


def _steps(seat: Seat, said: _Said, s: int) -> dict[str, object]:
    """What each rule did to one symbol, and the guard's level."""
    return _what_rules_did(said, s) | {"guard": guard_level(seat.state)}


def _what_rules_did(said: _Said, s: int) -> dict[str, object]:
    decided = said.decided
    steps: dict[str, object] = {
        "step": Step(decided.step[s]).name,
        "share": float(decided.share[s]),
        "regime": REGIMES[said.facts.regime[s]],
        "book_size": float(decided.book_size[s]),
    }
    return steps | ({"supervisor": "one-sided"} if decided.one_sided[s] else {})


def _open_trades(seat: Seat, said: _Said, bar: BarView, plan: ServePlan) -> list[PaperTrade]:
    atr, ratio = (plan.contract.index_of(name) for name in ("atr_pct", "atr_ratio"))
    return [
        seat.ledger.open(
            plan.symbols[s],
            bar.index,
            side=Side.LONG if said.decided.action[s] == Action.BUY else Side.SHORT,
            sizes=Sizes(
                book=float(said.decided.book_size[s]),
                said=float(said.decided.size[s]),
                correlation=float(said.facts.correlation[s]),
            ),
            atr=float(bar.features[s, atr]),
            vol_ratio=float(bar.features[s, ratio]),
        )
        for s in np.flatnonzero(said.decided.action).tolist()
    ]


def _signal_causes(
    bar: BarView,
    lineup: Lineup,
    plan: ServePlan,
    *,
    champion: _Said | None,
    errors: Mapping[str, str],
    standing_cause: str,
    stale: Collection[str],
) -> list[str]:
    """The gravest cause per symbol; among equals the one that concerns everything."""
    common = [standing_cause, lineup_cause(lineup, plan, decided_at_ms=bar.known_at_ms)]
    seen = [("stale_data" if one in stale else OK, bar.causes[s]) for s, one in enumerate(plan.symbols)]
    if lineup.champion is None:
        return [gravest((*common, *causes)) for causes in seen]
    bundle = lineup.champion.bundle
    failed = errors.get(bundle.hash, OK)
    causes = []
    for s, symbol in enumerate(plan.symbols):
        no_quorum = champion is not None and champion.decided.step[s] == Step.NO_QUORUM
        own = (*seen[s], coverage_cause(bundle, symbol), failed, "no_quorum" if no_quorum else OK)
        causes.append(gravest((*common, *own)))
    return causes


def _signals(
    bar: BarView,
    lineup: Lineup,
    plan: ServePlan,
    champion: _Said | None,
    causes: Sequence[str],
    verdicts: Mapping[str, str],
) -> tuple[SignalRow, ...]:
    bar_ms = bar.index * plan.contract.timeframe_ms
    rule = None if lineup.champion is None else lineup.champion.bundle.events
    rows = []
    for s, symbol in enumerate(plan.symbols):
        steps: dict[str, object] = {"cause": causes[s]}
        if bar.reasons[s] > 0:
            steps["features"] = describe(int(bar.reasons[s]))
        if champion is None:
            rows.append(_signal(lineup, plan, symbol, bar_ms, causes[s], steps))
            continue
        steps |= _what_rules_did(champion, s)
        if symbol in verdicts:
            steps["position"] = verdicts[symbol]
        if rule is not None and rule.mode == "meta" and state_of(causes[s]) == State.FULL:
            votes = rule.primary.votes(bar.features[[s]], plan.contract.names)[0].tolist()
            steps["primary"] = dict(zip(rule.primary.versions, votes, strict=True))
        action, confidence, size = (column[s] for column in _columns(champion.decided))
        said = (int(action), float(confidence), float(size)) if size > 0.0 else None
        rows.append(_signal(lineup, plan, symbol, bar_ms, causes[s], steps, said))
    return tuple(rows)


def _champion_hash(lineup: Lineup) -> str | None:
    return None if lineup.champion is None else lineup.champion.bundle.hash


def _columns(decided: BarDecisions) -> tuple[NDArray[np.int8], Floats, Floats]:
    return decided.action, decided.confidence, decided.size


def _signal(
    lineup: Lineup,
    plan: ServePlan,
    symbol: str,
    bar_ms: int,
    cause: str,
    steps: Mapping[str, object],
    said: tuple[int, float, float] | None = None,
) -> SignalRow:
    """One signal; whatever was decided is said only in the states FULL and LAST_GOOD."""
    state = state_of(cause)
    action, confidence, size = said if said is not None and state < State.FLAT else (int(Action.HOLD), None, None)
    return SignalRow(
        model_name=plan.model_name,
        symbol=symbol,
        bar_ms=bar_ms,
        state=state.name,
        reason=cause,
        action=action,
        confidence=confidence,
        size=size,
        bundle_hash=_champion_hash(lineup),
        version=None if lineup.champion is None else lineup.champion.version,
        run=plan.run,
        steps=_json(steps),
    )


def _detail(
    bar: BarView, plan: ServePlan, champion: _Said | None, causes: Sequence[str], errors: Mapping[str, str]
) -> dict[str, object]:
    reasons = {cause: causes.count(cause) for cause in dict.fromkeys(causes)}
    return {
        "bar_ms": bar.index * plan.contract.timeframe_ms,
        "run": plan.run,
        "reasons": reasons,
        "funnel": {} if champion is None else funnel(champion.decided.step),
        "errors": dict(errors),
    }


def _guards(seats: Sequence[Seat]) -> dict[str, object]:
    return {"guard": {seat.bundle.hash: guard_level(seat.state) for seat in seats}}


def _json(value: Mapping[str, object]) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))
