"""What does a decision rest on, and can it be taken again?

``DecisionFacts`` hold what later changes or is forgotten: the window, how many trials had been counted, coverage, the
thresholds. Everything else is read from stored rows by ``gate_inputs``, which gives the same numbers whenever it is
asked. ``evidence_digests`` are fingerprints of those rows: a row that was edited, added or removed afterwards shows.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan, nan
from typing import Any, Literal

from sqlalchemy import ColumnElement, Engine, Select, String, Text, and_, cast, func, literal, select
from sqlalchemy.dialects.postgresql import aggregate_order_by

from infra.tables import bundles, outcomes, paper_trades, predictions, training_runs
from learning.alpha_budget import AlphaLevel
from learning.climatology import Climatology
from learning.deflated_sharpe import DeflatedSharpe, deflated_by
from learning.gate_profiles import GateProfile
from learning.gates import GateInputs
from learning.paired_gains import PairedGains
from learning.plausibility import restored_plausibility
from learning.trade_evidence import TradeEvidence
from market.errors import LockstepError
from market.timeframe import Timeframe
from registry.canonical import canonical_json
from tasks.shadow_evidence import restored_skill, shadow_gains, shadow_rows, shadow_skill, shadow_trades

__all__ = [
    "DecisionFacts",
    "climatology_in",
    "evidence_digests",
    "gate_inputs",
    "profile_in",
    "restored_facts",
    "stored_training",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionFacts:
    """What was so when a challenger was judged; plain values, stored on the card.

    ``first_ms`` to ``end_ms`` is the shadow stretch, ``trials`` what the ledger counted on its data, ``golden_digest``
    what this process computed for the golden bars. ``thresholds`` are those in force (None: not asked).
    """

    profile: str
    thresholds: Mapping[str, float | None]
    overridden: tuple[str, ...]
    target: Literal["observe", "paper", "live"]
    integrity_ok: bool
    integrity_detail: str
    golden_digest: str
    coverage_min: float | None
    champion_stale: bool
    trials: int
    superiority: AlphaLevel
    timeframe_ms: int
    first_ms: int
    end_ms: int
    label_spec: str
    horizon_bars: int
    seed: int
    alpha: float


def profile_in(facts: DecisionFacts) -> GateProfile:
    """The thresholds that were in force."""
    return GateProfile(name=facts.profile, values=facts.thresholds, overridden=facts.overridden)


def restored_facts(stored: Mapping[str, Any]) -> DecisionFacts:
    """The facts as they were before they became JSON on a card."""
    again = {"overridden": tuple(stored["overridden"]), "superiority": AlphaLevel(**stored["superiority"])}
    return DecisionFacts(**{**stored, **again})


def gate_inputs(
    engine: Engine, facts: DecisionFacts, *, bundle_hash: str, champion_hash: str | None
) -> tuple[GateInputs, PairedGains | None]:
    """Everything the gates look at, from the facts and from stored rows alone; beside it, what they do not judge."""
    run = stored_training(engine, bundle_hash)["evaluation"]
    sealed = _sealed_facts(engine, bundle_hash)
    evidence = run["evidence"]
    deflated = _deflated(evidence["deflated_sharpe"], trials=facts.trials)
    timeframe = Timeframe(facts.timeframe_ms)
    first, end = facts.first_ms // timeframe.ms, facts.end_ms // timeframe.ms
    rows = shadow_rows(
        engine,
        bundle_hash=bundle_hash,
        champion_hash=champion_hash,
        label_spec=facts.label_spec,
        timeframe=timeframe,
        first=first,
        end=end,
    )
    compared: Any = {
        "climatology": climatology_in(sealed, bundle_hash),
        "against_champion": champion_hash is not None,
        "horizon_bars": facts.horizon_bars,
        "seed": facts.seed,
        "alpha": facts.alpha,
    }

    def trades_of(one: str) -> TradeEvidence:
        return shadow_trades(engine, bundle_hash=one, timeframe=timeframe, first=first, end=end)

    inputs = GateInputs(
        synthetic=bool(sealed["synthetic"]),
        target=facts.target,
        integrity_ok=facts.integrity_ok,
        integrity_detail=facts.integrity_detail,
        fresh_process_ok=run["fresh_process_digest"] == facts.golden_digest,
        fresh_process_detail="golden probabilities of a process of its own at registration, and of this one now",
        coverage_min=facts.coverage_min,
        class_share_max=max(run["predicted_shares"]),
        confidence_std=evidence["confidence_std"],
        confidence_spread=evidence["confidence_spread"],
        skill_vs_climatology=restored_skill(evidence["skill"]["climatology"]),
        skill_vs_logistic=restored_skill(evidence["skill"]["logistic"]),
        calibration_slope=run["calibration_slope"],
        plausibility=restored_plausibility(evidence.get("plausibility")),
        deflated_sharpe=None if isnan(deflated.probability) else deflated.probability,
        trials=deflated.trials,
        pbo=evidence["pbo"]["pbo"],
        walk_forward_trades=TradeEvidence(**evidence["trades"]),
        shadow=shadow_skill(rows, origin=first, **compared),
        live_share=float(rows.live.mean()) if rows.live.size else None,
        shadow_reference="climatology" if champion_hash is None else "champion",
        shadow_trades=trades_of(bundle_hash),
        champion_shadow_trades=None if champion_hash is None else trades_of(champion_hash),
        champion_hash=champion_hash,
        champion_stale=facts.champion_stale,
        superiority=facts.superiority,
    )
    return inputs, shadow_gains(rows, **compared)


def evidence_digests(
    engine: Engine, facts: DecisionFacts, *, bundle_hash: str, champion_hash: str | None
) -> dict[str, str]:
    """SHA-256 of each set of stored rows that the decision reads, computed inside PostgreSQL where rows are many."""
    p, o, t = predictions.c, outcomes.c, paper_trades.c
    both = (bundle_hash,) if champion_hash is None else (bundle_hash, champion_hash)
    of_predictions = and_(p.bundle_hash.in_(both), p.bar_ms >= facts.first_ms, p.bar_ms < facts.end_ms)
    of_outcomes = and_(o.label_spec == facts.label_spec, o.bar_ms >= facts.first_ms, o.exit_ms < facts.end_ms)
    of_trades = and_(t.bundle_hash.in_(both), t.bar_ms >= facts.first_ms, t.exit_ms < facts.end_ms)
    with engine.connect() as connection:

        def digest(columns: tuple[ColumnElement[Any], ...], condition: ColumnElement[bool]) -> str:
            return str(connection.execute(_digest(columns, condition)).scalar_one())

        return {
            "training run": _plain_digest(stored_training(engine, bundle_hash)["evaluation"]),
            "sealed facts": _plain_digest(_sealed_facts(engine, bundle_hash)),
            "shadow predictions": digest(
                (p.bundle_hash, p.symbol, p.bar_ms, p.run, p.action, p.probabilities), of_predictions
            ),
            "outcomes": digest((o.symbol, o.bar_ms, o.label, o.net_long, o.net_short, o.exit_ms), of_outcomes),
            "paper trades": digest(
                (t.bundle_hash, t.symbol, t.bar_ms, t.side, t.size, t.entry_ms, t.exit_ms, t.net), of_trades
            ),
        }


def climatology_in(sealed: Mapping[str, Any], bundle_hash: str) -> Climatology:
    """What class shares alone would forecast, as sealed into the bundle's facts."""
    found = sealed.get("climatology")
    if not isinstance(found, Mapping):
        raise LockstepError(
            f"bundle {bundle_hash[:12]} states no climatology",
            why="nothing says what a forecast without skill would score on its rows",
            remedy="train again with this release",
        )
    return Climatology.from_values(found)


def stored_training(engine: Engine, bundle_hash: str) -> dict[str, Any]:
    """The training run that made a bundle; raises ``LockstepError`` where none is stored."""
    query = select(training_runs).where(training_runs.c.bundle_hash == bundle_hash)
    with engine.connect() as connection:
        row = connection.execute(query).mappings().first()
    if row is None or row["evaluation"] is None:
        raise LockstepError(
            f"bundle {bundle_hash[:12]} has no stored training run",
            why="its walk-forward evidence cannot be judged",
            remedy="train in this home, so that the evidence is stored beside the bundle",
        )
    return dict(row)


def _sealed_facts(engine: Engine, bundle_hash: str) -> dict[str, Any]:
    with engine.connect() as connection:
        found = connection.execute(select(bundles.c.facts).where(bundles.c.bundle_hash == bundle_hash)).scalar()
    if found is None:
        raise LockstepError(
            f"bundle {bundle_hash[:12]} is not registered in this home",
            why="what it was trained on is unknown here",
            remedy="train in this home, or use the home that trained it",
        )
    return dict(found)


def _deflated(stored: Mapping[str, Any], *, trials: int) -> DeflatedSharpe:
    """Walk-forward's deflated Sharpe ratio by what had been tried at the decision, not only at the training."""
    values: dict[str, Any] = {name: nan if value is None else value for name, value in stored.items()}
    return deflated_by(DeflatedSharpe(**values), trials=trials)


def _plain_digest(values: object) -> str:
    return hashlib.sha256(canonical_json(values)).hexdigest()


def _digest(columns: tuple[ColumnElement[Any], ...], condition: ColumnElement[bool]) -> Select[tuple[str]]:
    """SHA-256 over the rows as text, in the order of their text."""
    line = func.concat_ws("|", *(func.coalesce(cast(one, Text), "null") for one in columns), type_=String)
    lines = select(line.label("line")).where(condition).subquery()
    joined = func.coalesce(func.string_agg(lines.c.line, aggregate_order_by(literal("\n"), lines.c.line)), "")
    return select(func.encode(func.sha256(func.convert_to(joined, "UTF8")), "hex"))
