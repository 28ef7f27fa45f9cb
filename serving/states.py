"""When something is not as it should be, what does Lockstep do?

The fail-closed table, as data. Every cause maps to one state; its name is the reason code stored with each signal.
A cause that is not in the table, and an exception nobody foresaw, is FLAT: never the last signal, never a guess.
When several causes hold at once the gravest counts. Predictions go on being recorded while trading is blocked, so a
blocked system can be judged and recover.

    >>> state_of("stale_data").name, state_of("never heard of").name
    ('FLAT', 'FLAT')
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from sqlalchemy.exc import SQLAlchemyError

from features.errors import ContractError, FeatureError
from features.reasons import Reason
from infra.errors import DatabaseError, LakeError
from infra.full_disk import is_disk_full
from registry.errors import BundleContractError, BundleError, PredictionError, StoreError

__all__ = [
    "CAUSES",
    "CHAMPION_ERRORS",
    "OK",
    "UNKNOWN",
    "Cause",
    "State",
    "cause_of_error",
    "cause_of_reason",
    "fail_closed_page",
    "gravest",
    "kind_of",
    "state_of",
]

OK = "ok"
UNKNOWN = "unknown_error"


class State(IntEnum):
    """What serving may do; a larger number is graver."""

    FULL = 0
    LAST_GOOD = 1
    FLAT = 2
    HALT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One row of the table; ``name`` is the reason code."""

    name: str
    state: State
    meaning: str
    remedy: str


_ROWS = (
    Cause(
        name=OK,
        state=State.FULL,
        meaning="Data, features, champion and database are as they should be",
        remedy="Nothing; a HOLD names its rule in `steps`",
    ),
    Cause(
        name="revised_bar",
        state=State.FULL,
        meaning="The venue changed an earlier bar after it was decided on; what was said stays as it was, and this and "
        "later bars are decided on the new values",
        remedy="Nothing; `lockstep parity` judges every bar by what was known when it was decided",
    ),
    Cause(
        name="bundle_refused",
        state=State.LAST_GOOD,
        meaning="A newly adopted champion failed its checks; the last good one keeps serving",
        remedy="Read the refusal in `lockstep status`, then promote a sound bundle or roll back",
    ),
    Cause(
        name="registry_down",
        state=State.LAST_GOOD,
        meaning="The model registry cannot be asked who the champion is; the loaded one keeps serving",
        remedy="Bring the registry back; nothing else is needed",
    ),
    Cause(
        name="no_champion",
        state=State.FLAT,
        meaning="Nothing was ever promoted, or no champion could be loaded and there is no last good one",
        remedy="Promote a challenger with `lockstep promote`",
    ),
    Cause(
        name="contract_mismatch",
        state=State.FLAT,
        meaning="The champion was made for other features than the running kernel computes",
        remedy="Run the version it was made with, or train and promote again",
    ),
    Cause(
        name="model_expired",
        state=State.FLAT,
        meaning="The champion's training data ended longer ago than serving.max_model_age_days",
        remedy="Train and promote a fresh bundle",
    ),
    Cause(
        name="synthetic_model",
        state=State.FLAT,
        meaning="The champion learnt from a synthetic market and this symbol is real, or the other way round",
        remedy="Promote a bundle trained on the market it serves",
    ),
    Cause(
        name="symbol_not_covered",
        state=State.FLAT,
        meaning="The champion was not trained on this symbol",
        remedy="Train with this symbol, or take it off the list",
    ),
    Cause(
        name="no_data",
        state=State.FLAT,
        meaning="The lake holds no bar of this symbol at or before this bar",
        remedy="Backfill the symbol",
    ),
    Cause(
        name="stale_data",
        state=State.FLAT,
        meaning="The bar, or the newest one stored of this symbol, closed more than serving.max_age_bars bars ago",
        remedy="Check collection with `lockstep doctor`; the next fresh bar clears this",
    ),
    Cause(
        name="frozen_feed",
        state=State.FLAT,
        meaning="The last serving.frozen_bars real bars of this symbol are one bar repeated, or nothing was traded in "
        "them: that is no live market",
        remedy="Look at the symbol at its venue; the first bar that moves clears this",
    ),
    Cause(
        name="clock_skew",
        state=State.FLAT,
        meaning="The lake holds bars that close in the future, or the venue's clock differs from ours by more than "
        "data.max_clock_skew_s",
        remedy="Correct the clock of this machine or of the source, then collect again",
    ),
    Cause(
        name="venue_unchecked",
        state=State.FLAT,
        meaning="In live mode: the venue has not answered within serving.max_age_bars bars",
        remedy="Start `lockstep collect`, or see in `lockstep gaps` why the venue is left alone",
    ),
    Cause(
        name="not_armed",
        state=State.FLAT,
        meaning="In live mode: nobody armed this champion, its time is over, or another champion was armed",
        remedy="Look at `lockstep status`, then `lockstep arm --reason ... --hours 24`",
    ),
    Cause(
        name="no_capital",
        state=State.FLAT,
        meaning="In live mode: the champion's stage of the capital ramp is observe or paper, which have no capital",
        remedy="See `lockstep ramp show`: stages follow from what is stored, by `lockstep ramp check`",
    ),
    Cause(
        name="gap",
        state=State.FLAT,
        meaning="This bar is missing for this symbol",
        remedy="Collect again; the bar is decided if it arrives in time",
    ),
    Cause(
        name="too_many_gaps",
        state=State.FLAT,
        meaning="Too many of the last bars are missing for windows to mean anything",
        remedy="Bring the missing bars with `lockstep backfill`; `lockstep status` says where the lake ends",
    ),
    Cause(
        name="warming_up",
        state=State.FLAT,
        meaning="The history is shorter than the warm-up every feature needs",
        remedy="Backfill a longer history",
    ),
    Cause(
        name="funding_unknown",
        state=State.FLAT,
        meaning="The funding rate in force at this bar is not known",
        remedy="Collect funding for this symbol",
    ),
    Cause(
        name="reference_missing",
        state=State.FLAT,
        meaning="The reference market has no bar here",
        remedy="Collect the reference symbol",
    ),
    Cause(
        name="feature_invalid",
        state=State.FLAT,
        meaning="A feature is not a number, or the kernel refused the bar",
        remedy="Inspect the bar with `lockstep features show`",
    ),
    Cause(
        name="no_quorum",
        state=State.FLAT,
        meaning="Fewer healthy models than decision.min_healthy",
        remedy="Inspect the bundle with `lockstep models verify`",
    ),
    Cause(
        name="model_error",
        state=State.FLAT,
        meaning="The champion raised an error or gave something that is no probability",
        remedy="Inspect the bundle with `lockstep models verify`; roll back if it repeats",
    ),
    Cause(
        name="constant_output",
        state=State.FLAT,
        meaning="The champion's last serving.constant_predictions answers, over all symbols, are one and the same: "
        "that is no model",
        remedy="Roll back with `lockstep rollback`, then find what its inputs or its training lost",
    ),
    Cause(
        name="drift_block",
        state=State.FLAT,
        meaning="The newest verdict about the champion's inputs is critical drift, younger than "
        "serving.drift_block_hours, and serving.drift_block asks to stop for it",
        remedy="Read `lockstep drift`, train and promote, or let the next check find it gone; predictions go on",
    ),
    Cause(
        name="slow_decision",
        state=State.FLAT,
        meaning="The decision was ready later than serving.max_decision_s after it began: the market has moved on",
        remedy="Find what held the worker up (load, a slow disk, a pause); the next bar in time clears this",
    ),
    Cause(
        name="guard_paused",
        state=State.FLAT,
        meaning="The champion's own closed trades paused it (guard.paused_*); its book goes on unsaid",
        remedy="Nothing: it recovers when its trades do; roll back or retrain if they do not",
    ),
    Cause(
        name="daily_loss",
        state=State.FLAT,
        meaning="What the champion said lost decision.daily_loss_limit of equity in this UTC day",
        remedy="Nothing: the next UTC day clears this",
    ),
    Cause(
        name="lake_unreadable",
        state=State.FLAT,
        meaning="The lake cannot be read",
        remedy="Follow the message in the log; it names the file",
    ),
    Cause(
        name=UNKNOWN,
        state=State.FLAT,
        meaning="An error nobody foresaw; it is counted and its kind recorded",
        remedy="Report it with the log; the next bar is tried afresh",
    ),
    Cause(
        name="database_down",
        state=State.HALT,
        meaning="Nothing can be recorded, so nothing is said",
        remedy="Bring PostgreSQL back; missed bars are caught up",
    ),
    Cause(
        name="disk_full",
        state=State.HALT,
        meaning="A disk is full, so nothing can be recorded and nothing is said; nothing is half-written",
        remedy="Free space where the database or the lake lies; missed bars are caught up",
    ),
    Cause(
        name="two_champions",
        state=State.HALT,
        meaning="Two bundles claim to be champion: the last deployment does not follow from the one before it, or "
        "MLflow's champion has our version's number and another bundle",
        remedy="Decide which is meant, then `lockstep promote` or `lockstep rollback`",
    ),
    Cause(
        name="drawdown",
        state=State.HALT,
        meaning="What the champion said fell decision.drawdown_limit below its peak; the halt switch was thrown",
        remedy="Find out why, then `lockstep resume --reason ...`: the drawdown is counted from there",
    ),
    Cause(
        name="halted",
        state=State.HALT,
        meaning="Somebody threw the halt switch",
        remedy="Find out why, then `lockstep resume`",
    ),
)
CAUSES: dict[str, Cause] = {cause.name: cause for cause in _ROWS}
CHAMPION_ERRORS = frozenset({"model_error", "no_quorum", UNKNOWN})
"""Causes that are the champion's own errors: enough of them in a row throw the halt switch."""

_REASONS = (
    (Reason.WARMUP, "warming_up"),
    (Reason.FILLED, "gap"),
    (Reason.GAPS, "too_many_gaps"),
    (Reason.FUNDING_UNKNOWN, "funding_unknown"),
    (Reason.REFERENCE_MISSING, "reference_missing"),
    (Reason.NOT_FINITE, "feature_invalid"),
)
_ERRORS: tuple[tuple[type[BaseException], str], ...] = (
    (BundleContractError, "contract_mismatch"),
    (ContractError, "contract_mismatch"),
    (BundleError, "bundle_refused"),
    (PredictionError, "model_error"),
    (StoreError, "registry_down"),
    (FeatureError, "feature_invalid"),
    (LakeError, "lake_unreadable"),
    (DatabaseError, "database_down"),
    (SQLAlchemyError, "database_down"),
)


def state_of(cause: str) -> State:
    """The state of a cause; FLAT for one that is not in the table."""
    return CAUSES[cause].state if cause in CAUSES else State.FLAT


def gravest(causes: Iterable[str]) -> str:
    """The cause with the gravest state, the earlier one among equals; ``ok`` only when there is no other."""
    return max(causes, key=lambda cause: (state_of(cause), cause != OK), default=OK)


def cause_of_reason(reason: int) -> str:
    """The cause behind a feature row's reason flags (``features.reasons.Reason``); ``ok`` for 0."""
    for flag, cause in _REASONS:
        if reason & flag:
            return cause
    return OK if reason == 0 else UNKNOWN


def cause_of_error(error: BaseException) -> str:
    """The cause behind an exception; ``unknown_error`` for one nobody foresaw."""
    if is_disk_full(error):
        return "disk_full"
    for kind, cause in _ERRORS:
        if isinstance(error, kind):
            return cause
    return UNKNOWN


def kind_of(error: BaseException) -> str:
    """What sort of error this is, by which those that nobody foresaw are counted.

    >>> kind_of(ZeroDivisionError("division by zero"))
    'ZeroDivisionError'
    """
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def fail_closed_page() -> str:
    """``docs/fail-closed.md``: the table as Markdown."""
    ordered = sorted(_ROWS, key=lambda cause: cause.state)
    rows = "".join(f"| {c.state.name} | `{c.name}` | {c.meaning} | {c.remedy} |\n" for c in ordered)
    return _PAGE_HEAD + rows


_PAGE_HEAD = """# Fail closed, by table

Generated from `serving/states.py` by `make docs`; a test keeps both equal.

Every signal carries a state and a reason. FULL: everything is as it should be. LAST_GOOD: the last verified champion
keeps serving. FLAT: no new position. HALT: nothing at all until somebody acts. A cause that is not listed is FLAT. When
several hold at once, the gravest counts. Predictions and paper trades go on in every state in which they can be
recorded, so a blocked system can be judged and recover.

| state | reason | what it means | what to do |
|---|---|---|---|
"""
