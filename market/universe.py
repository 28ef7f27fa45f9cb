"""Which markets belong to the universe of a day, and why does each of the others not?

The most traded markets of the last 24 hours that are old and dear enough, with those that always belong and without
those that never do. Every market gets a reason in words. A fact that is missing is missing: an unknown turnover is no
zero, it keeps its market out. The answer depends on the facts alone, never on their order.

    >>> rule = UniverseRule(top_n=1, min_turnover=5e6, min_price=0.0, min_age_days=0, quote="USDT",
    ...                     include=(), exclude=())
    >>> facts = [MarketFacts(symbol=name, turnover_24h=traded, price=1.0, listed_ms=None, active=True)
    ...          for name, traded in (("BTCUSDT", 9e9), ("ETHUSDT", 5e9), ("LTCUSDT", 1.23e6), ("XRPUSDT", None))]
    >>> for one in select_universe(facts, rule, previous=("ETHUSDT",), as_of_ms=0):
    ...     print(one.symbol, one.change, "-", one.reason)
    BTCUSDT entered - rank 1 of 1 by turnover
    ETHUSDT left - rank 2, beyond 1
    LTCUSDT out - turnover 1.2 M below 5 M
    XRPUSDT out - no turnover known
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from hashlib import sha256
from math import isfinite
from typing import Literal

from market.timeframe import DAY_MS

__all__ = ["DELISTED", "Change", "Judged", "MarketFacts", "UniverseRule", "members_hash", "select_universe"]

Change = Literal["entered", "stayed", "left", "out"]

DELISTED = "delisted"
"""Reason of a market that is traded no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UniverseRule:
    """How the universe is picked; turnover and price in quote units, the order of names means nothing."""

    top_n: int
    min_turnover: float
    min_price: float
    min_age_days: int
    quote: str
    include: tuple[str, ...]
    exclude: tuple[str, ...]

    @property
    def values(self) -> dict[str, object]:
        """Every number and name of the rule, as JSON."""
        lists = {"include": sorted(set(self.include)), "exclude": sorted(set(self.exclude))}
        return {**asdict(self), "min_turnover": float(self.min_turnover), "min_price": float(self.min_price), **lists}

    @property
    def fingerprint(self) -> str:
        """Hash of the rule: equal rules are equal universes."""
        return _hash(["universe rule 1", self.values])


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketFacts:
    """What is known of one market at a moment; None where nobody says.

    ``turnover_24h`` is in quote units; ``listed_ms`` the listing, or the first bar that is known; ``active`` whether
    it is traded.
    """

    symbol: str
    turnover_24h: float | None
    price: float | None
    listed_ms: int | None
    active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One market as judged: in or out, why, and on which numbers. ``rank`` counts those that met every condition."""

    symbol: str
    member: bool
    change: Change
    reason: str
    rank: int | None
    turnover: float | None
    price: float | None
    age_days: float | None


def select_universe(
    facts: Iterable[MarketFacts], rule: UniverseRule, *, previous: Iterable[str], as_of_ms: int
) -> tuple[Judged, ...]:
    """Judge every market, sorted by symbol; earlier members and included ones without facts are judged as well."""
    known = {one.symbol: one for one in facts}
    before = set(previous)
    for name in before | set(rule.include):
        known.setdefault(name, MarketFacts(symbol=name, turnover_24h=None, price=None, listed_ms=None, active=False))
    never = {name: _never(one, rule, was_member=name in before, as_of_ms=as_of_ms) for name, one in known.items()}
    refusals = {name: never[name] or _refusal(one, rule, as_of_ms=as_of_ms) for name, one in known.items()}
    eligible = [name for name, refusal in refusals.items() if refusal is None]
    by_turnover = sorted(eligible, key=lambda name: (-(known[name].turnover_24h or 0.0), name))
    ranks = {name: rank for rank, name in enumerate(by_turnover, start=1)}
    found = []
    for name in sorted(known):
        one, rank = known[name], ranks.get(name)
        # No setting makes a market tradable that does not exist, or lets one in that is to stay out.
        included = name in rule.include and never[name] is None
        member, reason = _verdict(rank, rule.top_n, included=included, refusal=refusals[name])
        found.append(
            Judged(
                symbol=name,
                member=member,
                change=_change(member=member, before=name in before),
                reason=reason,
                rank=rank,
                turnover=_number(one.turnover_24h),
                price=_number(one.price),
                age_days=_age_days(one, as_of_ms),
            )
        )
    return tuple(found)


def members_hash(symbols: Iterable[str]) -> str:
    """Hash of a set of markets, whatever their order.

    >>> members_hash(["ETHUSDT", "BTCUSDT"]) == members_hash(("BTCUSDT", "ETHUSDT"))
    True
    """
    return _hash(["universe members 1", sorted(set(symbols))])


def _verdict(rank: int | None, top_n: int, *, included: bool, refusal: str | None) -> tuple[bool, str]:
    if rank is not None and rank <= top_n:
        return True, f"rank {rank} of {top_n} by turnover"
    if included:
        return True, "included by setting"
    return False, refusal or f"rank {rank}, beyond {top_n}"


def _never(one: MarketFacts, rule: UniverseRule, *, was_member: bool, as_of_ms: int) -> str | None:
    """Why not even an included market belongs."""
    if one.symbol in rule.exclude:
        return "excluded by setting"
    if one.listed_ms is not None and one.listed_ms > as_of_ms:
        return "not listed yet"
    if one.active:
        return None
    return DELISTED if was_member or one.listed_ms is not None else "not listed"


def _refusal(one: MarketFacts, rule: UniverseRule, *, as_of_ms: int) -> str | None:
    """The first condition this market does not meet, in words; None when it may be ranked."""
    return (
        (None if one.symbol.endswith(rule.quote) else f"not quoted in {rule.quote}")
        or _turnover_refusal(_number(one.turnover_24h), rule.min_turnover)
        or _price_refusal(_number(one.price), rule.min_price)
        or _age_refusal(_age_days(one, as_of_ms), rule.min_age_days)
    )


def _turnover_refusal(turnover: float | None, at_least: float) -> str | None:
    if turnover is None:
        return "no turnover known"
    if turnover == 0.0:
        return "nothing traded in 24 hours"
    return None if turnover >= at_least else f"turnover {_below(turnover, at_least, _amount)}"


def _price_refusal(price: float | None, at_least: float) -> str | None:
    if price is None:
        return "no price known" if at_least > 0 else None
    return None if price >= at_least else f"price {_below(price, at_least, '{:g}'.format)}"


def _age_refusal(age_days: float | None, at_least: int) -> str | None:
    if age_days is None:
        return "no listing date known" if at_least > 0 else None
    whole = int(age_days)
    return None if age_days >= at_least else f"listed {whole} day{'' if whole == 1 else 's'} ago, {at_least} asked"


def _change(*, member: bool, before: bool) -> Change:
    if member:
        return "stayed" if before else "entered"
    return "left" if before else "out"


def _number(value: float | None) -> float | None:
    """A price or a turnover; None for what cannot be one."""
    return None if value is None or not isfinite(value) or value < 0 else float(value)


def _age_days(one: MarketFacts, as_of_ms: int) -> float | None:
    return None if one.listed_ms is None else (as_of_ms - one.listed_ms) / DAY_MS


def _below(value: float, limit: float, form: Callable[[float], str]) -> str:
    """Both numbers in the same form, written out where they would look equal."""
    short, asked = form(value), form(limit)
    return f"{short} below {asked}" if short != asked else f"{value!r} below {limit!r}"


def _amount(value: float) -> str:
    for size, unit in ((1e9, " B"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:,.1f}".removesuffix(".0") + unit
    return f"{value:g}"


def _hash(values: object) -> str:
    return sha256(json.dumps(values, sort_keys=True, allow_nan=False).encode()).hexdigest()[:32]
