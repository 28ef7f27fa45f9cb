"""Why is a feature row not valid?

A row is valid when its reason is 0. Every other reason is a set of bits: such a row is neither trained on
nor predicted on. ``NOT_FINITE`` is what remains unexplained: a feature that must be a number and is not,
although funding and reference are known.

    >>> describe(0), describe(10)
    ('valid', 'own bar is a fill, funding unknown')
"""

from enum import IntFlag

__all__ = ["Reason", "describe"]


class Reason(IntFlag):
    """Bits of the reason of one row; stored as ``uint16``. The kernel writes the same numbers."""

    OK = 0
    WARMUP = 1
    FILLED = 2
    GAPS = 4
    FUNDING_UNKNOWN = 8
    REFERENCE_MISSING = 16
    NOT_FINITE = 32


_MEANING = {
    Reason.WARMUP: "warm-up not complete",
    Reason.FILLED: "own bar is a fill",
    Reason.GAPS: "too many fills in the recent window",
    Reason.FUNDING_UNKNOWN: "funding unknown",
    Reason.REFERENCE_MISSING: "reference market missing",
    Reason.NOT_FINITE: "a feature is not a number",
}


def describe(code: int) -> str:
    """Say a reason in words, for operators; unknown bits are named by their number."""
    said = [meaning for bit, meaning in _MEANING.items() if code & bit]
    unknown = code & ~sum(_MEANING)
    if unknown:
        said.append(f"unknown reason bits {unknown}")
    return ", ".join(said) or "valid"
