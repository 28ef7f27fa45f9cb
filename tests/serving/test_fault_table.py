"""Every row of the fail-closed table, walked: the fault is made, said, healed, and serving is whole again by itself."""

from collections.abc import Iterator
from contextlib import suppress

import pytest
from sqlalchemy import Engine, text

from infra.database import open_database
from infra.settings import load_settings
from infra.tables import METADATA
from serving.states import CAUSES, State, state_of
from tests.fakes.small_market import SYMBOLS, TIMEFRAME
from tests.serving.fault_injections import INJECTIONS, Seen
from tests.serving.fault_stand import AT, Stand, made_stand


@pytest.fixture(scope="module")
def own_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A database of this file's own, since its server is stopped and its disk filled."""
    with open_database(load_settings(tmp_path_factory.mktemp("faults"), environ={})) as opened:
        yield opened


@pytest.fixture
def stand(own_engine, template, market, bundles, bundle_dirs, tmp_path) -> Stand:
    """A worker that has served one bar, all well."""
    names = ", ".join(table.name for table in METADATA.sorted_tables)
    with own_engine.begin() as connection:
        connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY"))
    return made_stand(own_engine, template, market, bundles, bundle_dirs, tmp_path)


@pytest.mark.parametrize("cause", CAUSES)
def test_every_row_of_the_table(stand: Stand, cause: str) -> None:
    """The fault is said by its name and state, or nothing is said; healed, no bar is lost and none is served twice."""
    assert cause in INJECTIONS, f"nobody knows how to break {cause}: add an injection to fault_injections.py"
    before = stand.said()
    fault = INJECTIONS[cause](stand)
    seen = next(fault)
    stand.collect(seen.at, without=seen.without)
    stand.serve(seen.at, after_s=seen.after_s)
    if seen.silent:
        assert stand.errors == [cause]
    else:
        _assert_said(stand, seen, cause)
        before = stand.said()
    with suppress(StopIteration):
        next(fault)
    assert len(stand.said()) == len(before)
    stand.collect(seen.at + 1)
    stand.serve(seen.at + 1)
    _assert_whole(stand, before, seen.at + 1)


def _assert_said(stand: Stand, seen: Seen, cause: str) -> None:
    """The markets that are hurt say so and hold still if they must; the others speak."""
    state = state_of(cause)
    for row in stand.said(seen.at):
        if row.symbol in seen.symbols:
            assert (row.symbol, row.reason, row.state) == (row.symbol, cause, state.name)
            assert state < State.FLAT or (row.action, row.confidence, row.size) == (0, None, None)
            assert row.steps["cause"] == cause
        elif cause != "reference_missing":
            assert (row.symbol, row.reason, row.state) == (row.symbol, "ok", "FULL")
    assert {row.symbol for row in stand.said(seen.at)} == set(SYMBOLS)


def _assert_whole(stand: Stand, before: list, last: int) -> None:
    """FULL again; every market has every bar once; what was said before is as it was."""
    rows = stand.said()
    assert {row.state for row in stand.said(last)} == {"FULL"}
    assert {row.reason for row in stand.said(last)} <= {"ok", "revised_bar"}
    bars = [(TIMEFRAME.open_time(index), symbol) for index in range(AT, last + 1) for symbol in SYMBOLS]
    assert [(row.bar_ms, row.symbol) for row in rows] == bars
    assert rows[: len(before)] == before


def test_the_injections_are_for_rows_of_the_table() -> None:
    """None is left over from a row that went."""
    assert INJECTIONS.keys() == CAUSES.keys()
