"""Which flows can be started from Prefect's page or by its API, and with what?

One table of values. ``lockstep up`` serves them from a process of its own (``python -m flows.deployments HOME``): a run
that is started there really runs, on this machine and in this home, with the settings of the environment ``up`` was
started in. No deployment has a schedule yet.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from prefect import Flow, serve
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import State, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed
from prefect.types.entrypoint import EntrypointType
from prefect.utilities.annotations import freeze

from flows.champion import drill, watch
from flows.collect import backfill, collect
from flows.gaps import gaps
from flows.ramp import ramp
from flows.train import train
from flows.universe import refresh
from market.errors import LockstepError

__all__ = ["DEPLOYMENTS", "NAME", "Deployment", "serve_deployments"]

NAME = "lockstep"
_POLL_S = 2.0
_UNFINISHED = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One flow as it can be started: what it is for, what a run starts from beside its home, how many run at once."""

    flow: Flow[Any, Any]
    description: str
    tags: tuple[str, ...]
    parameters: Mapping[str, object] = field(default_factory=dict)
    most_at_once: int = 1

    @property
    def full_name(self) -> str:
        """As Prefect names it: ``backfill/lockstep``."""
        return f"{self.flow.name}/{NAME}"


DEPLOYMENTS = (
    Deployment(
        flow=backfill,
        description="History into the lake, from an exchange or from files; continues where an earlier run stopped.",
        tags=("data",),
    ),
    Deployment(flow=collect, description="What is due from the exchange: new bars and revised ones.", tags=("data",)),
    Deployment(
        flow=gaps, description="Bars that are missing: ask the venue for them, tell what is left.", tags=("data",)
    ),
    Deployment(
        flow=train,
        description="Walk-forward, seal, register as challenger; the same data and settings are trained once.",
        tags=("model",),
    ),
    Deployment(
        flow=watch,
        description="Harm, parity and degraded bars of the champion; rolls back, or halts, where one fires.",
        tags=("model",),
    ),
    Deployment(
        flow=ramp,
        description="How much capital the champion may use: promotes, demotes or waits, by stored rows.",
        tags=("model",),
    ),
    Deployment(flow=drill, description="A rollback and back again in a scratch home, timed.", tags=("model",)),
    Deployment(flow=refresh, description="Which markets belong to the universe today.", tags=("universe",)),
)


def serve_deployments(home: str) -> None:
    """Register every deployment for ``home`` and run what is started of them, until the process is told to end."""
    with get_client(sync_client=True) as client:
        for one in DEPLOYMENTS:
            try:
                found = client.read_deployment_by_name(one.full_name)
            except ObjectNotFound:
                continue
            _refuse_another_home(found, one.full_name, home)
            _close_runs_left_behind(client, found)
    serve(
        *(_for_home(one, home) for one in DEPLOYMENTS),
        pause_on_shutdown=False,
        print_starting_message=False,
        limit=sum(one.most_at_once for one in DEPLOYMENTS),
        query_seconds=_POLL_S,
    )


def _for_home(one: Deployment, home: str) -> RunnerDeployment:
    return RunnerDeployment.from_flow(
        one.flow,
        name=NAME,
        description=one.description,
        tags=list(one.tags),
        # Frozen: nobody starts a run in another home from this page.
        parameters={**one.parameters, "home": freeze(home)},
        concurrency_limit=one.most_at_once,
        entrypoint_type=EntrypointType.MODULE_PATH,
    )


def _refuse_another_home(found: DeploymentResponse, name: str, home: str) -> None:
    """Refuse a server whose deployments belong to another home: either home's process would start the runs of both."""
    theirs = found.parameters.get("home")
    if theirs != home:
        raise LockstepError(
            f"the deployment {name} of this Prefect server belongs to the home {theirs}",
            why=f"its runs would be started in {home} as well",
            remedy="unset PREFECT_API_URL, as each home brings a server of its own, or delete that deployment",
        )


def _close_runs_left_behind(client: SyncPrefectClient, found: DeploymentResponse) -> None:
    """Mark runs as crashed whose process ended before they did, and give back the places they hold.

    Only one process at a time runs the deployments of a home, and this one has not begun. Prefect itself would show
    such a run as running, and keep its place from the next one, for ever.
    """
    left = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_UNFINISHED))),
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[found.id])),
    )
    for run in left:
        ended: State[Any] = Crashed(
            message="its process ended before it did; start it again, and it continues where it stopped"
        )
        client.set_flow_run_state(run.id, ended, force=True)
    if found.global_concurrency_limit is not None:
        client.update_global_concurrency_limit(
            found.global_concurrency_limit.name, GlobalConcurrencyLimitUpdate(active_slots=0)
        )


if __name__ == "__main__":
    serve_deployments(sys.argv[1])
