"""From which markets may this home learn, and from when to when?

With ``universe.mode`` fixed: from those in use, always. With turnover: from each while it was a member, as the daily
snapshots say; a bar counts by the last snapshot taken before it closed. Every run states its universe by one id: a hash
of the fixed list, or of the rule and of every snapshot it looked at.
"""

import json
from dataclasses import dataclass
from datetime import date, timedelta
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from infra.bootstrap import App
from infra.universe import UniverseSnapshot, read_snapshots, universe_rule, utc_day
from market.errors import LockstepError
from market.membership import Membership, uncovered
from market.timeframe import DAY_MS, Timeframe
from market.universe import UniverseRule, members_hash
from tasks.plan import timeframe_of
from tasks.symbols import no_universe, symbols_in_use
from tasks.universe_facts import day_start_ms

__all__ = ["RunUniverse", "run_universe"]

# Daily snapshots, taken at any hour of their day, are never further apart.
_LONGEST_MS = 2 * DAY_MS


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunUniverse:
    """The markets that may be learnt from; ``rule`` and ``snapshots`` (oldest first) in turnover mode only."""

    symbols: tuple[str, ...]
    timeframe: Timeframe
    rule: UniverseRule | None = None
    snapshots: tuple[UniverseSnapshot, ...] = ()

    def end_index(self, symbol: str, *, end: int) -> int:
        """One past the last bar of the market's last day as a member, ``end`` while it is one."""
        left = None if self.rule is None else self._membership.left_ms(symbol)
        return end if left is None else min(end, -(-left // self.timeframe.ms) - 1)

    def mask(self, symbol: str, *, first_index: int, n: int) -> NDArray[np.bool_]:
        """``(n,)`` at which bars from ``first_index`` on the market was a member."""
        if self.rule is None:
            return np.full(n, symbol in self.symbols)
        closes = (np.arange(first_index, first_index + n, dtype=np.int64) + 1) * self.timeframe.ms
        return self._membership.mask(symbol, closes)

    def first_index(self, symbols: frozenset[str], *, first: int, warmup_bars: int) -> int:
        """The first bar to load so that the first member bar has its warm-up; ``first`` where snapshots begin later."""
        since = None if self.rule is None else self._membership.first_ms(symbols)
        if since is None or self._gap(first=first, warmup_bars=warmup_bars, end_ms=since) is not None:
            return first
        return max(first, -(-since // self.timeframe.ms) - 1 - warmup_bars)

    def uncovered_days(self, *, first: int, end: int, warmup_bars: int) -> tuple[date, date] | None:
        """First and last day without a snapshot behind the bars ``[first, end)`` after their warm-up, if any."""
        gap = self._gap(first=first, warmup_bars=warmup_bars, end_ms=self.timeframe.open_time(end - 1) + 1)
        return None if gap is None else (utc_day(gap[0]), utc_day(gap[1] - 1))

    def require_covered(self, *, first: int, end: int, warmup_bars: int) -> None:
        """Raise unless daily snapshots are behind the bars ``[first, end)`` after their warm-up."""
        days = self.uncovered_days(first=first, end=end, warmup_bars=warmup_bars)
        if days is not None:
            raise LockstepError(
                f"there is no snapshot of the universe from {days[0]} to {days[1]}",
                why="with universe.mode turnover a model learns from each market only while it was a member",
                remedy=f"run lockstep universe build --from {days[0]} --to {days[1] + timedelta(days=1)}",
            )

    def facts(self, *, first: int, end: int) -> dict[str, object]:
        """Id, rule and snapshots behind the bars ``[first, end)``, as JSON."""
        if self.rule is None:
            return {"mode": "fixed", "id": members_hash(self.symbols), "symbols": sorted(self.symbols)}
        start_ms, end_ms = self.timeframe.close_time(first), self.timeframe.close_time(end - 1)
        used = [one for one in self.snapshots if one.as_of_ms <= start_ms][-1:]
        used += [one for one in self.snapshots if start_ms < one.as_of_ms <= end_ms]
        days = [
            {"day": str(one.day), "as_of_ms": one.as_of_ms, "members": len(one.members), "hash": one.content_hash}
            for one in used
        ]
        identity = json.dumps([self.rule.fingerprint, days], sort_keys=True)
        return {
            "mode": "turnover",
            "id": sha256(identity.encode()).hexdigest()[:32],
            "rule": self.rule.values,
            "snapshots": days,
        }

    def _gap(self, *, first: int, warmup_bars: int, end_ms: int) -> tuple[int, int] | None:
        """First part without a snapshot, from the first day on which there can be a row and a snapshot.

        A snapshot counts from the start of its day: rows before it are no rows of members, but nothing is lacking.
        """
        if self.rule is None:
            return None
        first_ms = self.timeframe.open_time(first)
        start_ms = max(self.timeframe.open_time(first + warmup_bars), day_start_ms(first_ms) + DAY_MS)
        days = day_start_ms(self._membership.taken_ms)
        return uncovered(days, start_ms=start_ms, end_ms=end_ms, max_age_ms=_LONGEST_MS)

    @property
    def _membership(self) -> Membership:
        return Membership(
            taken_ms=np.array([one.as_of_ms for one in self.snapshots], dtype=np.int64),
            members=tuple(frozenset(one.members) for one in self.snapshots),
        )


def run_universe(app: App) -> RunUniverse:
    """The universe of this home under its settings; raises when there is none."""
    timeframe = timeframe_of(app.settings)
    if app.settings.universe.mode == "fixed":
        return RunUniverse(symbols=symbols_in_use(app), timeframe=timeframe)
    rule = universe_rule(app.settings)
    snapshots = read_snapshots(app.engine, rule)
    ever = sorted({name for one in snapshots for name in one.members})
    if not ever:
        raise no_universe()
    return RunUniverse(symbols=tuple(ever), timeframe=timeframe, rule=rule, snapshots=snapshots)
