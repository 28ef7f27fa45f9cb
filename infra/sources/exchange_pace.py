"""How fast may a venue be asked?

A venue permits so much in any window of time. A ``Pace`` starts calls evenly at our share of that rate; what the share
leaves over is the credit with which a pause of ours is caught up, so that no window ever holds more than is permitted.
It is the generic cell rate algorithm (ITU-T I.371, annex A) with costs. A ``Lane`` is one limit of the venue with the
calls in flight under it: kinds of data limited apart do not wait for each other.

Permitted rates: https://developers.binance.com/docs/derivatives/usds-margined-futures (general info, and each call's
own page) and https://bybit-exchange.github.io/docs/v5/rate-limit.
"""

import asyncio
import math
from typing import Any

from infra.sources.protocol import Kind

__all__ = ["Lane", "Pace", "lanes_of", "set_limits"]

_FIVE_MINUTES_S = 300.0
_BYBIT = (600, 5.0)
_BINANCE_CALLS = {Kind.FUNDING: 500, Kind.OPEN_INTEREST: 1000}
# Of the limits over five minutes a fifth is kept as credit: one call for each of a hundred symbols starts at once.
_LONG_WINDOW_SHARE = 0.8
_UNIT_S = {"SECOND": 1.0, "MINUTE": 60.0, "HOUR": 3600.0}


class Pace:
    """Turns to call; without a limit until ``permit`` sets one."""

    def __init__(self) -> None:
        self._per_s = math.inf
        self._credit_s = 0.0
        self._due = -math.inf
        self._held_until = -math.inf
        self._first_in_line = asyncio.Lock()

    def permit(self, limit: float, *, window_s: float, share: float) -> None:
        """Keep to ``share`` of ``limit`` cost units in ``window_s``."""
        self._per_s = limit * share / window_s
        self._credit_s = limit * min(1.0 - share, share / 4.0) / self._per_s

    def hold(self, until: float) -> None:
        """Start nothing before this moment of the event loop's clock, and then evenly."""
        if until > self._held_until:
            self._held_until = until
            self._due = until + self._credit_s

    async def turn(self, cost: float) -> None:
        """Wait until a call of this cost may start; first come, first served."""
        loop = asyncio.get_running_loop()
        step_s = cost / self._per_s
        async with self._first_in_line:
            # Charged when it starts, not when it was planned: an event loop that was busy starts no bunch of calls.
            while True:
                wait_s = self._start(step_s) - loop.time()
                if wait_s <= 0:
                    break
                await asyncio.sleep(wait_s)  # and look again: a hold may have come
            self._due = max(self._due, loop.time()) + step_s

    def _start(self, step_s: float) -> float:
        return max(self._due + step_s - max(self._credit_s, step_s), self._held_until)


class Lane:
    """One limit of a venue: its pace, and how many calls (``slots``) and requests (``work``) go on at once."""

    def __init__(self, concurrency: int) -> None:
        self.pace = Pace()
        self.slots = asyncio.Semaphore(concurrency)
        self.work = asyncio.Semaphore(max(2, concurrency))


def lanes_of(exchange: str, *, concurrency: int) -> dict[Kind, Lane]:
    """The lane of each kind of data; at Bybit all kinds share one, at Binance those whose calls have a weight."""
    shared = Lane(concurrency)
    apart = () if exchange == "bybit" else _BINANCE_CALLS
    return dict.fromkeys(Kind, shared) | {kind: Lane(concurrency) for kind in apart}


def set_limits(lanes: dict[Kind, Lane], *, exchange: str, announced: Any, share: float) -> None:
    """Give each lane its limit; ``announced`` is what the venue's list of markets said, where it tells one."""
    if exchange == "bybit":
        limit, window_s = _BYBIT
        lanes[Kind.CANDLES].pace.permit(limit, window_s=window_s, share=share)
        return
    limit, window_s = _weight(announced)
    lanes[Kind.CANDLES].pace.permit(limit, window_s=window_s, share=share)
    for kind, calls in _BINANCE_CALLS.items():
        lanes[kind].pace.permit(calls, window_s=_FIVE_MINUTES_S, share=min(share, _LONG_WINDOW_SHARE))


def _weight(announced: Any) -> tuple[int, float]:
    """The request weight permitted in so many seconds: 2400 a minute if the venue does not tell."""
    rules = announced.get("rateLimits") if isinstance(announced, dict) else None
    for rule in rules or ():
        if rule.get("rateLimitType") == "REQUEST_WEIGHT" and rule.get("interval") in _UNIT_S:
            return int(rule["limit"]), _UNIT_S[rule["interval"]] * int(rule.get("intervalNum", 1))
    return 2400, 60.0
