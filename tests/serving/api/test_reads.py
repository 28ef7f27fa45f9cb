"""What each reading request answers, in each condition of the home."""

import json
import shutil
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import create_engine, insert

from infra.tables import decision_cards
from registry.cache import BundleCache
from serving.api.stream import Hub
from serving.halt import set_halt
from tests.fakes.small_market import TIMEFRAME
from tests.serving.api.conftest import running
from tests.serving.test_status import deploy, promote


@pytest.fixture
def champion(engine, bundles):
    """The first bundle registered and promoted, the second one registered."""
    deploy(engine, bundles[0], version=1)
    deploy(engine, bundles[1], version=2)
    promote(engine, bundles[0], version=1)
    return bundles[0]


def test_without_a_champion_it_is_not_healthy(api):
    """A process that runs and could give nothing says so, with a reason and a remedy."""
    answer = api.get("/health")
    assert (answer.status_code, answer.json()["reason"]) == (503, "no_champion")
    assert answer.json()["remedy"]


def test_healthy_is_the_golden_bars_computed_here(api, champion):
    """The digest is that of the loaded bundle, and two looks at one state are equal."""
    first = api.get("/health")
    assert first.status_code == 200
    assert first.json()["golden_digest"] == champion.golden_digest
    assert api.get("/health").content == first.content


def test_a_damaged_bundle_is_no_health(parts, engine, champion, cache, tmp_path):
    """One byte changed in the cache: 503, the refusal in words, and which bundle it is."""
    copy = tmp_path / "cache"
    shutil.copytree(cache.root, copy)
    victim = next(path for path in sorted((copy / champion.hash).iterdir()) if path.name != "manifest.json")
    victim.write_bytes(victim.read_bytes() + b" ")
    with running(replace(parts, cache=BundleCache(copy))) as api:
        answer = api.get("/health")
    assert (answer.status_code, answer.json()["reason"]) == (503, "bundle_refused")
    assert answer.json()["bundle_hash"] == champion.hash
    assert answer.json()["what"]


def test_ready_lists_every_condition(api, engine, champion, said):
    """Not before the worker has beaten; then it is; halted it is not, and only that condition fails."""
    assert failed(api) == (503, ["worker"])
    said(10)
    assert failed(api) == (200, [])
    set_halt(engine, on=True, why="test", who="tester")
    assert failed(api) == (503, ["halt"])


def failed(api):
    answer = api.get("/ready")
    assert [one["name"] for one in answer.json()["conditions"]] == ["database", "worker", "champion", "halt", "data"]
    return answer.status_code, [one["name"] for one in answer.json()["conditions"] if not one["ok"]]


def test_a_database_that_is_away_is_told(parts):
    """Health and readiness say 503 with the cause, metrics say 0 and leave out what is not known, reads refuse."""
    gone = create_engine("postgresql+psycopg://nobody:hunter2@127.0.0.1:9/none", connect_args={"connect_timeout": 2})
    with running(replace(parts, engine=gone)) as api:
        assert (api.get("/health").status_code, api.get("/health").json()["reason"]) == (503, "database_down")
        assert api.get("/ready").json()["conditions"][0] == {
            "name": "database",
            "ok": False,
            "detail": "it does not answer",
        }
        found = samples(api)
        assert (found["lockstep_database_up"], "lockstep_halted" in found) == (0.0, False)
        for path in ("/signals", "/signals/stream", "/models"):
            answer = api.get(path)
            assert (answer.status_code, sorted(answer.json())) == (503, ["remedy", "what", "why"])
            assert "hunter2" not in answer.text
    gone.dispose()


def samples(api):
    page = api.get("/metrics").text
    return {
        sample.name + "".join(f" {value}" for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def test_status_is_the_status_dict(api, parts, champion, said):
    """Every key and value of ``serving.status``, and one state gives one answer."""
    said(10)
    answer = api.get("/status")
    assert answer.json() == json.loads(json.dumps(parts.status_now()))
    assert api.get("/status").content == answer.content


def test_metrics_tell_of_the_last_bars_and_this_process(api, engine, champion, said):
    """Counts by reason, state and action, ages, versions; process CPU and memory; no number where none is known."""
    before = samples(api)
    assert "lockstep_bar_lag_seconds" not in before
    said(10)
    said(11, state="FLAT", reason="gap", action=0)
    set_halt(engine, on=True, why="test", who="tester")
    found = samples(api)
    assert found["lockstep_signals BUY ok FULL"] == found["lockstep_signals HOLD gap FLAT"] == 2.0
    assert (found["lockstep_halted"], found["lockstep_champion_version"]) == (1.0, 1.0)
    assert found[f"lockstep_champion_info {champion.hash}"] == 1.0
    assert 0.0 <= found["lockstep_heartbeat_age_seconds worker"] < 60.0
    assert found["process_resident_memory_bytes"] > 1e6
    assert found["process_cpu_seconds_total"] > 0.0


def test_models_name_roles_and_cards(api, engine, champion, bundles):
    """The champion, the challenger, and what was decided about each."""
    with engine.begin() as connection:
        card = connection.execute(
            insert(decision_cards).values(
                model_name="m",
                bundle_hash=champion.hash,
                verdict="promote",
                reason="all gates",
                gates=[],
                evidence={},
                content_hash="h",
            )
        ).inserted_primary_key[0]
    found = api.get("/models").json()
    assert found["champion"] == champion.hash
    assert [(one["version"], one["role"]) for one in found["models"]] == [(2, "challenger"), (1, "champion")]
    assert [one["id"] for one in found["models"][1]["cards"]] == [card]
    assert {one["contract"] for one in found["models"]} == {bundles[0].contract.fingerprint}


def test_signals_are_paged_without_loss_or_repeat(api, said):
    """Pages of three over ten signals, each traceable to its row, bundle and bar."""
    for index in range(10, 15):
        said(index)
    ids, after, pages = [], 0, 0
    while after is not None:
        page = api.get("/signals", params={"limit": 3, "after": after}).json()
        ids += [one["id"] for one in page["signals"]]
        after, pages = page["next_after"], pages + 1
    assert (len(ids), ids, pages) == (10, sorted(set(ids)), 4)
    one = api.get("/signals", params={"limit": 1}).json()["signals"][0]
    assert (one["bundle_hash"], one["bar_ms"], one["version"]) == ("b" * 64, TIMEFRAME.open_time(10), 3)
    assert (one["action"], one["run"], one["steps"], one["contract"]) == ("BUY", "live", {"step": "TAKEN"}, None)


def test_signals_can_be_narrowed(api, said):
    """By bar, as ms or ISO, and by market in either spelling; what is unknown is null."""
    said(10, confidence=float("nan"))
    said(11)
    since = TIMEFRAME.open_time(11)
    assert [one["bar_ms"] for one in api.get("/signals", params={"since": since}).json()["signals"]] == [since] * 2
    assert len(api.get("/signals", params={"since": "2999-01-01T00:00:00Z"}).json()["signals"]) == 0
    for symbol in ("ETHUSDT", "ETH/USDT:USDT"):
        found = api.get("/signals", params={"symbol": symbol}).json()["signals"]
        assert [one["symbol"] for one in found] == ["ETHUSDT"] * 2
        assert [one["confidence"] for one in found] == [None, 0.7]


@pytest.mark.parametrize(
    "query",
    ["since=yesterday", "since=-1", "since=99999999999999999999", "limit=0", "limit=1001", "after=-1", "sinc=1"],
)
def test_a_query_that_is_not_understood_is_refused(api, query):
    """422 with what, why and remedy; never the value that was sent."""
    answer = api.get(f"/signals?{query}")
    assert (answer.status_code, sorted(answer.json())) == (422, ["remedy", "what", "why"])
    assert "yesterday" not in answer.text


def test_a_parameter_given_twice_is_refused(api):
    """Neither the first nor the last is silently taken."""
    assert api.get("/signals?limit=1&limit=2").status_code == 422


def test_paths_and_methods_that_do_not_exist(api):
    """404 and 405 are JSON too."""
    assert [api.get("/nothing").status_code, api.post("/status").status_code] == [404, 405]
    assert sorted(api.get("/nothing").json()) == ["remedy", "what", "why"]


def test_health_is_looked_at_once_in_a_while(parts, engine, monkeypatch):
    """Many askers within the time share one look."""
    looks = []
    with running(replace(parts, health_keep_s=60.0)) as api:
        from serving.api import health

        monkeypatch.setattr(health, "current_champion", lambda *_: looks.append(1))
        assert {api.get("/health").status_code for _ in range(5)} == {503}
    assert len(looks) == 1


def test_a_hub_that_closes_lets_nobody_in(engine):
    """And says so."""
    hub = Hub(engine)
    hub.close()
    with pytest.raises(Exception, match="stopping"):
        hub.require_room()
