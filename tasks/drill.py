"""Would a rollback work today, and how long would it take?

In a scratch home with a PostgreSQL and an MLflow of its own, the champion's own bundle and the one a rollback would
return to (or a stand-in sealed from the champion) are registered and promoted; then back, then forward again. After
each change the worker's own adoption must serve the right bundle, loaded with every check. The real home is only read,
and told the result as a heartbeat.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

from prefect import task
from prefect.cache_policies import NO_CACHE

from infra.bootstrap import App, open_app
from infra.heartbeats import beat
from infra.scratch import scratch_directory
from market.errors import LockstepError
from registry.bundle_files import decode
from registry.cards import DecisionCard, Gate, save_card
from registry.catalog import record_bundle
from registry.deployments import current_champion, deployment_history, rollback_target
from registry.load import LoadedBundle
from registry.manifest import read_sealed
from registry.promotion import promote
from registry.run_record import RunRecord
from registry.seal import seal
from serving.adoption import adopt
from serving.lineup import Lineup
from tasks.progress import report
from tasks.rolling_back import roll_back
from tasks.stores import bundle_cache, model_store

__all__ = ["DRILL", "rollback_drill"]

DRILL = "rollback drill"
_WHO = "lockstep drill"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seat:
    """One registered bundle of the scratch home."""

    version: int
    bundle: LoadedBundle


@task(cache_policy=NO_CACHE)
def rollback_drill(home: str) -> dict[str, object]:
    """Roll back and forward in a scratch home; what was done, in how many seconds. Raises when a step fails."""
    with open_app(home) as app, scratch_directory(app.settings.home / "tmp", prefix="drill-") as scratch:
        earlier, latest, stand_in = _bundles(app, scratch)
        try:
            with open_app(scratch / "home", environ={}) as there:
                steps = _drill(there, (earlier, latest))
        except LockstepError as bad:
            beat(app.engine, DRILL, {"passed": False, "why": bad.what})
            raise
        result: dict[str, object] = {"passed": True, "stand_in": stand_in, "steps_s": steps}
        beat(app.engine, DRILL, result)
        return result


def _bundles(app: App, scratch: Path) -> tuple[Path, Path, bool]:
    """Directories of the earlier and of the present champion, and whether the earlier one is a stand-in."""
    name, cache = app.settings.registry.model_name, bundle_cache(app)
    champion = current_champion(app.engine, name)
    if champion is None:
        raise LockstepError(
            "there is no champion to roll back from", why="a drill uses what serves", remedy="promote one first"
        )
    latest = cache.path(champion.bundle_hash)
    before = rollback_target(deployment_history(app.engine, name))
    if before is not None:
        return cache.path(before.bundle_hash), latest, False
    parts = decode(read_sealed(latest, expected_hash=champion.bundle_hash)[1])
    seal(replace(parts, facts={**parts.facts, "stand_in": "of a rollback drill"}), scratch / "stand-in")
    return scratch / "stand-in", latest, True


def _drill(app: App, directories: Sequence[Path]) -> dict[str, float]:
    """Seconds a step, in the order they were done."""
    steps: dict[str, float] = {}
    total = 6

    def timed(name: str, work: Callable[[], None]) -> None:
        report("drill", len(steps), total, note=name)
        began = perf_counter()
        work()
        steps[name] = round(perf_counter() - began, 3)

    seats: list[_Seat] = []
    timed("register", lambda: seats.extend(_register(app, directory) for directory in directories))
    lineup = Lineup()
    first, second = seats

    def serving(seat: _Seat, change: Callable[[], object]) -> None:
        nonlocal lineup
        change()
        lineup = _adopted(app, lineup, seat)

    timed("promote the first", lambda: serving(first, lambda: _promote(app, first, None)))
    timed("promote the second", lambda: serving(second, lambda: _promote(app, second, first)))
    timed("roll back", lambda: serving(first, lambda: roll_back(app, why="drill", who=_WHO)))
    timed("roll forward", lambda: serving(second, lambda: _promote(app, second, first)))
    timed("roll back to a version", lambda: serving(first, lambda: roll_back(app, why="drill", who=_WHO, to_version=1)))
    report("drill", total, total)
    return steps


def _register(app: App, directory: Path) -> _Seat:
    found, _ = read_sealed(directory, expected_hash=None)
    cache = bundle_cache(app)
    cache.put(directory, found)
    bundle = cache.load(found)
    version = model_store(app).log_and_register(directory, found, RunRecord(name=DRILL))
    record_bundle(app.engine, bundle, model_name=app.settings.registry.model_name, version=version)
    return _Seat(version=version, bundle=bundle)


def _promote(app: App, seat: _Seat, champion: _Seat | None) -> None:
    """By a card that says what it is; it exists in the scratch home alone."""
    against = None if champion is None else champion.bundle.hash
    card = DecisionCard(
        model_name=app.settings.registry.model_name,
        bundle_hash=seat.bundle.hash,
        champion_hash=against,
        verdict="promote",
        reason=f"a step of a {DRILL}",
        gates=(Gate(name="drill", measured=None, threshold=None, comparison="is", passed=True, detail="no judgement"),),
        evidence={},
    )
    promote(
        app.engine,
        model_store(app),
        model_name=app.settings.registry.model_name,
        bundle_hash=seat.bundle.hash,
        version=seat.version,
        expected_champion=against,
        card_id=save_card(app.engine, card),
        why=card.reason,
        who=_WHO,
    )


def _adopted(app: App, lineup: Lineup, seat: _Seat) -> Lineup:
    """The line-up a worker has now; raises when it is not this bundle, sound."""
    found = adopt(
        app.engine,
        bundle_cache(app),
        model_name=app.settings.registry.model_name,
        contract=seat.bundle.contract,
        loaded=lineup,
    )
    serves = None if found.champion is None else found.champion.bundle.hash
    if serves != seat.bundle.hash or found.cause != "ok":
        raise LockstepError(
            f"after the change {(serves or 'nobody')[:12]} serves instead of {seat.bundle.hash[:12]} ({found.cause})",
            why=found.detail or "the worker did not follow the deployment",
            remedy="do not rely on a rollback; run lockstep doctor and lockstep models verify",
        )
    return found
