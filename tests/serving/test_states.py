"""The fail-closed table and what maps to it."""

import errno
import re
from pathlib import Path

import pytest
from psycopg.errors import DiskFull
from sqlalchemy.exc import OperationalError

from features.reasons import Reason
from infra.errors import DatabaseError, LakeError
from registry.errors import BundleContractError, BundleError, PredictionError, StoreError
from serving.states import (
    CAUSES,
    State,
    cause_of_error,
    cause_of_reason,
    fail_closed_page,
    gravest,
    state_of,
)

ROOT = Path(__file__).resolve().parents[2]


def test_only_full_and_last_good_ever_let_a_signal_through():
    """Four causes do not block: all well, a bar revised by its venue, and two with a verified champion loaded."""
    passing = {name for name in CAUSES if state_of(name) < State.FLAT}
    assert passing == {"ok", "revised_bar", "bundle_refused", "registry_down"}


@pytest.mark.parametrize("cause", ["", "OK", "something new", "unknown_error"])
def test_an_unknown_cause_is_flat(cause):
    """What is not in the table blocks."""
    assert state_of(cause) is State.FLAT


def _caused(error: Exception, by: Exception) -> Exception:
    error.__cause__ = by
    return error


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (BundleContractError("a", why="b", remedy="c"), "contract_mismatch"),
        (BundleError("a", why="b", remedy="c"), "bundle_refused"),
        (PredictionError("a", why="b", remedy="c"), "model_error"),
        (StoreError("a", why="b", remedy="c"), "registry_down"),
        (LakeError("a", why="b", remedy="c"), "lake_unreadable"),
        (DatabaseError("a", why="b", remedy="c"), "database_down"),
        (OperationalError("select", {}, Exception("gone")), "database_down"),
        (OperationalError("insert", {}, DiskFull("could not extend file")), "disk_full"),
        (_caused(LakeError("a", why="b", remedy="c"), OSError(errno.ENOSPC, "full")), "disk_full"),
        (_caused(LakeError("a", why="b", remedy="c"), OSError(errno.EACCES, "no")), "lake_unreadable"),
        (ZeroDivisionError(), "unknown_error"),
        (KeyboardInterrupt(), "unknown_error"),
    ],
)
def test_errors_have_their_cause(error, cause):
    """A foreseen error names its cause; any other is ``unknown_error``, which is FLAT."""
    assert cause_of_error(error) == cause


def test_every_reason_of_the_kernel_has_a_cause_that_blocks():
    """No flag of a feature row passes as ok, alone or with any other, and an unknown flag does not either."""
    assert cause_of_reason(0) == "ok"
    for code in range(1, 128):
        assert state_of(cause_of_reason(code)) is State.FLAT
    assert {cause_of_reason(int(flag)) for flag in Reason} - {"unknown_error", "ok"} == {
        "warming_up",
        "gap",
        "too_many_gaps",
        "funding_unknown",
        "reference_missing",
        "feature_invalid",
    }
    assert cause_of_reason(64) == "unknown_error"


def test_the_gravest_cause_counts_and_the_first_among_equals():
    """HALT over FLAT over LAST_GOOD over FULL; order decides only between equals."""
    assert gravest(["ok", "bundle_refused", "gap", "stale_data"]) == "gap"
    assert gravest(["stale_data", "halted"]) == "halted"
    assert gravest(["ok", "registry_down"]) == "registry_down"
    assert gravest(["never heard of", "registry_down"]) == "never heard of"
    assert gravest(["ok", "revised_bar"]) == gravest(["revised_bar", "ok"]) == "revised_bar"
    assert gravest([]) == "ok"


def test_every_cause_in_the_table_is_raised_somewhere():
    """A row nothing raises would be a promise nobody keeps."""
    source = "\n".join(path.read_text() for path in (ROOT / "serving").glob("*.py"))
    for name in CAUSES.keys() - {"ok", "unknown_error"}:
        assert source.count(f'"{name}"') >= 2, f"{name} appears only in the table"


def test_every_row_says_what_it_means_and_what_to_do():
    """Reason codes are snake case, sentences are sentences."""
    for cause in CAUSES.values():
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", cause.name)
        assert cause.meaning[0].isupper()
        assert cause.remedy[0].isupper()
        assert "|" not in cause.meaning + cause.remedy


def test_the_page_shows_the_table():
    """``docs/fail-closed.md`` is generated and has not drifted."""
    assert (ROOT / "docs" / "fail-closed.md").read_text() == fail_closed_page()
