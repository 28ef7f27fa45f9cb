"""Can the pages be opened, do they show what happened, and does what is started there run?

That SIGTERM ends everything and leaves nothing behind is checked where the session's ``lockstep up`` ends (conftest).
"""

import json
import os
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from infra.lake import Lake
from market.errors import LockstepError
from tests.infra.lake_data import FIVE, JANUARY_31, same, walk

pytestmark = pytest.mark.e2e
_FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


def get(url):
    """Status and text of a page."""
    with urllib.request.urlopen(url, timeout=20) as answer:
        return answer.status, answer.read().decode(errors="replace")


def test_both_pages_answer(pages):
    """Prefect's and MLflow's start pages and their health, on loopback."""
    for url in (pages.prefect, pages.mlflow):
        assert url.startswith("http://127.0.0.1:")
        status, page = get(url)
        assert status == 200
        assert "<html" in page.lower()
    assert get(f"{pages.prefect}/api/health")[1] == "true"
    assert get(f"{pages.mlflow}/health") == (200, "OK")


def test_prefect_shows_the_flows_and_mlflow_the_version(pages, life):
    """What the demo did is on the pages: each flow as completed, the version with its alias."""
    runs = json.loads(_post(f"{pages.prefect}/api/flow_runs/filter", {}))
    assert runs
    assert {"COMPLETED"} <= {run["state_type"] for run in runs}
    flows = json.loads(_post(f"{pages.prefect}/api/flows/filter", {}))
    assert {"demo", "train", "shadow", "promote", "serve-replay", "parity", "drift"} <= {one["name"] for one in flows}
    name = life.first["model_name"]
    _, found = get(f"{pages.mlflow}/api/2.0/mlflow/registered-models/alias?name={name}&alias=champion")
    assert json.loads(found)["model_version"]["version"] == "1"


def _post(url, body):
    data = json.dumps(body, default=str).encode()
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})
    deadline = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            # A server whose database is busy says so; Prefect's own client asks again, too.
            if error.code != 503 or time.monotonic() > deadline:
                raise
            error.close()
            time.sleep(0.2)


def deployed(pages, name):
    """The deployment as the API knows it, once the process beside the server has registered it."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            found = json.loads(get(f"{pages.prefect}/api/deployments/name/{name}")[1])
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
        else:
            if found["status"] == "READY":
                return found
        time.sleep(0.2)
    log = pages.home / "run" / "deployments.log"
    pytest.fail(f"{name} was not deployed: {log.read_text()[-2000:]}")


def started(pages, name, **parameters):
    """The last state of a run started through the API, and what it ran with."""
    found = deployed(pages, name)
    url = f"{pages.prefect}/api"
    run = json.loads(_post(f"{url}/deployments/{found['id']}/create_flow_run", {"parameters": parameters}))
    deadline = time.monotonic() + 90
    while run["state"]["type"] not in _FINAL:
        assert time.monotonic() < deadline, run["state"]
        time.sleep(0.2)
        run = json.loads(get(f"{url}/flow_runs/{run['id']}")[1])
    return run["state"], run["parameters"]


def put(folder, symbol, bars):
    """A CSV of candles."""
    folder.mkdir()
    rows = zip(bars.open_time, bars.open, bars.high, bars.low, bars.close, bars.volume, strict=True)
    lines = ["timestamp,open,high,low,close,volume", *(",".join(repr(one.item()) for one in row) for row in rows)]
    (folder / f"{symbol}.csv").write_text("\n".join(lines))


def test_a_backfill_started_on_the_page_runs_in_this_home(pages, tmp_path):
    """Exactly the rows of the window are in the lake; the parameters are those given, and the home that of ``up``."""
    bars = walk(400, symbol="LTCUSDT")
    put(tmp_path / "files", "LTCUSDT", bars)
    window = {"since": "2025-01-31T00:00:00Z", "until": "2025-02-01T00:00:00Z"}
    given = {"symbols": ["LTCUSDT"], "files": str(tmp_path / "files"), **window}
    state, ran_with = started(pages, "backfill/lockstep", **given)
    assert (state["type"], state["message"]) == ("COMPLETED", None), state
    assert ran_with == {**given, "home": str(pages.home)}
    held = Lake(pages.home / "lake").candles("LTCUSDT", FIVE)
    assert same(held, bars.between(JANUARY_31, JANUARY_31 + 288 * FIVE.ms))


def test_a_backfill_that_fails_says_why(pages, tmp_path):
    """The run is FAILED and its message is the refusal, with file, row and remedy; nothing reached the lake."""
    bars = walk(50, symbol="DOTUSDT")
    bars.low[5] = -1.0
    put(tmp_path / "files", "DOTUSDT", bars)
    state, _ = started(pages, "backfill/lockstep", symbols=["DOTUSDT"], files=str(tmp_path / "files"))
    assert state["type"] == "FAILED"
    assert "DOTUSDT.csv: DOTUSDT: a price that is zero or negative at row 5" in state["message"]
    assert "What to do: " in state["message"]
    assert len(Lake(pages.home / "lake").candles("DOTUSDT", FIVE)) == 0


def test_a_run_in_another_home_cannot_be_started(pages, tmp_path):
    """The home of a deployment is fixed, and a second home cannot serve its deployments from the same server."""
    found = deployed(pages, "backfill/lockstep")
    with pytest.raises(urllib.error.HTTPError) as refusal:
        _post(f"{pages.prefect}/api/deployments/{found['id']}/create_flow_run", {"parameters": {"home": str(tmp_path)}})
    assert "home" in json.loads(refusal.value.read())["detail"]
    with with_prefect(pages) as deployments, pytest.raises(LockstepError, match=r"belongs to the home .*e2e"):
        deployments.serve_deployments(str(tmp_path))


def test_a_run_whose_process_was_killed_is_shown_as_crashed(pages):
    """At the next start the run that a killed process left as running is closed, and its place is free again."""
    later = {"type": "SCHEDULED", "state_details": {"scheduled_time": datetime.now(UTC) + timedelta(days=30)}}
    found = deployed(pages, "collect/lockstep")
    url = f"{pages.prefect}/api"
    run = json.loads(_post(f"{url}/deployments/{found['id']}/create_flow_run", {"state": later}))["id"]
    for state in ("PENDING", "RUNNING"):
        _post(f"{url}/flow_runs/{run}/set_state", {"state": {"type": state}, "force": state == "RUNNING"})
    with with_prefect(pages) as deployments:
        from prefect.client.orchestration import get_client

        with get_client(sync_client=True) as client:
            before = client.read_deployment_by_name("collect/lockstep")
            assert before.global_concurrency_limit.active_slots == 1
            deployments._close_runs_left_behind(client, before)
            after = client.read_deployment_by_name("collect/lockstep")
    assert after.global_concurrency_limit.active_slots == 0
    state = json.loads(get(f"{url}/flow_runs/{run}")[1])["state"]
    assert state["type"] == "CRASHED"
    assert "start it again" in state["message"]


@contextmanager
def with_prefect(pages):
    """The module of deployments, with this process's Prefect pointed at the running server."""
    os.environ.setdefault("PREFECT_HOME", str(pages.home / "prefect"))  # read once, when Prefect is imported
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: f"{pages.prefect}/api"}):
        from flows import deployments

        yield deployments
