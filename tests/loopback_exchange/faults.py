"""What can go wrong between a venue's books and its client?

A ``Fault`` strikes calls by path, symbol, number and chance: the answer is refused, lost, late or cut, or the rows of a
page are not what they should be. What is wrong with a market itself (gaps, revisions, odd stamps) is in ``warts``.
"""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

__all__ = ["ON_PAGES", "Fault", "FaultKind", "altered"]


class FaultKind(StrEnum):
    """How a struck call ends; the text is what ``--help`` says."""

    STATUS = "answered with this HTTP status, and Retry-After where given"
    DROP = "the connection is dropped before a byte of an answer"
    HANG = "never answered: the client's time-out must end it"
    SLOW = "answered well, but only after a while"
    SLOW_BODY = "headers at once, then the body in drops over a while"
    TRUNCATED = "JSON that ends in the middle, with a Content-Length that agrees"
    CUT = "the connection is dropped in the middle of the body"
    EMPTY = "a page without rows"
    SHORT = "a page that lacks its last rows"
    DUPLICATE = "a page with some rows twice"
    DISORDER = "a page with its rows in a wild order"
    CONFLICT = "a page with a row twice, the second time with other values"


ON_PAGES = frozenset({FaultKind.EMPTY, FaultKind.SHORT, FaultKind.DUPLICATE, FaultKind.DISORDER, FaultKind.CONFLICT})


@dataclass(kw_only=True)
class Fault:
    """What happens to the next ``times`` calls (None: all) whose path contains ``path``.

    Without ``kind``: a status where one is given, a late answer where ``slow_s`` is, else a dropped connection.
    ``symbol`` narrows it to calls for one; the first ``after`` calls pass; ``probability`` strikes at random, seeded.
    ``code`` is the venue's own error code in the body of a status.
    """

    path: str
    kind: FaultKind | None = None
    status: int | None = None
    code: int | None = None
    times: int | None = 1
    retry_after_s: float | None = None
    slow_s: float = 0.0
    symbol: str | None = None
    after: int = 0
    probability: float = 1.0
    seed: int = 0
    struck: int = field(default=0, init=False)
    _seen: int = field(default=0, init=False)
    _random: random.Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Read the kind off the other fields where it is not given."""
        self._random = random.Random(self.seed)
        if self.kind is None:
            late = FaultKind.SLOW if self.slow_s else FaultKind.DROP
            self.kind = late if self.status is None else FaultKind.STATUS

    def strikes(self, path: str, symbol: str | None) -> bool:
        """Whether this call is struck; counts it."""
        if self.path not in path or (self.symbol is not None and symbol != self.symbol):
            return False
        self._seen += 1
        if self._seen <= self.after or (self.times is not None and self.times <= 0):
            return False
        if self.probability < 1.0 and self._random.random() >= self.probability:
            return False
        self.struck += 1
        if self.times is not None:
            self.times -= 1
        return True


def altered(kind: FaultKind, rows: bytes, *, seed: int, conflict: Callable[[Any], Any]) -> bytes:
    """The rows of a page (JSON values between commas) after a fault; ``conflict`` gives a row other values."""
    held: list[Any] = json.loads(b"[" + rows + b"]")
    changed = _altered(kind, held, random.Random(seed), conflict)
    return json.dumps(changed, separators=(",", ":")).encode()[1:-1]


def _altered(kind: FaultKind, rows: list[Any], rng: random.Random, conflict: Callable[[Any], Any]) -> Sequence[Any]:
    if kind is FaultKind.EMPTY or not rows:
        return []
    if kind is FaultKind.SHORT:
        return rows[: len(rows) // 2]
    if kind is FaultKind.DISORDER:
        wild = rng.sample(rows, len(rows))
        return wild if wild != rows else rows[::-1]
    if kind is FaultKind.DUPLICATE:
        twice = set(rng.sample(range(len(rows)), min(len(rows), 1 + len(rows) // 100)))
        return [row for i, row in enumerate(rows) for _ in range(2 if i in twice else 1)]
    at = rng.randrange(len(rows))
    return [*rows[: at + 1], conflict(rows[at]), *rows[at + 1 :]]
