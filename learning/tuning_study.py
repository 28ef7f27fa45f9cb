"""What does a study try next, and which of its trials count?

An Optuna study, asked and told one trial at a time. What it tries n-th depends on the seed, on n and on the trials that
counted before, and on nothing else: not on how often the study was stopped. Trial 0 is the configuration as it stands,
also where settings lie outside the bounds of the search; the sampler is then told the nearest point inside.

A trial counts once it is complete, pruned or failed with a reason. One whose process died never gave a number to look
at: it is closed without a reason, does not count, and its values are tried again.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import isfinite, nan, sqrt
from statistics import fmean, stdev
from typing import Any

from learning.config import TrainingConfig
from learning.search_space import SEARCH_SPACE, Params, default_params, distributions
from registry.predictors import ModelKind

__all__ = ["Trial", "best_trial", "close_interrupted", "counted_trials", "gain_over", "run_trial"]

_COMPLETE, _PRUNED, _FAILED = "complete", "pruned", "fail"
_STATES = {"COMPLETE": _COMPLETE, "PRUNED": _PRUNED, "FAIL": _FAILED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """The ``number``-th trial that counts, from 0; ``state`` complete, pruned or fail.

    ``losses`` are those of the inner splits it came to, in nats.
    """

    kind: ModelKind
    number: int
    params: Params
    state: str
    losses: tuple[float, ...]

    @property
    def loss(self) -> float:
        """Mean over the splits it came to; NaN where it came to none."""
        return fmean(self.losses) if self.losses else nan


def close_interrupted(study: Any) -> int:
    """Close trials whose process died; nobody else can be at work on this study. Returns how many there were."""
    from optuna.trial import TrialState

    dead = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    for one in dead:
        study.tell(one.number, state=TrialState.FAIL)
    return len(dead)


def counted_trials(study: Any, kind: ModelKind, config: TrainingConfig) -> tuple[Trial, ...]:
    """The trials that count, in the order in which they were begun."""
    counted = [
        one
        for one in study.get_trials(deepcopy=False)
        if one.state.name in _STATES and (one.state.name != "FAIL" or "reason" in one.user_attrs)
    ]
    return tuple(
        Trial(
            kind=kind,
            number=number,
            params=dict(one.params) if number else _as_it_stands(kind, config),
            state=_STATES[one.state.name],
            losses=tuple(one.user_attrs["losses"]),
        )
        for number, one in enumerate(counted)
    )


def run_trial(
    study: Any, kind: ModelKind, *, config: TrainingConfig, splits: int, losses: Callable[[Params], Iterator[float]]
) -> Trial:
    """Run the next trial over the ``splits`` that ``losses`` yields; whatever that raises passes.

    A trial is pruned when what it loses against trial 0 on the splits so far is more than the median complete trial
    lost there; one whose loss is not finite fails.
    """
    before = counted_trials(study, kind, config)
    asked = _ask(study, kind, config=config, number=len(before))
    params = dict(asked.params) if before else _as_it_stands(kind, config)
    found: list[float] = []
    state, reason = _COMPLETE, ""
    for step, loss in enumerate(losses(params)):
        if not isfinite(loss):
            state, reason = _FAILED, f"the loss of split {step + 1} is {loss}"
            break
        found.append(loss)
        asked.report(_lost(found, before), step)
        if step + 1 < splits and asked.should_prune():
            state = _PRUNED
            break
    asked.set_user_attr("losses", found)
    if reason:  # after the losses: a failed trial with a reason counts, and is then read with them
        asked.set_user_attr("reason", reason)
    study.tell(asked, fmean(found) if state == _COMPLETE else None, state=_optuna_state(state))
    return Trial(kind=kind, number=len(before), params=params, state=state, losses=tuple(found))


def best_trial(trials: Sequence[Trial]) -> Trial:
    """The complete trial with the least loss, the earliest of equals; the first where none is complete."""
    return min((one for one in trials if one.state == _COMPLETE), key=lambda one: one.loss, default=trials[0])


def gain_over(default: Trial, best: Trial) -> tuple[float, float]:
    """Mean gain of ``best`` over ``default`` and its standard error, over the splits, in nats; 0 where one failed."""
    if default.state != _COMPLETE or best.state != _COMPLETE:
        return 0.0, 0.0
    gains = [before - after for before, after in zip(default.losses, best.losses, strict=True)]
    return fmean(gains), stdev(gains) / sqrt(len(gains)) if len(gains) > 1 else 0.0


def _as_it_stands(kind: ModelKind, config: TrainingConfig) -> dict[str, int | float]:
    return {name: getattr(config, name) for name in SEARCH_SPACE[kind]}


def _ask(study: Any, kind: ModelKind, *, config: TrainingConfig, number: int) -> Any:
    """The trial after ``number`` that count; a fresh sampler each time leaves nothing that a process could forget."""
    from optuna.samplers import TPESampler
    from optuna.trial import TrialState

    digest = sha256(f"{config.seed} {study.study_name} {number}".encode()).digest()
    study.sampler = TPESampler(seed=int.from_bytes(digest[:4], "little"))
    if number == 0 and not study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        study.enqueue_trial(default_params(kind, config))
    return study.ask(fixed_distributions=distributions(kind))


def _lost(found: Sequence[float], before: Sequence[Trial]) -> float:
    """Mean loss so far less trial 0's on the same splits: some splits are harder than others for everyone."""
    beside = before[0].losses[: len(found)] if before else ()
    return fmean(found) - fmean(beside) if len(beside) == len(found) else fmean(found)


def _optuna_state(state: str) -> Any:
    from optuna.trial import TrialState

    return next(TrialState[name] for name, ours in _STATES.items() if ours == state)
