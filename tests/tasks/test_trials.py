"""How many configurations were tried on the same data?"""

import pytest
from sqlalchemy import delete, insert

from infra.tables import snapshots, trials
from tasks.trials import count_trials, enter_trial

pytestmark = pytest.mark.integration


def test_another_length_or_choice_of_markets_to_the_same_end_is_the_same_data(app):
    """Twenty values of --days are twenty trials; other markets, a later end or a synthetic market are other data."""
    shapes = {
        "mine": (["A", "B"], 0, 100, False),
        "shorter": (["A", "B"], 50, 100, False),
        "fewer": (["B"], 0, 100, False),
        "others": (["C"], 0, 100, False),
        "later": (["A", "B"], 0, 107, False),
        "made up": (["A", "B"], 0, 100, True),
    }
    with app.engine.begin() as connection:
        for name, (symbols, first, last, synthetic) in shapes.items():
            connection.execute(
                insert(snapshots).values(
                    id=name, symbols=symbols, timeframe="5m", rows=1, first_ms=first, last_ms=last, sources=["x"],
                    synthetic=synthetic,
                )
            )  # fmt: skip
    for name in shapes:
        enter_trial(app.engine, snapshot_id=name, run_key=name, name="ensemble", params={}, metrics={})
    enter_trial(app.engine, snapshot_id="mine", run_key="mine", name="broken", params={}, metrics={}, state="fail")
    try:
        assert count_trials(app.engine, "mine") == 3
        assert count_trials(app.engine, "fewer") == 3
        assert count_trials(app.engine, "later") == count_trials(app.engine, "made up") == 1
        assert count_trials(app.engine, "never stored") == 0
    finally:
        with app.engine.begin() as connection:
            connection.execute(delete(trials))
            connection.execute(delete(snapshots).where(snapshots.c.id.in_(shapes)))
