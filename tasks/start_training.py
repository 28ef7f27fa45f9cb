"""How does somebody who runs no flows themselves start a training?

Over Prefect's own HTTP interface, so that Prefect need not be loaded: the deployment that ``lockstep up`` serves is
given a run. A training that is under way, or waits to begin, is not started twice.
"""

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from infra.errors import InfraError
from infra.processes import running_url
from serving.api.answers import RetrainAnswer

__all__ = ["start_training"]

_DEPLOYMENT = "train/lockstep"
_UNFINISHED = ("SCHEDULED", "PENDING", "RUNNING")
_TIMEOUT_S = 10.0


def start_training(home: Path, reason: str) -> RetrainAnswer:
    """Start the training of this home for a reason; raises ``InfraError`` where nothing could run it."""
    url = running_url("deployments", run_dir=home / "run")
    if url is None:
        raise _unable("no process runs the trainings of this home", "run lockstep up on it, or lockstep train")
    api = f"{url.rstrip('/')}/api"
    try:
        deployment = _ask(f"{api}/deployments/name/{_DEPLOYMENT}")["id"]
        under_way = _ask(
            f"{api}/flow_runs/filter",
            {
                "deployments": {"id": {"any_": [deployment]}},
                "flow_runs": {"state": {"type": {"any_": list(_UNFINISHED)}}},
                "limit": 1,
            },
        )
        if under_way:
            return RetrainAnswer(run_id=under_way[0]["id"], started=False, detail="a training is under way already")
        state = {"type": "SCHEDULED", "message": f"asked for over HTTP: {reason}"}
        run = _ask(f"{api}/deployments/{deployment}/create_flow_run", {"state": state, "tags": ["http api"]})
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise _unable(
            f"the Prefect server at {url} did not start it ({type(error).__name__})",
            "wait until lockstep up is ready, then ask again; its log is in the home's folder run",
        ) from error
    return RetrainAnswer(run_id=run["id"], started=True, detail=f"follow it at {url}")


def _ask(url: str, body: object = None) -> Any:
    request = urllib.request.Request(  # noqa: S310  # the home's own server, as its state file says
        url,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310  # the same
        return json.loads(answer.read())


def _unable(what: str, remedy: str) -> InfraError:
    return InfraError(what, why="the training was not started", remedy=remedy)
