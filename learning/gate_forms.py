"""How does a measured number become a gate?

``at_least`` and ``at_most`` ask what the profile asks, ``number`` compares with a given limit, ``yes_no`` takes an
answer. A number that is None or not finite fails: nothing passes by absence. The detail is one sentence with the
number and the limit.
"""

from collections.abc import Mapping
from math import isfinite
from re import sub
from typing import Literal

from learning.gate_profiles import THRESHOLDS, GateProfile
from registry.cards import Gate

__all__ = ["at_least", "at_most", "number", "yes_no"]

_SOURCES = {row.name: row.source for row in THRESHOLDS}


def at_least(
    profile: GateProfile, name: str, measured: float | None, text: str, evidence: Mapping[str, object] | None = None
) -> Gate | None:
    """A gate named like its threshold, or None where the profile does not ask.

    ``text`` is the sentence, with one ``{}`` (and its format) where the number goes.
    """
    return _asked(profile, name, measured, ">=", text, evidence)


def at_most(
    profile: GateProfile, name: str, measured: float | None, text: str, evidence: Mapping[str, object] | None = None
) -> Gate | None:
    """The mirror of ``at_least``."""
    return _asked(profile, name, measured, "<=", text, evidence)


def _asked(
    profile: GateProfile,
    name: str,
    measured: float | None,
    comparison: Literal[">=", "<="],
    text: str,
    evidence: Mapping[str, object] | None,
) -> Gate | None:
    threshold = profile.threshold(name)
    if threshold is None:
        return None
    source = "settings" if name in profile.overridden else _SOURCES[name]
    return number(name, measured, threshold, comparison, text, {**(evidence or {}), "source": source})


def number(
    name: str,
    measured: float | None,
    threshold: float,
    comparison: Literal[">=", "<="],
    text: str,
    evidence: Mapping[str, object],
) -> Gate:
    """A gate against a limit given by the caller; ``measured`` None or not finite fails it."""
    limit = f"{'at least' if comparison == '>=' else 'at most'} {threshold:g}"
    if measured is None or not isfinite(measured):
        unknown = sub(r"\{[^}]*\}", "unknown", text)
        detail = f"{unknown}; it could not be measured, so it does not pass (needs {limit})."
        return Gate(
            name=name,
            measured=None,
            threshold=threshold,
            comparison=comparison,
            passed=False,
            detail=detail,
            evidence=dict(evidence),
        )
    value = float(measured)
    return Gate(
        name=name,
        measured=value,
        threshold=threshold,
        comparison=comparison,
        passed=value >= threshold if comparison == ">=" else value <= threshold,
        detail=f"{text.format(value)}; needs {limit}.",
        evidence=dict(evidence),
    )


def yes_no(name: str, *, answer: bool | None, text: str, detail: str = "") -> Gate:
    """A gate without a number; None means it was not checked and fails."""
    sentence = f"Not checked: {text}" if answer is None else text if answer else f"Failed: {text}"
    return Gate(
        name=name,
        measured=None,
        threshold=None,
        comparison="is",
        passed=answer is True,
        detail=f"{sentence}{f' ({detail})' if detail else ''}.",
        evidence={},
    )
