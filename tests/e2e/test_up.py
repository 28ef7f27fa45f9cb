"""Can the pages be opened, and does everything end when the command is told to?"""

import json
import signal
import subprocess
import urllib.request

import psutil
import pytest

from tests.e2e.lockstep_command import Lockstep

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


def test_sigterm_ends_everything(tmp_path):
    """A second ``up``, of another home: told to stop while it starts, it leaves no process and no state file."""
    command = Lockstep(cwd=tmp_path)
    process = command.start("up", "--home", tmp_path / "home", "--prefect-port", 0, "--mlflow-port", 0)
    first = process.stderr.readline()
    assert "starting" in first
    family = psutil.Process(process.pid).children(recursive=True)
    assert any("uvicorn" in " ".join(one.cmdline()) for one in family)
    assert any("postgres" in one.name() for one in psutil.process_iter() if _of_home(one, tmp_path))
    process.send_signal(signal.SIGTERM)
    try:
        process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []
    assert [one for one in psutil.process_iter() if _of_home(one, tmp_path)] == []
    assert list((tmp_path / "home" / "run").glob("*.json")) == []


def _of_home(process, path):
    try:
        return str(path) in " ".join(process.cmdline())
    except psutil.Error:
        return False


def _post(url):
    request = urllib.request.Request(url, data=b"{}", headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.read()
