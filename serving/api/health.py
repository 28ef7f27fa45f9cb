"""Does it work, and are signals being given?

Health is the deed itself: the champion is loaded from the local cache through every check, which computes its golden
bars' features and probabilities again. Readiness is a list of conditions, each with what was found. A process that
merely runs proves neither.
"""

from collections.abc import Callable, Mapping
from threading import Lock
from time import monotonic
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from features.contract import FeatureContract
from infra.errors import InfraError
from infra.heartbeats import Heartbeat, read_heartbeats
from infra.sources.protocol import Kind
from market.errors import LockstepError
from registry.cache import BundleCache
from registry.deployments import Deployment, current_champion
from serving.api.answers import Condition, HealthAnswer, ReadyAnswer
from serving.shares import symbols_of_share
from serving.states import CAUSES, OK, cause_of_error

__all__ = ["HealthProbe", "readiness", "ready_answer"]

StatusNow = Callable[[], Mapping[str, Any]]
_NOT_ASKED = "not known while the database is away"


class HealthProbe:
    """The last look at the champion, repeated when older than ``keep_s``: one look at a time, whoever asks."""

    def __init__(
        self,
        engine: Engine,
        cache: BundleCache,
        *,
        model_name: str,
        contract: FeatureContract,
        keep_s: float = 5.0,
        clock_s: Callable[[], float] = monotonic,
    ) -> None:
        self._engine = engine
        self._cache = cache
        self._model_name = model_name
        self._contract = contract
        self._keep_s = keep_s
        self._clock_s = clock_s
        self._lock = Lock()
        self._last: tuple[float, HealthAnswer] | None = None

    def look(self) -> HealthAnswer:
        """What was found at most ``keep_s`` seconds ago."""
        with self._lock:
            if self._last is None or self._clock_s() - self._last[0] > self._keep_s:
                found = self._look()
                self._last = (self._clock_s(), found)
            return self._last[1]

    def _look(self) -> HealthAnswer:
        champion: Deployment | None = None
        try:
            champion = current_champion(self._engine, self._model_name)
            if champion is None:
                return _ill("no_champion", "no champion", "nothing serves", CAUSES["no_champion"].remedy, None)
            bundle = self._cache.load(champion.bundle_hash, running=self._contract)
        except LockstepError as error:
            return _ill(cause_of_error(error), error.what, error.why, error.remedy, champion)
        except Exception as error:  # noqa: BLE001  whatever stops the load is no health
            cause = cause_of_error(error)
            return _ill(cause, CAUSES[cause].meaning, "the champion cannot be used", CAUSES[cause].remedy, champion)
        return HealthAnswer(
            healthy=True,
            reason=OK,
            what=None,
            why=None,
            remedy=None,
            version=champion.version,
            bundle_hash=bundle.hash,
            golden_digest=bundle.golden_digest,
        )


def _ill(reason: str, what: str, why: str, remedy: str, champion: Deployment | None) -> HealthAnswer:
    return HealthAnswer(
        healthy=False,
        reason=reason,
        what=what,
        why=why,
        remedy=remedy,
        version=None if champion is None else champion.version,
        bundle_hash=None if champion is None else champion.bundle_hash,
        golden_digest=None,
    )


def ready_answer(
    engine: Engine, status_now: StatusNow, *, trained_on: Callable[[], list[str]], shares: int, max_age_s: float
) -> ReadyAnswer:
    """Ask the database, and say what holds."""
    try:
        beats = read_heartbeats(engine)
        found = status_now()
        trained = trained_on()
    except (SQLAlchemyError, InfraError) as error:
        said = error.what if isinstance(error, LockstepError) else "it does not answer"
        unknown = [
            Condition.model_validate({"name": name, "ok": False, "detail": _NOT_ASKED})
            for name in ("worker", "champion", "halt", "data")
        ]
        return ReadyAnswer(ready=False, conditions=(Condition(name="database", ok=False, detail=said), *unknown))
    return readiness(found, beats, trained_on=trained, shares=shares, max_age_s=max_age_s)


def readiness(
    found: Mapping[str, Any], beats: Mapping[str, Heartbeat], *, trained_on: list[str], shares: int, max_age_s: float
) -> ReadyAnswer:
    """From the status and the signs of life; a worker is young when it served a bar ``max_age_s`` ago at most."""
    champion, halted = found["champion"], found["halted"]
    served = [symbol for symbol in found["symbols"] if symbol in trained_on] or list(found["symbols"])
    conditions = (
        Condition(name="database", ok=True, detail="it answers"),
        _workers(beats, _expected(served, shares), max_age_s),
        Condition(
            name="champion",
            ok=champion is not None,
            detail="none was promoted" if champion is None else f"version {champion['version']}",
        ),
        Condition(name="halt", ok=not halted, detail="the halt switch is on" if halted else "the halt switch is off"),
        _data(found["freshness"].get(Kind.CANDLES)),
    )
    return ReadyAnswer(ready=all(one.ok for one in conditions), conditions=conditions)


def _expected(symbols: list[str], shares: int) -> list[str]:
    """The components that serve these symbols; a share without symbols is served by nobody."""
    if shares == 1:
        return ["worker"]
    return [f"worker {k + 1} of {shares}" for k in range(shares) if symbols_of_share(symbols, k, shares)]


def _workers(beats: Mapping[str, Heartbeat], expected: list[str], max_age_s: float) -> Condition:
    missing = [name for name in expected if name not in beats]
    old = [f"{name} {beats[name].age_s:.0f} s ago" for name in expected if name in beats]
    ok = not missing and all(beats[name].age_s <= max_age_s for name in expected)
    told = [f"{name} never" for name in missing] + old
    return Condition(name="worker", ok=ok, detail=f"last sign of life: {', '.join(told)}; at most {max_age_s:.0f} s")


def _data(candles: Mapping[str, Any] | None) -> Condition:
    if candles is None:
        return Condition(name="data", ok=False, detail="no market is followed")
    ok = bool(candles["fresh"]) and candles["watermark_ms"] is not None
    stale = len(candles["stale"])
    return Condition(name="data", ok=ok, detail="every market is fresh" if ok else f"{stale} market(s) are stale")
