"""Do two sides mean the same features?

The contract is everything that decides the bytes of a row: names and their order, dtype, timeframe, block and
warm-up, fill limits, the reference market, and a hash over the sources of kernel, clock, definitions and inputs. Its
fingerprint is stored in bundles, rows and data sets, and compared wherever they meet.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from json import dumps, loads
from typing import Any

import numpy as np

from features import kernel_layout as layout
from features.definitions import FEATURES
from features.errors import ContractError
from features.sources import source_hash
from market.candles import Ints
from market.timeframe import Timeframe

__all__ = ["FeatureContract", "FeatureSpec", "running_contract"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSpec:
    """What an operator chooses: bars, reference market, block and warm-up lengths, limits on filled bars.

    Without ``funding_required`` a row whose funding is unknown stays valid, and its funding features are missing.
    """

    timeframe: Timeframe
    reference_symbol: str
    block_bars: int = 2016
    warmup_bars: int = 1152
    max_filled: int = 12
    fill_window_bars: int = 288
    funding_required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureContract:
    """Everything that decides the bytes of a feature row."""

    names: tuple[str, ...]
    dtype: str = "float32"
    timeframe_ms: int
    block_bars: int
    warmup_bars: int
    max_filled: int
    fill_window_bars: int
    reference_symbol: str
    nan_allowed: tuple[str, ...]
    kernel_hash: str
    funding_required: bool = True

    @property
    def fingerprint(self) -> str:
        """32 hex digits that differ when any field differs."""
        return sha256(self.to_json().encode()).hexdigest()[:32]

    def to_json(self) -> str:
        """One line with sorted keys: equal contracts give equal text."""
        return dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "FeatureContract":
        """Read what ``to_json`` wrote; unknown or missing fields and wrong types raise ``ContractError``."""
        try:
            read = loads(text)
        except ValueError as error:
            raise _unreadable(str(error)) from error
        if not isinstance(read, Mapping):
            raise _unreadable("it is not a JSON object")
        known = {field.name for field in fields(cls)}
        if set(read) != known:
            raise _unreadable(f"its fields differ by {sorted(set(read) ^ known)}")
        return cls(**{name: _typed(name, value) for name, value in read.items()})

    def index_of(self, name: str) -> int:
        """Column of a feature; an unknown name raises ``ContractError``."""
        if name not in self.names:
            raise ContractError(
                f"feature {name!r}",
                why=f"this contract has {len(self.names)} features and it is not one of them",
                remedy="see docs/features.md for the names",
            )
        return self.names.index(name)

    def require_equal(self, other: "FeatureContract") -> None:
        """Raise ``ContractError`` naming the first difference to ``other``."""
        for field in fields(self):
            mine, theirs = getattr(self, field.name), getattr(other, field.name)
            if mine != theirs:
                raise ContractError(
                    f"feature contracts differ in {_first_difference(field.name, mine, theirs)}",
                    why="a model would read numbers that mean something else",
                    remedy="train again under the running features, or run the version the model was trained with",
                )

    def parameters(self) -> Ints:
        """Return the kernel's parameters, ``(5,) int64``."""
        given = np.zeros(layout.PARAMETERS, dtype=np.int64)
        given[layout.P_WARMUP] = self.warmup_bars
        given[layout.P_MAX_FILLED] = self.max_filled
        given[layout.P_FILL_WINDOW] = self.fill_window_bars
        given[layout.P_BARS_PER_YEAR] = Timeframe(self.timeframe_ms).bars_per_year
        given[layout.P_FUNDING_REQUIRED] = int(self.funding_required)
        return given


def running_contract(spec: FeatureSpec) -> FeatureContract:
    """Return the running code's contract for this choice; an impossible one raises ``ContractError``."""
    _check(spec)
    return FeatureContract(
        names=tuple(feature.name for feature in FEATURES),
        timeframe_ms=spec.timeframe.ms,
        block_bars=spec.block_bars,
        warmup_bars=spec.warmup_bars,
        max_filled=spec.max_filled,
        fill_window_bars=spec.fill_window_bars,
        reference_symbol=spec.reference_symbol,
        nan_allowed=tuple(
            feature.name
            for feature in FEATURES
            if feature.nan_allowed or (feature.group == "funding" and not spec.funding_required)
        ),
        funding_required=spec.funding_required,
        kernel_hash=source_hash(),
    )


def _check(spec: FeatureSpec) -> None:
    for wrong, what, remedy in (
        (spec.block_bars < 1, f"block_bars={spec.block_bars}", "use at least 1"),
        (
            spec.warmup_bars < layout.LONGEST_LOOKBACK,
            f"warmup_bars={spec.warmup_bars}",
            f"use at least {layout.LONGEST_LOOKBACK}, the longest window",
        ),
        (
            not 1 <= spec.fill_window_bars <= spec.warmup_bars,
            f"fill_window_bars={spec.fill_window_bars}",
            "use 1 to warmup_bars",
        ),
        (spec.max_filled < 0, f"max_filled={spec.max_filled}", "use 0 or more"),
    ):
        if wrong:
            raise ContractError(what, why="rows would depend on bars that were never seen", remedy=remedy)


def _first_difference(name: str, mine: object, theirs: object) -> str:
    if isinstance(mine, tuple) and isinstance(theirs, tuple):
        for k, (a, b) in enumerate(zip(mine, theirs, strict=False)):
            if a != b:
                return f"{name}[{k}]: {a!r} here, {b!r} there"
        longer, where = (mine, "here") if len(mine) > len(theirs) else (theirs, "there")
        alone = longer[min(len(mine), len(theirs))]
        return f"the number of {name}: {len(mine)} here, {len(theirs)} there; {alone!r} is {where} alone"
    return f"{name}: {mine!r} here, {theirs!r} there"


def _typed(name: str, value: Any) -> Any:
    if name in {"names", "nan_allowed"}:
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
    elif name in {"dtype", "reference_symbol", "kernel_hash"}:
        if isinstance(value, str):
            return value
    elif isinstance(value, bool) == (name == "funding_required") and isinstance(value, int):
        return value
    raise _unreadable(f"{name} is {value!r}")


def _unreadable(why: str) -> ContractError:
    return ContractError("a feature contract cannot be read", why=why, remedy="restore the file it came from")
