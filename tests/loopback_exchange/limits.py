"""How much may a client ask, and what does the venue do when it asks more?

Use is always counted, and only punished where ``enforce`` is set. Time is real time (windows of the clock's minutes, as
at the venue), not the venue's clock, which tests set as they like.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["BinanceLimits", "BybitLimits", "Refusal", "Window"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A call that is not answered: with which status (200: an error code in the body), and when to come back."""

    status: int
    wait_s: float

    @property
    def retry_after(self) -> str:
        """The whole seconds that a venue tells."""
        return str(max(math.ceil(self.wait_s), 1))


@dataclass(kw_only=True)
class Window:
    """What was used of ``limit`` in fixed windows of ``length_s``: in this one, at most, and in all."""

    limit: int
    length_s: float
    used: int = 0
    most: int = 0
    total: int = 0
    _number: int = -1

    def turn(self, now_s: float) -> bool:
        """Begin anew if a window has passed; whether it has."""
        number = int(now_s // self.length_s)
        if number == self._number:
            return False
        self._number, self.used = number, 0
        return True

    def use(self, cost: int, now_s: float) -> bool:
        """Count this; whether it was within the limit."""
        self.turn(now_s)
        self.used += cost
        self.total += cost
        self.most = max(self.most, self.used)
        return self.used <= self.limit

    def left_s(self, now_s: float) -> float:
        """Seconds until the next window."""
        return self.length_s - now_s % self.length_s


@dataclass(kw_only=True)
class BinanceLimits:
    """2400 weight a minute, 1000 open interest and 500 funding calls in five: beyond them 429 with Retry-After.

    A client refused more than ``tolerated`` times in one minute is banned: 418 for ``ban_s``, longer each time.
    """

    enforce: bool = False
    weight: int = 2400
    window_s: int = 60
    open_interest_calls: int = 1000
    funding_calls: int = 500
    tolerated: int = 10
    ban_s: float = 120.0
    clock: Callable[[], float] = time.time
    windows: dict[str, Window] = field(init=False)
    refusals: int = 0
    _in_a_row: int = 0
    _banned_until_s: float = 0.0

    def __post_init__(self) -> None:
        """Counters begin at zero."""
        self.windows = {
            "weight": Window(limit=self.weight, length_s=self.window_s),
            "open_interest": Window(limit=self.open_interest_calls, length_s=300),
            "funding": Window(limit=self.funding_calls, length_s=300),
        }

    @property
    def used_weight(self) -> int:
        """Weight used in the present window."""
        self.windows["weight"].turn(self.clock())
        return self.windows["weight"].used

    @property
    def total_weight(self) -> int:
        """Weight used since the start."""
        return self.windows["weight"].total

    @property
    def announced(self) -> dict[str, object]:
        """The limit as ``exchangeInfo`` tells it."""
        minutes, seconds = divmod(self.window_s, 60)
        unit, number = ("SECOND", self.window_s) if seconds else ("MINUTE", minutes)
        return {"rateLimitType": "REQUEST_WEIGHT", "interval": unit, "intervalNum": number, "limit": self.weight}

    @property
    def headers(self) -> dict[str, str]:
        """What every answer tells, for example ``X-MBX-USED-WEIGHT-1M: 17``."""
        every = self.announced
        return {f"X-MBX-USED-WEIGHT-{every['intervalNum']}{str(every['interval'])[0]}": str(self.used_weight)}

    def use(self, weight: int, kind: str | None) -> Refusal | None:
        """Count a call of this weight; ``kind`` names the counter of calls that it also has."""
        now = self.clock()
        if self.enforce and now < self._banned_until_s:
            return self._refuse(418, self._banned_until_s - now)
        if self.windows["weight"].turn(now):
            self._in_a_row = 0
        costs = {"weight": weight} | ({kind: 1} if kind else {})
        over = [name for name, cost in costs.items() if not self.windows[name].use(cost, now)]
        if not over or not self.enforce:
            return None
        self._in_a_row += 1
        if self._in_a_row > self.tolerated:
            return self._ban(now)
        return self._refuse(429, max(self.windows[name].left_s(now) for name in over))

    def _ban(self, now_s: float) -> Refusal:
        length_s, self.ban_s = self.ban_s, 2 * self.ban_s
        self._banned_until_s, self._in_a_row = now_s + length_s, 0
        return self._refuse(418, length_s)

    def _refuse(self, status: int, wait_s: float) -> Refusal:
        self.refusals += 1
        return Refusal(status=status, wait_s=wait_s)


@dataclass(kw_only=True)
class BybitLimits:
    """600 calls in five seconds; beyond them retCode 10006 with the time of the reset.

    Where it ``bans``, the address gets HTTP 403 for ``ban_s`` instead.
    """

    enforce: bool = False
    calls: int = 600
    window_s: float = 5.0
    bans: bool = False
    ban_s: float = 600.0
    clock: Callable[[], float] = time.time
    window: Window = field(init=False)
    refusals: int = 0
    _banned_until_s: float = 0.0

    def __post_init__(self) -> None:
        """The counter begins at zero."""
        self.window = Window(limit=self.calls, length_s=self.window_s)

    def headers(self, now_ms: int, refusal: Refusal | None = None) -> dict[str, str]:
        """What every answer tells: the limit, what is left of it, and the time of the reset on the venue's clock."""
        self.window.turn(self.clock())
        return {
            "X-Bapi-Limit": str(self.calls),
            "X-Bapi-Limit-Status": str(max(self.calls - self.window.used, 0)),
            "X-Bapi-Limit-Reset-Timestamp": str(now_ms + (math.ceil(1000 * refusal.wait_s) if refusal else 0)),
        }

    def use(self) -> Refusal | None:
        """Count a call."""
        now = self.clock()
        if self.enforce and now < self._banned_until_s:
            return self._refuse(403, self._banned_until_s - now)
        if self.window.use(1, now) or not self.enforce:
            return None
        if not self.bans:
            return self._refuse(200, self.window.left_s(now))
        self._banned_until_s = now + self.ban_s
        return self._refuse(403, self.ban_s)

    def _refuse(self, status: int, wait_s: float) -> Refusal:
        self.refusals += 1
        return Refusal(status=status, wait_s=wait_s)
