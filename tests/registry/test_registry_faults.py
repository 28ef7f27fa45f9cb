"""The registry slow, broken or gone in the middle of something: nothing half done, one line of reason, soon."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from registry.cache import BundleCache
from registry.deployments import changing_champion
from registry.errors import BundleError, PromotionError, RegistryDownError
from registry.look import last_look, look_at_registry
from registry.mlflow_store import ModelStore
from registry.promotion import adopt_alias, deployment_history, rollback, sync_aliases
from registry.run_record import RunRecord
from tests.faulty_proxy import Fault, FaultyProxy, faulty_proxy
from tests.registry.desk import Desk
from tests.registry.kinds import SERVER, Tracking
from tests.registry.made_bundles import Sealed

pytestmark = [pytest.mark.integration, SERVER]

PATIENCE_S = 0.6
BOUND_S = 15.0
REASONS: dict[Fault, str] = {
    "500": "the server answers 500",
    "slow": r"no answer within 0\.6 s",
    "reset": "the connection broke off",
    "page": "it answers with something else than MLflow's JSON",
}


@pytest.fixture(scope="module")
def proxy(tracking: Tracking) -> Iterator[FaultyProxy]:
    with faulty_proxy(tracking.uri) as made:
        yield made


@pytest.fixture
def through(desk: Desk, proxy: FaultyProxy) -> Desk:
    """The desk, whose registry is behind the proxy."""
    store = ModelStore(proxy.url, artifact_root=None, model_name=desk.name, patience_s=PATIENCE_S)
    sync_aliases(desk.engine, store, model_name=desk.name)
    return replace(desk, store=store)


@pytest.fixture
def cache(tmp_path: Path) -> BundleCache:
    return BundleCache(tmp_path / "bundles")


@pytest.fixture(autouse=True)
def _soon(through: Desk) -> Iterator[None]:
    """Left alone, MLflow goes on trying for minutes."""
    assert through
    began = time.monotonic()
    yield
    assert time.monotonic() - began < BOUND_S


def writes(_method: str, path: str) -> bool:
    """A request that changes the registry."""
    return any(name in path for name in ("/alias", "/set-tag", "/create", "/update"))


def files(method: str, path: str) -> bool:
    """A download of one of the bundle's files."""
    return method == "GET" and "/artifacts/bundle/" in path


def models(method: str, path: str) -> bool:
    """The same after the manifest has arrived."""
    return files(method, path) and not path.endswith("manifest.json")


@pytest.mark.parametrize("fault", REASONS)
def test_a_question_ends_soon_and_says_why(through: Desk, proxy: FaultyProxy, fault: Fault) -> None:
    """Each fault has its own words, on one line, without three libraries' names."""
    with (
        proxy.failing(fault),
        pytest.raises(RegistryDownError, match=f"MLflow failed at .* \\({REASONS[fault]}\\)") as bad,
    ):
        through.store.versions()
    assert len(str(bad.value).splitlines()) == 1
    assert 1 <= len(proxy.asked) <= 3


@pytest.mark.parametrize("fault", REASONS)
def test_a_promotion_that_cannot_ask_changes_nothing(through: Desk, proxy: FaultyProxy, fault: Fault) -> None:
    """What the version holds is not known, so it does not become champion."""
    through.promote(0)
    card_id = through.card(1, champion=through.champion)
    with proxy.failing(fault), pytest.raises(RegistryDownError, match=REASONS[fault]):
        through.promote(1, card_id=card_id)
    assert len(deployment_history(through.engine, through.name)) == 1
    assert through.aliases == (1, None, None)


@pytest.mark.parametrize("fault", ["500", "slow"])
def test_a_promotion_that_was_made_stands_when_the_registry_goes(
    through: Desk, proxy: FaultyProxy, fault: Fault
) -> None:
    """The row is written: no error says otherwise, and the aliases follow at the next look."""
    through.promote(0)
    with proxy.failing(fault, writes):
        made = through.promote(1)
    assert through.champion == made.bundle_hash == through.bundles[1].hash
    assert through.aliases == (1, None, None)
    sync_aliases(through.engine, through.store, model_name=through.name)
    assert through.aliases == (2, 1, None)


def test_a_rollback_needs_no_registry(through: Desk, proxy: FaultyProxy) -> None:
    """It is made at once; only the aliases wait."""
    through.promote(0)
    through.promote(1)
    with proxy.failing("slow"):
        assert rollback(through.engine, through.store, model_name=through.name, why="harm", who="t").version == 1
    assert through.champion == through.bundles[0].hash
    assert through.aliases == (2, 1, None)
    sync_aliases(through.engine, through.store, model_name=through.name)
    assert through.aliases == (1, None, None)


def test_a_slow_registry_keeps_nobody_from_changing_the_champion(through: Desk, proxy: FaultyProxy) -> None:
    """A look that waits for MLflow holds no lock of the champion."""
    through.promote(0)
    asked = threading.Event()

    def when(_method: str, _path: str) -> bool:
        asked.set()
        return True

    def look() -> None:
        with suppress(RegistryDownError):
            sync_aliases(through.engine, through.store, model_name=through.name)

    with proxy.failing("slow", when):
        waiting = threading.Thread(target=look)
        waiting.start()
        assert asked.wait(5)
        with changing_champion(through.engine, through.name) as (_, champion, _):
            assert champion is not None
            assert waiting.is_alive()
    waiting.join()


@pytest.mark.parametrize(
    ("fault", "which", "error", "reason"),
    [
        ("cut", models, RegistryDownError, "the connection broke off"),
        ("short", models, BundleError, "it was cut or grew"),
        ("500", files, RegistryDownError, "the server answers 500"),
        ("slow", files, RegistryDownError, "no answer within"),
    ],
)
def test_an_adoption_whose_download_fails_leaves_nothing(
    through: Desk,
    proxy: FaultyProxy,
    cache: BundleCache,
    fault: Fault,
    which: Callable[[str, str], bool],
    error: type[Exception],
    reason: str,
) -> None:
    """No half bundle, no other champion; the alias stays where the person put it, and the next look takes it."""
    through.promote(0)
    through.store.set_alias("champion", 2)
    got = cache.root.parent / "got"
    with proxy.failing(fault, which), pytest.raises(error, match=reason):
        through.store.download(2, got / "bundle")
    assert list(got.iterdir()) == []
    refused = PromotionError if error is BundleError else error
    with proxy.failing(fault, which), pytest.raises(refused, match=reason):
        adopt_alias(through.engine, through.store, cache, model_name=through.name)
    assert through.champion == through.bundles[0].hash
    assert cache.hashes() == ()
    assert through.store.get_alias("champion") == 2
    assert adopt_alias(through.engine, through.store, cache, model_name=through.name).version == 2


def test_a_look_at_a_registry_that_is_down_is_a_cause_not_an_error(
    through: Desk, proxy: FaultyProxy, cache: BundleCache
) -> None:
    """And the reason can be read by ``lockstep status``, which asks nobody."""
    through.promote(0)
    assert last_look(through.engine, through.name) is None
    ask = {"model_name": through.name, "serving_mode": "paper"}
    with proxy.failing("500"):
        found = look_at_registry(through.engine, through.store, cache, **ask)
    assert (found.cause, "the server answers 500" in found.detail) == ("registry_down", True)
    assert last_look(through.engine, through.name)["detail"] == found.detail
    assert look_at_registry(through.engine, through.store, cache, **ask).cause == "ok"
    assert last_look(through.engine, through.name)["cause"] == "ok"


@pytest.mark.parametrize("at", ["/model/artifacts/bundle/", "/model-versions/create"])
def test_a_registration_that_breaks_off_makes_no_version_and_the_next_one_does(
    through: Desk, proxy: FaultyProxy, sealed: Sealed, at: str
) -> None:
    """Whichever step fails: no version, nothing left running after the second try."""
    name = f"{through.name}-{at.strip('/').replace('/', '-')}"
    store = ModelStore(proxy.url, artifact_root=None, model_name=name, patience_s=PATIENCE_S)
    with proxy.failing("500", lambda _method, path: at in path), pytest.raises(RegistryDownError):
        store.log_and_register(sealed.directory, sealed.hash, RunRecord())
    assert store.versions() == ()
    assert store.log_and_register(sealed.directory, sealed.hash, RunRecord()) == 1
    experiment = store._client.get_experiment_by_name(name)
    runs = store._client.search_runs([experiment.experiment_id])
    assert "RUNNING" not in {run.info.status for run in runs}


def test_limits_hold_for_the_length_of_a_question_only(through: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's settings in this process are the user's again, and what he set in the environment wins."""
    from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_MAX_RETRIES as RETRIES
    from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_TIMEOUT as TIMEOUT

    before = (RETRIES.get(), TIMEOUT.get())
    with through.store._asking("a test"):
        assert (RETRIES.get(), TIMEOUT.get()) == (2, PATIENCE_S / 3)
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
        assert TIMEOUT.get() == 77
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT")
    assert (RETRIES.get(), TIMEOUT.get()) == before
