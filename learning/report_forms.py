"""How are numbers, tables and cards written on a report page?

Every text is escaped here; an unknown number is a dash, never a zero.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from math import isfinite
from typing import Protocol

__all__ = ["badge", "gate_number", "grid", "limit", "number", "percent", "ranged", "section", "share", "table", "when"]

DASH = "\u2013"


def table(
    title: str, note: str, heads: Sequence[str], rows: Sequence[Iterable[str]], *, classes: Sequence[str] = ()
) -> str:
    """A titled section with a table, nothing without rows."""
    return section(title, note, grid(heads, rows, label=title, classes=classes)) if rows else ""


def grid(heads: Sequence[str], rows: Sequence[Iterable[str]], *, label: str, classes: Sequence[str] = ()) -> str:
    """A table; a head beginning with ``#`` is a column of numbers, and heads that are all empty are left out."""
    head = "".join(
        f'<th scope="col"{" class=n" if h.startswith("#") else ""}>{escape(h.lstrip("#"))}</th>' for h in heads
    )
    marks = classes or [""] * len(rows)
    body = "".join(
        f"<tr{f' class={mark}' if mark else ''}>{''.join(cells)}</tr>" for cells, mark in zip(rows, marks, strict=True)
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(label)}"><table>'
        f"{f'<thead><tr>{head}</tr></thead>' if any(heads) else ''}<tbody>{body}</tbody></table></div>"
    )


def section(title: str, note: str, content: str, *, lead: str = "") -> str:
    """A titled card; ``note`` is escaped, ``lead`` and ``content`` are markup."""
    line = f'<p class="note">{lead}{escape(note)}</p>' if note or lead else ""
    return f"<section><h2>{escape(title)}</h2>{line}{content}</section>"


def badge(word: str, kind: str) -> str:
    """A pill; ``kind`` is good, bad, warn or empty."""
    return f'<span class="badge {kind}">{escape(word)}</span>'


def number(value: float | None, digits: int) -> str:
    """A number with that many digits, a dash when unknown."""
    return DASH if value is None or not isfinite(value) else f"{value:,.{digits}f}".replace("-", "\u2212")


def gate_number(value: float | None) -> str:
    """A number with four significant digits, a dash when unknown."""
    if value is None or not isfinite(value):
        return DASH
    return f"{value:,.4g}".replace("-", "\u2212") if abs(value) < 1000 else f"{value:,.0f}"


def limit(comparison: str, threshold: float | None) -> str:
    """What a gate asked for, in words."""
    if threshold is None:
        return "yes"
    return f"{'at least' if comparison == '>=' else 'at most'} {gate_number(threshold)}"


def percent(value: float | None, *, digits: int = 1, sign: bool = False) -> str:
    """A fraction as a percentage, a dash when unknown."""
    if value is None or not isfinite(value):
        return DASH
    return f"{value:{'+' if sign else ''}.{digits}%}".replace("-", "\u2212")


class _Range(Protocol):
    """A value with the ends of its interval."""

    @property
    def value(self) -> float | None: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...


def ranged(found: _Range, form: Callable[[float | None], str]) -> str:
    """A number with its interval in small letters below it, if it has one."""
    told = form(found.value)
    if found.low is None or found.high is None:
        return told
    return f'{told}<span class="range">{form(found.low)} to {form(found.high)}</span>'


def share(part: int, whole: int) -> str:
    """Part of a whole; 100% only when they are equal."""
    if whole == 0:
        return DASH
    return "100%" if part == whole else f"{min(part / whole, 0.9999):.2%}"


def when(time_ms: int) -> str:
    """Minutes in UTC."""
    return datetime.fromtimestamp(time_ms / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M")
