"""Who serves: which champion, which challengers, and is something wrong with them?

A ``Lineup`` is what one process has loaded, immutable, so replacing the reference to it swaps model, scaler, contract
and policy together. ``cause`` tells trouble with the champion itself (refused, registry down); whoever loads the
bundles sets it. A refused champion with a last good one loaded serves that one (LAST_GOOD); with none, nothing serves.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from features.contract import FeatureContract
from infra.settings_ramp import RampSettings
from market.errors import LockstepError
from market.symbols import is_synthetic
from market.timeframe import DAY_MS
from registry.load import LoadedBundle
from serving.errors import ReplayError
from serving.shares import symbols_of_share
from serving.states import OK, State, state_of

__all__ = ["Lineup", "ServePlan", "ServedBundle", "coverage_cause", "covered", "lineup_cause"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ServedBundle:
    """A loaded bundle and its registry version (None if it has none)."""

    bundle: LoadedBundle
    version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lineup:
    """What is loaded.

    ``cause`` is a name from ``serving.states.CAUSES``, ``detail`` the refusal in words, ``refused`` the hash of the
    deployed bundle that was refused.
    """

    champion: ServedBundle | None = None
    challengers: tuple[ServedBundle, ...] = ()
    cause: str = OK
    detail: str = ""
    refused: str | None = None

    def seats(self) -> Iterator[tuple[str, ServedBundle]]:
        """(role, bundle), the champion first; a bundle that is both counts as champion."""
        if self.champion is not None:
            yield "champion", self.champion
        seen = set() if self.champion is None else {self.champion.bundle.hash}
        for one in self.challengers:
            if one.bundle.hash not in seen:
                seen.add(one.bundle.hash)
                yield "challenger", one


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ServePlan:
    """What to serve: for which model name, markets and features, under which limits.

    A bar decided more than ``max_age_bars`` after its close is stale; a champion whose training data ended more than
    ``max_model_age_days`` before the decision is expired. ``arming_needed`` (live mode): only a champion that a person
    armed may give signals. ``ramp`` (live mode): sizes are the part of the capital that the champion's stage allows.
    After ``max_error_bars`` bars on which the champion failed the worker halts. A market whose last ``frozen_bars``
    real bars are one bar repeated is frozen, a champion whose last ``constant_predictions`` answers are one answer is
    no model, a decision that took longer than ``max_decision_ms`` is not said, and a verdict of critical drift blocks
    for ``drift_block_hours`` (None: never). ``symbols`` are those of the share ``share`` of ``shares``
    (``serving.shares``). ``contract_id`` is the contract's fingerprint.
    """

    model_name: str
    symbols: tuple[str, ...]
    contract: FeatureContract
    run: str
    max_age_bars: int = 2
    max_model_age_days: int = 90
    arming_needed: bool = False
    frozen_bars: int = 12
    constant_predictions: int = 60
    max_decision_ms: int = 10_000
    drift_block_hours: int | None = None
    ramp: RampSettings | None = None
    max_error_bars: int = 10
    share: int = 0
    shares: int = 1
    contract_id: str = field(init=False, default="")

    def __post_init__(self) -> None:
        """Hash the contract once: its fingerprint goes into every row."""
        object.__setattr__(self, "contract_id", self.contract.fingerprint)

    @property
    def component(self) -> str:
        """The name under which the heartbeat of whoever serves this is kept."""
        return "worker" if self.shares == 1 else f"worker {self.share + 1} of {self.shares}"

    def share_of_bundle(self, bundle: LoadedBundle) -> tuple[str, ...] | None:
        """The symbols that the bundle knows and this share serves, now or earlier; None where there is one share."""
        return None if self.shares == 1 else symbols_of_share(_names(bundle), self.share, self.shares)

    def check(self, lineup: Lineup) -> None:
        """Raise ``ReplayError`` for no or doubled symbols and for bundles of another contract."""
        if not self.symbols or len(set(self.symbols)) != len(self.symbols):
            raise ReplayError(
                f"symbols {', '.join(self.symbols) or '(none)'}",
                why="each market is served exactly once",
                remedy="name each symbol once",
            )
        for _, one in lineup.seats():
            try:
                one.bundle.contract.require_equal(self.contract)
            except LockstepError as bad:
                raise ReplayError(
                    f"bundle {one.bundle.hash[:12]} reads other features ({bad.what})",
                    why="its models would be given numbers they were not trained on",
                    remedy="load bundles through registry.load_bundle with the running contract",
                ) from bad


def lineup_cause(lineup: Lineup, plan: ServePlan, *, decided_at_ms: int) -> str:
    """What is wrong with the champion at this moment; ``ok`` when nothing is."""
    if lineup.champion is None:
        return lineup.cause if state_of(lineup.cause) >= State.FLAT else "no_champion"
    if state_of(lineup.cause) >= State.FLAT:
        return lineup.cause
    age_ms = decided_at_ms - _number(lineup.champion.bundle.facts["train_end_ms"])
    return "model_expired" if age_ms > plan.max_model_age_days * DAY_MS else lineup.cause


def coverage_cause(bundle: LoadedBundle, symbol: str) -> str:
    """Why this bundle must not predict this symbol; ``ok`` when it may."""
    if bool(bundle.facts["synthetic"]) != is_synthetic(symbol):
        return "synthetic_model"
    known = bundle.facts["symbols"]
    return OK if isinstance(known, Sequence) and symbol in known else "symbol_not_covered"


def covered(bundle: LoadedBundle, symbols: Sequence[str]) -> NDArray[np.bool_]:
    """``(S,)`` which symbols the bundle may predict."""
    return np.array([coverage_cause(bundle, symbol) == OK for symbol in symbols], dtype=np.bool_)


def _names(bundle: LoadedBundle) -> tuple[str, ...]:
    known = bundle.facts["symbols"]
    return tuple(map(str, known)) if isinstance(known, Sequence) else ()


def _number(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(f"a bundle fact that should be a time in ms is {value!r}")
    return value
