"""Can the pages be opened, and do they show what happened?

That SIGTERM ends both servers and leaves nothing behind is checked where the session's ``lockstep up`` ends (conftest).
"""

import json
import urllib.request

import pytest

pytestmark = pytest.mark.e2e


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
    request = urllib.request.Request(
        f"{pages.prefect}/api/flow_runs/filter", data=b"{}", headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        runs = json.load(answer)
    assert runs
    assert {"COMPLETED"} <= {run["state_type"] for run in runs}
    flows = json.loads(_post(f"{pages.prefect}/api/flows/filter"))
    assert {"demo", "train", "shadow", "promote", "serve-replay", "parity", "drift"} <= {one["name"] for one in flows}
    name = life.first["model_name"]
    _, found = get(f"{pages.mlflow}/api/2.0/mlflow/registered-models/alias?name={name}&alias=champion")
    assert json.loads(found)["model_version"]["version"] == "1"


def _post(url):
    request = urllib.request.Request(url, data=b"{}", headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.read()
