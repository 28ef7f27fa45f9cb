"""What does the universe look like to people and to machines: who belongs, since when, why not?

Read from the stored snapshots; with ``universe.mode`` fixed and no snapshot it is the list that the home works with.
"""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date

from infra.bootstrap import App
from infra.universe import DayOfMarket, UniverseSnapshot, judged_in, newest_snapshot, symbol_days, universe_rule
from market.errors import LockstepError
from market.timeframe import HOUR_MS
from market.universe import members_hash
from tasks.symbols import no_universe, symbols_in_use

__all__ = ["described", "market_history", "universe_on"]


def described(app: App, snapshot: UniverseSnapshot, *, now_ms: int) -> dict[str, object]:
    """A snapshot as JSON: its members, who came and who left, and how old it is."""
    age_hours = max(now_ms - snapshot.as_of_ms, 0) / HOUR_MS
    judged = judged_in(app.engine, snapshot.id)
    return {
        "mode": app.settings.universe.mode,
        "rule": snapshot.rule,
        "day": str(snapshot.day),
        "source": snapshot.source,
        "as_of_ms": snapshot.as_of_ms,
        "content_hash": snapshot.content_hash,
        "age_hours": age_hours,
        "stale": age_hours > app.settings.universe.max_age_hours,
        "members": list(snapshot.members),
        "entered": [one.symbol for one in judged if one.change == "entered"],
        "left": {one.symbol: one.reason for one in judged if one.change == "left"},
    }


def universe_on(app: App, day: date | None, *, now_ms: int) -> dict[str, object]:
    """The universe of a day (None: the newest), with every market that was judged and why."""
    snapshot = newest_snapshot(app.engine, universe_rule(app.settings), day=day)
    if snapshot is not None:
        judged = [asdict(one) for one in judged_in(app.engine, snapshot.id)]
        return {**described(app, snapshot, now_ms=now_ms), "judged": judged}
    if day is not None:
        raise LockstepError(
            f"no universe was decided for {day} or before",
            why="the universe of a past day is decided from what the lake held then",
            remedy=f"run lockstep universe build --from {day}",
        )
    if app.settings.universe.mode == "turnover":
        raise no_universe()
    members = sorted(symbols_in_use(app))
    return {
        "mode": "fixed",
        "rule": None,
        "day": None,
        "source": "settings" if app.settings.data.symbols else "lake",
        "as_of_ms": None,
        "content_hash": members_hash(members),
        "age_hours": None,
        "stale": False,
        "members": members,
        "entered": [],
        "left": {},
        "judged": [],
    }


def market_history(app: App, symbol: str) -> dict[str, object]:
    """When one market entered and left, and why, over all snapshots of the rule in use."""
    days = symbol_days(app.engine, universe_rule(app.settings), symbol)
    if not days:
        raise LockstepError(
            f"{symbol} was never judged for the universe",
            why="no snapshot of the rule in use has it",
            remedy="run lockstep universe show for those that were, or lockstep universe build for past days",
        )
    return {
        "symbol": symbol,
        "member": days[-1].member,
        "reason": days[-1].reason or "not judged",
        "day": str(days[-1].day),
        "stays": _stays(days),
    }


def _stays(days: Sequence[DayOfMarket]) -> list[dict[str, object]]:
    """Each run of days as a member: first day, day it left (None while it is one), and both reasons."""
    stays: list[dict[str, object]] = []
    inside = False
    for one in days:
        if one.member and not inside:
            stays.append({"entered": str(one.day), "why": one.reason, "left": None, "why_left": None})
        elif inside and not one.member:
            stays[-1] |= {"left": str(one.day), "why_left": one.reason or "not judged"}
        inside = one.member
    return stays
