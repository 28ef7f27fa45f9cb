"""How much capital may a champion use now, and what comes next?

A pure state machine: stage, evidence and clock give the next stage with its reasons. Forward goes one stage at a time,
after the stage's time, through every gate; evidence that is missing never promotes. A breach demotes at once. A gate
that was measured and missed when the time is over begins the stage again (observe, paper) or goes one stage down. A
silence of the worker that nobody planned begins the stage's time again. Another champion is at ``paper`` at most, and a
bundle from a synthetic market never goes beyond it.

    >>> [size_share(stage) for stage in Stage]
    [0.0, 0.0, 0.1, 0.25, 1.0]
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

from infra.settings_ramp import RampSettings
from serving.ramp_gates import Evidence, RampGate, capital_gates, observe_gates, paper_gates

__all__ = [
    "Clock",
    "Move",
    "Stage",
    "at_most_paper",
    "next_stage",
    "position_cap",
    "size_share",
    "stage_hours",
]

HOUR_MS = 3_600_000


class Stage(StrEnum):
    """The stages of capital, in order."""

    OBSERVE = "observe"
    PAPER = "paper"
    CAPITAL_10 = "capital_10"
    CAPITAL_25 = "capital_25"
    CAPITAL_FULL = "capital_full"


_ORDER = tuple(Stage)
_SHARES = {
    Stage.OBSERVE: 0.0,
    Stage.PAPER: 0.0,
    Stage.CAPITAL_10: 0.10,
    Stage.CAPITAL_25: 0.25,
    Stage.CAPITAL_FULL: 1.0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """Which bundle is at which stage, and since when its time counts (ms UTC).

    ``deployment`` is the change of champion that made it serve: a bundle that comes back is another champion.
    """

    bundle_hash: str
    deployment: int
    stage: Stage
    since_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """What a check found: ``clock`` holds from now on; ``verdict`` is fired where it differs from before.

    ``quiet``: nothing changes and every number is known; ``unknown``: one that is asked for is missing.
    """

    verdict: Literal["fired", "quiet", "unknown"]
    clock: Clock
    reason: str
    gates: tuple[RampGate, ...] = ()


def size_share(stage: Stage) -> float:
    """The part of the capital this stage may use: sizes are multiplied by it."""
    return _SHARES[stage]


def position_cap(stage: Stage, settings: RampSettings) -> int | None:
    """Positions at once with capital; None where only the bundle's own policy limits them."""
    return {
        Stage.OBSERVE: 0,
        Stage.PAPER: 0,
        Stage.CAPITAL_10: settings.capital_10_positions,
        Stage.CAPITAL_25: settings.capital_25_positions,
        Stage.CAPITAL_FULL: None,
    }[stage]


def stage_hours(stage: Stage, settings: RampSettings) -> float:
    """Hours a stage lasts at least; at full capital the newest hours that are judged."""
    return {
        Stage.OBSERVE: settings.observe_hours,
        Stage.PAPER: settings.paper_hours,
        Stage.CAPITAL_10: settings.capital_10_hours,
        Stage.CAPITAL_25: settings.capital_25_hours,
        Stage.CAPITAL_FULL: settings.review_hours,
    }[stage]


def at_most_paper(stage: Stage) -> Stage:
    """The stage itself where it uses no capital, else paper."""
    return min(stage, Stage.PAPER, key=_ORDER.index)


def next_stage(clock: Clock, evidence: Evidence, *, now_ms: int, settings: RampSettings) -> Move:
    """The one change that is due, graver ones first; otherwise the same clock and why it holds."""
    stage = clock.stage
    if evidence.deployment != clock.deployment:
        words = f"the champion changed: {evidence.bundle_hash[:12]} now, {clock.bundle_hash[:12]} before"
        changed = replace(clock, bundle_hash=evidence.bundle_hash, deployment=evidence.deployment)
        return _fired(_at(changed, at_most_paper(stage), now_ms), words)
    if stage is not at_most_paper(stage) and evidence.synthetic is not False:
        words = "no bundle trained on a synthetic market, or on nobody knows what, goes beyond paper"
        return _fired(_at(clock, Stage.PAPER, now_ms), words)
    gates = _gates(stage, evidence, settings)
    breach = [one for one in gates if one.breach_to is not None and one.passed is False]
    if breach:
        to = min((Stage(one.breach_to) for one in breach if one.breach_to), key=_ORDER.index)
        return _fired(_at(clock, to, now_ms), _words("breach", breach), gates)
    if evidence.restarted_ms is not None and evidence.restarted_ms > clock.since_ms:
        words = "the worker fell silent without being stopped: the stage's time begins again"
        return _fired(_at(clock, stage, min(evidence.restarted_ms, now_ms)), words, gates)
    return _due(clock, evidence, gates, now_ms=now_ms, settings=settings)


def _due(clock: Clock, evidence: Evidence, gates: Sequence[RampGate], *, now_ms: int, settings: RampSettings) -> Move:
    """The gates, once the stage's time is over."""
    wait_ms = clock.since_ms + stage_hours(clock.stage, settings) * HOUR_MS - now_ms
    missed = [one for one in gates if one.passed is False]
    unknown = [one for one in gates if one.passed is None]
    if wait_ms > 0:
        return _held("unknown" if unknown else "quiet", clock, f"{wait_ms / HOUR_MS:.1f} h to go", gates)
    if missed:
        to = clock.stage if clock.stage is at_most_paper(clock.stage) else _ORDER[_ORDER.index(clock.stage) - 1]
        return _fired(_at(clock, to, now_ms), _words("missed when the time was over", missed), gates)
    if unknown:
        return _held("unknown", clock, _words("not known yet", unknown), gates)
    if clock.stage is Stage.CAPITAL_FULL:
        return _held("quiet", clock, "every gate passed; there is no stage beyond", gates)
    if clock.stage is Stage.PAPER and evidence.synthetic is not False:
        words = "every gate passed, but it was not trained on a real market: paper is as far as it goes"
        return _held("quiet", clock, words, gates)
    return _fired(_at(clock, _ORDER[_ORDER.index(clock.stage) + 1], now_ms), "every gate passed", gates)


def _gates(stage: Stage, evidence: Evidence, settings: RampSettings) -> tuple[RampGate, ...]:
    if stage is Stage.OBSERVE:
        return observe_gates(evidence, settings)
    return paper_gates(evidence, settings) if stage is Stage.PAPER else capital_gates(evidence, settings)


def _at(clock: Clock, stage: Stage, since_ms: int) -> Clock:
    return replace(clock, stage=stage, since_ms=since_ms)


def _fired(clock: Clock, reason: str, gates: Sequence[RampGate] = ()) -> Move:
    return Move(verdict="fired", clock=clock, reason=reason, gates=tuple(gates))


def _held(verdict: Literal["quiet", "unknown"], clock: Clock, reason: str, gates: Sequence[RampGate]) -> Move:
    return Move(verdict=verdict, clock=clock, reason=reason, gates=tuple(gates))


def _words(what: str, gates: Sequence[RampGate]) -> str:
    return f"{what}: " + "; ".join(one.detail for one in gates)
