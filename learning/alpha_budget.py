"""How much proof must this year's next promotion bring, when many challengers were tested before it?

Testing fifty challengers a year at 5 % each promotes two or three that are no better. So a year has a budget, spent by
e-LOND (Xu and Ramdas 2024): the t-th comparison of the year is held to the level ``alpha * g(t) * (promotions + 1)``
with ``g`` summing to one, and passes with an e-value of one over that level. The expected share of false promotions
among all promotions of the year then stays within ``alpha``, however the comparisons depend on each other. Early
comparisons are the cheapest, and every promotion lowers the bar again.
"""

from dataclasses import dataclass

from learning.errors import EvidenceError

__all__ = ["ALONE", "COMPARISONS", "AlphaLevel", "e_lond_level"]

COMPARISONS = 366
"""Comparisons a year that the budget is spread over: one a day."""
_NOTHING_LEFT = 1e-12
_TOTAL = sum(1.0 / t for t in range(1, COMPARISONS + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class AlphaLevel:
    """The ``level`` of the ``number``-th comparison of a year after ``promotions``, out of ``per_year``; above zero."""

    per_year: float
    number: int
    promotions: int
    level: float

    @property
    def e_value(self) -> float:
        """The e-value that passes."""
        return 1.0 / self.level


ALONE = AlphaLevel(per_year=0.05, number=1, promotions=0, level=0.05)
"""A comparison that shares its 5 % with no other."""


def e_lond_level(*, per_year: float, number: int, promotions: int) -> AlphaLevel:
    """The level of comparison ``number`` (from 1) when ``promotions`` earlier ones of the year succeeded.

    Example:
        >>> round(e_lond_level(per_year=0.1, number=1, promotions=0).e_value)
        65
        >>> e_lond_level(per_year=0.1, number=10, promotions=2).level > e_lond_level(
        ...     per_year=0.1, number=10, promotions=0).level
        True
    """
    if not (0.0 < per_year < 1.0 and number >= 1 and 0 <= promotions < number):
        raise EvidenceError(
            f"a budget of {per_year} a year, comparison {number} after {promotions} promotions",
            why="a budget is a probability, and each promotion was a comparison before this one",
            remedy="count the year's decision cards again",
        )
    share = 1.0 / (number * _TOTAL) if number <= COMPARISONS else 0.0
    level = min(max(per_year * share * (promotions + 1), _NOTHING_LEFT), per_year)
    return AlphaLevel(per_year=per_year, number=number, promotions=promotions, level=level)
