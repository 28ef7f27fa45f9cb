"""Who takes a champion back, when, and what happens where nothing is left to return to?"""

import pytest
from sqlalchemy import Engine, delete, insert, select, text

from infra.bootstrap import App
from infra.tables import outcomes, parity_runs, predictions, signals, trigger_checks
from market.timeframe import Timeframe
from registry.deployments import current_champion, deployment_history
from registry.errors import PromotionError
from registry.promotion import rollback
from serving.halt import is_halted
from tasks.champion_checks import degraded_check, harm_check, parity_check
from tasks.champion_watch import watch
from tasks.rolling_back import roll_back
from tasks.stores import bundle_cache
from tests.registry.desk import Desk

pytestmark = pytest.mark.integration

M5 = Timeframe.parse("5m")
HORIZON = 4
SHARES = {name: [0.5, 0.25, 0.25] for name in ("both", "long", "short")}


def signal(desk: Desk, bars: range, reason: str, *, by: str | None = None) -> None:
    """One signal a bar with this reason, decided now."""
    row = {"model_name": desk.name, "symbol": "S", "state": "FLAT", "reason": reason, "action": 0, "run": "live"}
    with desk.engine.begin() as connection:
        connection.execute(
            insert(signals), [{**row, "bar_ms": M5.open_time(bar), "bundle_hash": by, "steps": []} for bar in bars]
        )


def checks_of(app: App) -> list[tuple[str, str, str | None]]:
    """Every stored check: name, verdict, action."""
    t = trigger_checks.c
    with app.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(select(t.name, t.verdict, t.action).order_by(t.id))]


def test_bars_it_cannot_give_take_the_champion_back_once(desk: Desk, app: App) -> None:
    """The champion before serves again, with the numbers as the reason; the same rows never act on it."""
    desk.promote(0)
    desk.promote(1)
    signal(desk, range(100), "ok", by=desk.bundles[1].hash)
    assert watch(app)["verdict"] == "quiet"
    signal(desk, range(100, 110), "model_error")
    found = watch(app)
    assert (found["verdict"], found["action"]) == ("fired", "rolled back to version 1")
    last = deployment_history(desk.engine, desk.name)[-1]
    assert (last.bundle_hash, last.who, last.action) == (desk.bundles[0].hash, "automatic", "rollback")
    assert "10 of 110 signals" in last.why
    again = watch(app)
    assert (again["verdict"], again["action"]) == ("quiet", None)
    assert [one["verdict"] for one in again["checks"]] == ["unknown"] * 3
    assert ("degraded", "fired", "rolled back to version 1") in checks_of(app)


def test_with_nothing_to_return_to_trading_halts(desk: Desk, app: App) -> None:
    """Never back to the bundle that was left, never on as if nothing had happened."""
    desk.promote(0)
    desk.promote(1)
    desk.rollback()
    signal(desk, range(20), "no_quorum")
    assert str(watch(app)["action"]).startswith("halted")
    assert desk.champion == desk.bundles[0].hash
    with desk.engine.connect() as connection:
        assert is_halted(connection)


def test_only_telling_changes_nothing(desk: Desk, app: App) -> None:
    """Automatic rollback is a setting; the check is stored either way."""
    desk.promote(0)
    desk.promote(1)
    signal(desk, range(20), "model_error")
    quiet = App(
        settings=app.settings.model_copy(
            update={"rollback": app.settings.rollback.model_copy(update={"automatic": False})}
        ),
        engine=app.engine,
        lake=app.lake,
    )
    found = watch(quiet)
    assert (found["verdict"], found["action"]) == ("fired", "told only, as rollback.automatic is off")
    assert desk.champion == desk.bundles[1].hash
    before = checks_of(app)
    watch(quiet)
    assert checks_of(app) == before, "the same findings are stored once"


def test_faults_that_are_not_the_champions_take_nothing_back(desk: Desk, app: App) -> None:
    """Stale data, a hole, an alias somebody moved to a bad version: another bundle would fare no better."""
    deployed = desk.promote(0)
    for k, reason in enumerate(("stale_data", "gap", "funding_unknown", "registry_down", "halted")):
        signal(desk, range(10 * k, 10 * k + 10), reason)
    signal(desk, range(50, 60), "bundle_refused", by=desk.bundles[0].hash)
    assert degraded_check(desk.engine, deployed, app.settings.rollback).verdict == "quiet"
    signal(desk, range(60, 70), "bundle_refused", by="whoever served before")
    assert degraded_check(desk.engine, deployed, app.settings.rollback).verdict == "fired"


def test_parity_since_the_promotion_counts(desk: Desk) -> None:
    """An audit from before says nothing about this champion; one row in a million is one too many."""
    audit = {"model_name": desk.name, "contract": "c", "first_ms": 0, "last_ms": 1, "rows": 1_000_000}
    with desk.engine.begin() as connection:
        connection.execute(insert(parity_runs).values(**audit, identical=1))
    deployed = desk.promote(0)
    assert parity_check(desk.engine, deployed, least=1.0).verdict == "unknown"
    for identical, verdict in ((1_000_000, "quiet"), (999_999, "fired")):
        with desk.engine.begin() as connection:
            connection.execute(insert(parity_runs).values(**audit, identical=identical))
        assert parity_check(desk.engine, deployed, least=1.0).verdict == verdict


@pytest.mark.parametrize(
    ("right", "predecessor", "verdict", "words"),
    [
        (0.9, None, "quiet", "than class shares"),
        (0.1, None, "fired", "than class shares"),
        (0.6, 0.95, "fired", "than its predecessor"),
        (0.6, 0.5, "quiet", ""),
    ],
)
def test_forecasts_that_lose_are_harm(
    desk: Desk, right: float, predecessor: float | None, verdict: str, words: str
) -> None:
    """A champion that gives the outcome little probability loses to class shares, or to a better predecessor."""
    desk.promote(1)
    deployed = desk.promote(0)
    bars = range(1000, 1000 + 40 * 6 * HORIZON)
    with desk.engine.begin() as connection:
        connection.execute(
            text("UPDATE bundles SET facts = jsonb_set(facts, '{climatology}', CAST(:shares AS jsonb))"),
            {"shares": str(SHARES).replace("'", '"')},
        )
    assert harm(desk.engine, deployed).verdict == "unknown"
    _predict(desk.engine, desk.bundles[0].hash, bars, right, role="champion")
    if predecessor is not None:
        _predict(desk.engine, desk.bundles[1].hash, bars, predecessor, role="challenger")
    with desk.engine.begin() as connection:
        rows = [
            {
                "label_spec": "l", "symbol": "S", "bar_ms": M5.open_time(bar), "label": 1, "net_long": 0.01,
                "net_short": -0.01, "exit_ms": M5.open_time(bar + HORIZON),
            }
            for bar in bars
        ]  # fmt: skip
        connection.execute(insert(outcomes), rows)
    found = harm(desk.engine, deployed)
    assert found.verdict == verdict, found
    assert words in found.reason
    with desk.engine.begin() as connection:
        connection.execute(delete(predictions))
        connection.execute(delete(outcomes))


def test_a_bundle_that_cannot_be_loaded_is_not_returned_to(desk: Desk, app: App) -> None:
    """Looked at before anything changes: damaged in the cache and absent from MLflow, the champion stays."""
    desk.promote(0)
    desk.promote(1)
    damaged = bundle_cache(app).root / desk.bundles[0].hash / "facts.json"
    damaged.chmod(0o644)
    damaged.write_bytes(b"{}")
    gone = app.settings.model_copy(
        update={"registry": app.settings.registry.model_copy(update={"tracking_uri": "http://127.0.0.1:9"})}
    )
    offline = App(settings=gone, engine=app.engine, lake=app.lake)
    before = deployment_history(desk.engine, desk.name)
    with pytest.raises(PromotionError, match="version 1 cannot serve here"):
        roll_back(offline, why="harm", who="test")
    assert deployment_history(desk.engine, desk.name) == before
    assert roll_back(app, why="harm", who="test").target.version == 1, "with MLflow there it is fetched again"


def test_a_rollback_works_offline_and_a_dry_run_changes_nothing(desk: Desk, app: App) -> None:
    """The sound copy in the cache is enough."""
    desk.promote(0)
    desk.promote(1)
    gone = app.settings.model_copy(
        update={"registry": app.settings.registry.model_copy(update={"tracking_uri": "http://127.0.0.1:9"})}
    )
    offline = App(settings=gone, engine=app.engine, lake=app.lake)
    looked = roll_back(offline, why="harm", who="test", dry_run=True)
    assert (looked.before.version, looked.target.version, looked.done) == (2, 1, None)
    assert desk.champion == desk.bundles[1].hash
    done = roll_back(offline, why="harm", who="test")
    assert desk.champion == desk.bundles[0].hash
    assert done.change_s < 2.0 + app.settings.registry.timeout_s
    with pytest.raises(PromotionError, match="without a reason"):
        roll_back(app, why=" ", who="test")


def test_a_change_in_between_is_not_overrun(desk: Desk) -> None:
    """Whoever looked at an older champion is told so."""
    desk.promote(0)
    seen = current_champion(desk.engine, desk.name)
    desk.promote(1)
    with pytest.raises(PromotionError, match="somebody else changed the champion"):
        rollback(desk.engine, desk.store, model_name=desk.name, why="harm", who="test", seen=seen)


def harm(engine: Engine, deployed):
    return harm_check(engine, deployed, horizon_bars=HORIZON, label_spec="l", timeframe=M5, limit=20.0)


def _predict(engine: Engine, bundle_hash: str, bars: range, right: float, *, role: str) -> None:
    """Forecasts that give the class that happens (BUY) this probability, more or less."""
    rows = []
    for bar in bars:
        p = right - 0.05 + 0.1 * ((bar * 7) % 10) / 10
        rows.append(
            {
                "model_name": "m", "bundle_hash": bundle_hash, "symbol": "S", "bar_ms": M5.open_time(bar), "role": role,
                "run": "live", "contract": "c", "model_probabilities": [0.5, 0.25, 0.25],
                "probabilities": [(1 - p) / 2, p, (1 - p) / 2], "votes": [1], "action": 1, "confidence": p, "size": 1.0,
                "steps": [], "output_hash": "h",
            }
        )  # fmt: skip
    with engine.begin() as connection:
        connection.execute(insert(predictions), rows)
