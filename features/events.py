"""At which bars is something decided, and which side may be taken there?

The rule is sealed into the bundle, so training, walk-forward and serving decide on the same bars. Sampling: ``every``
bar whose absolute index is divisible by ``every_bars``, or ``cusum`` events (the feature ``cusum_event``: returns since
the last event add up to two deviations). Mode ``direction`` lets a model choose the side; in mode ``meta`` the primary
rule names it, and the model says how likely it pays. Everything is read from the row itself: no memory, no future.

    >>> import numpy as np
    >>> EventRule(every_bars=3).sides(np.zeros((4, 0), dtype=np.float32), np.arange(4), ()).tolist()
    [[True, True], [False, False], [False, False], [True, True]]
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from hashlib import sha256
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from features.errors import ContractError
from features.primary_rule import PrimaryRule

__all__ = ["CUSUM_FEATURE", "EventRule", "Mode", "Sampling", "Sides"]

Mode = Literal["direction", "meta"]
Sampling = Literal["every", "cusum"]
Sides = NDArray[np.bool_]
CUSUM_FEATURE = "cusum_event"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRule:
    """Which bars are events and which sides they allow; ``every_bars`` counts for sampling ``every`` alone."""

    mode: Mode = "direction"
    sampling: Sampling = "every"
    every_bars: int = 1
    primary: PrimaryRule = field(default_factory=PrimaryRule)

    def __post_init__(self) -> None:
        """Refuse a rule that this release does not know."""
        if self.mode not in {"direction", "meta"} or self.sampling not in {"every", "cusum"} or self.every_bars < 1:
            raise ContractError(
                f"event rule: mode {self.mode!r}, sampling {self.sampling!r}, every {self.every_bars} bars",
                why="modes are direction and meta, samplings every (1 bar or more) and cusum",
                remedy="correct events.mode, events.sampling or events.every_bars",
            )

    @property
    def fingerprint(self) -> str:
        """16 hex digits that differ when any number differs."""
        return sha256(self.to_json().encode()).hexdigest()[:16]

    def sides(self, X: NDArray[np.float32], bar_index: NDArray[np.int64], names: Sequence[str]) -> Sides:
        """``(n, 2) bool``: may a long, may a short be taken at these rows; a row without either is no event.

        ``X (n, F)`` has the columns ``names``; ``bar_index (n,)`` is absolute.
        """
        found: Sides = self.allowed(X, names) & self.sampled(X, bar_index, names)[:, None]
        return found

    def allowed(self, X: NDArray[np.float32], names: Sequence[str]) -> Sides:
        """``(n, 2) bool``: the sides that the mode leaves open, sampled or not."""
        if self.mode == "direction":
            return np.ones((X.shape[0], 2), dtype=np.bool_)
        side = self.primary.sides(X, names)
        return np.stack((side > 0, side < 0), axis=1)

    def sampled(self, X: NDArray[np.float32], bar_index: NDArray[np.int64], names: Sequence[str]) -> NDArray[np.bool_]:
        """``(n,) bool``: rows that the sampling rule picks."""
        if self.sampling == "every":
            regular: NDArray[np.bool_] = bar_index % self.every_bars == 0
            return regular
        if CUSUM_FEATURE not in names:
            raise ContractError(
                f"sampling by CUSUM reads {CUSUM_FEATURE!r}",
                why="the feature contract does not have it",
                remedy="use a contract with this feature, or events.sampling=every",
            )
        events: NDArray[np.bool_] = X[:, list(names).index(CUSUM_FEATURE)] != 0.0
        return events

    def to_json(self) -> str:
        """One line with sorted keys: equal rules give equal text."""
        return json.dumps(asdict(self), sort_keys=True, allow_nan=False)

    @classmethod
    def from_values(cls, read: Mapping[str, Any]) -> "EventRule":
        """The rule from its JSON object; unknown or missing fields raise ``ContractError``."""
        primary = read.get("primary")
        if set(read) != {one.name for one in fields(cls)} or not isinstance(primary, Mapping):
            raise _unreadable(f"its fields are {sorted(read)}")
        if set(primary) != {one.name for one in fields(PrimaryRule)}:
            raise _unreadable(f"the fields of its primary rule are {sorted(primary)}")
        rule = PrimaryRule(**{**primary, "versions": tuple(primary["versions"])})
        return cls(**{**read, "primary": rule})


def _unreadable(why: str) -> ContractError:
    return ContractError("an event rule cannot be read", why=why, remedy="restore the file it came from")
