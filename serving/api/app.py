"""Which requests are there, and what does each do?

``create_api`` makes the app from plain arguments; nothing is made at import. Each request is a thin line over what the
other modules read.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import anyio.to_thread
from fastapi import Body, Depends, FastAPI, Header, Query, Request, Response, Security
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.security import HTTPBearer
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Engine

from features.contract import FeatureContract
from market.errors import MarketError
from market.symbols import venue_symbol
from market.timeframe import Timeframe
from registry.cache import BundleCache
from serving.api.answers import (
    HaltAnswer,
    HealthAnswer,
    ModelsAnswer,
    ReadyAnswer,
    RetrainAnswer,
    SignalsAnswer,
    StatusAnswer,
)
from serving.api.catalogue import models_answer, trained_on
from serving.api.guard import Door, Guard
from serving.api.health import HealthProbe, ready_answer
from serving.api.metrics import metrics_page, metrics_registry, read_facts
from serving.api.refusals import answer_refusals, described, only
from serving.api.stream import Hub, Page, events
from serving.errors import ApiRefusalError
from serving.halt import halt_record, set_halt
from serving.signal_feed import LIVE_RUN, newest_signal_id, read_signals

__all__ = ["ApiParts", "create_api"]

_THREADS = 8
_PAGE = 500
_MOST_ID = 2**63 - 1
_MOST_MS = 253_402_300_799_999  # the year 9999
_BEARER = HTTPBearer(auto_error=False, description="The token of LOCKSTEP_API__TOKEN")
_EVENT: dict[str, Any] = {
    "type": "object",
    "required": ["id", "event", "data"],
    "properties": {
        "id": {"type": "string", "description": "Id of the signal; send it back as Last-Event-ID"},
        "event": {"const": "signal"},
        "data": {"type": "string", "contentMediaType": "application/json", "description": "One Signal"},
    },
}
Since = Annotated[str | None, Query(max_length=40, description="Only bars that open from then on: ms UTC, or ISO 8601")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiParts:
    """Everything the app works with.

    ``status_now`` gives ``serving.status``; ``retrain`` starts a training for a reason and gives the answer, None where
    nothing can; ``max_age_s`` is how old a worker's sign of life may be.
    """

    engine: Engine
    cache: BundleCache
    contract: FeatureContract
    model_name: str
    timeframe: Timeframe
    shares: int
    max_age_s: float
    door: Door
    status_now: Callable[[], Mapping[str, Any]]
    retrain: Callable[[str], RetrainAnswer] | None
    now_ms: Callable[[], int]
    health_keep_s: float = 5.0
    stream_poll_s: float = 2.0
    most_streams: int = 32


class Reason(BaseModel):
    """Why; kept with what is done."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: str = Field(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$")


def create_api(parts: ApiParts) -> FastAPI:
    """The app; its ``state.hub`` ends the streams."""
    hub = Hub(parts.engine, poll_s=parts.stream_poll_s, most=parts.most_streams)

    @asynccontextmanager
    async def life(_app: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = _THREADS
        hub.open()
        try:
            yield
        finally:
            await hub.closed()

    app = FastAPI(
        title="Lockstep",
        version="1",
        description="Signals, their reasons and the state of the worker. Times are UTC; a bar is named by its open.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=life,
    )
    app.state.hub = hub
    app.add_middleware(Guard, door=parts.door)
    answer_refusals(app)
    _add_checks(app, parts)
    _add_reads(app, parts)
    _add_stream(app, parts, hub)
    _add_changes(app, parts)
    return app


def _add_checks(app: FastAPI, parts: ApiParts) -> None:
    probe = HealthProbe(
        parts.engine,
        parts.cache,
        model_name=parts.model_name,
        contract=parts.contract,
        keep_s=parts.health_keep_s,
    )
    registry = metrics_registry(
        lambda: read_facts(parts.engine, model_name=parts.model_name, timeframe=parts.timeframe, now_ms=parts.now_ms())
    )

    @app.get("/health", dependencies=[Depends(only())], responses=_sick(HealthAnswer))
    def health() -> HealthAnswer:
        """Load the champion from the local cache through every check and reproduce its golden bars."""
        found = probe.look()
        return found if found.healthy else _with(503, found)

    @app.get("/ready", dependencies=[Depends(only())], responses=_sick(ReadyAnswer))
    def ready() -> ReadyAnswer:
        """Whether signals are being given now, condition by condition."""
        found = ready_answer(
            parts.engine,
            parts.status_now,
            trained_on=lambda: trained_on(parts.engine, parts.model_name),
            shares=parts.shares,
            max_age_s=parts.max_age_s,
        )
        return found if found.ready else _with(503, found)

    text: dict[int | str, dict[str, Any]] = {
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Prometheus' text format"}
    }

    @app.get("/metrics", dependencies=[Depends(only())], response_class=Response, responses=text | described(400, 422))
    def metrics() -> Response:
        """Numbers for Prometheus."""
        return Response(metrics_page(registry), media_type="text/plain; version=0.0.4; charset=utf-8")


def _add_reads(app: FastAPI, parts: ApiParts) -> None:
    @app.get("/status", dependencies=[Depends(only())], responses=described(400, 422, 503))
    def status() -> StatusAnswer:
        """Who serves, in which state and why, how old everything is."""
        return StatusAnswer.model_validate(dict(parts.status_now()))

    @app.get(
        "/signals",
        dependencies=[Depends(only("since", "symbol", "limit", "after"))],
        responses=described(400, 422, 503),
    )
    def signals(
        since: Since = None,
        symbol: Annotated[str | None, Query(max_length=60, description="One market, in any spelling")] = None,
        limit: Annotated[int, Query(ge=1, le=1000, description="Most signals on one page")] = 100,
        after: Annotated[int, Query(ge=0, le=_MOST_ID, description="Only ids larger than this")] = 0,
    ) -> SignalsAnswer:
        """Stored signals, also those of replays, oldest first; ``next_after`` leads to the next page."""
        with parts.engine.connect() as connection:
            found = read_signals(
                connection,
                model_name=parts.model_name,
                timeframe_ms=parts.timeframe.ms,
                after_id=after,
                limit=limit + 1,
                since_ms=_moment(since),
                symbol=_market(symbol),
            )
        page = found[:limit]
        return SignalsAnswer(signals=page, next_after=page[-1].id if len(found) > limit else None)

    @app.get("/models", dependencies=[Depends(only())], responses=described(400, 422, 503))
    def models() -> ModelsAnswer:
        """Registered bundles, their roles and the cards that decided about them."""
        return models_answer(parts.engine, parts.model_name)


def _add_stream(app: FastAPI, parts: ApiParts, hub: Hub) -> None:
    def read(cursor: int, since_ms: int | None) -> Page:
        with parts.engine.connect() as connection:
            newest = newest_signal_id(connection)
            found = read_signals(
                connection,
                model_name=parts.model_name,
                timeframe_ms=parts.timeframe.ms,
                after_id=cursor,
                limit=_PAGE,
                since_ms=since_ms,
                run=LIVE_RUN,
                up_to_id=newest,
            )
        more = len(found) == _PAGE
        return Page(signals=found, cursor=found[-1].id if more else max(cursor, newest), more=more)

    def start(last_event_id: int | None, since_ms: int | None) -> int:
        with parts.engine.connect() as connection:
            newest = newest_signal_id(connection)
        if last_event_id is not None and last_event_id > newest:
            raise ApiRefusalError(
                409,
                f"no signal has the id {last_event_id} yet; the newest is {newest}",
                why="this is another database than the one you read before, and signals would be left out",
                remedy="begin again with since=, or without Last-Event-ID",
            )
        return newest if last_event_id is None and since_ms is None else last_event_id or 0

    stream: dict[int | str, dict[str, Any]] = {
        200: {"content": {"text/event-stream": {"schema": _EVENT}}, "description": "Events"}
    }

    @app.get(
        "/signals/stream",
        dependencies=[Depends(only("since", "for_s"))],
        response_class=StreamingResponse,
        responses=stream | described(400, 409, 422, 503),
    )
    async def signals_stream(
        request: Request,
        since: Since = None,
        for_s: Annotated[
            int, Query(ge=0, le=86_400, description="Seconds to stay open; 0 sends what is stored")
        ] = 3600,
        last_event_id: Annotated[int | None, Header(ge=0, le=_MOST_ID, description="Last id received")] = None,
    ) -> StreamingResponse:
        """Live signals as server-sent events, each once: what is new, or what came after Last-Event-ID or since."""
        since_ms = _moment(since)
        after_id = await run_in_threadpool(start, last_event_id, since_ms)
        hub.require_room()
        told = events(
            hub,
            lambda cursor: run_in_threadpool(read, cursor, since_ms),
            after_id=after_id,
            for_s=for_s,
            gone=request.is_disconnected,
        )
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(told, media_type="text/event-stream", headers=headers)


def _add_changes(app: FastAPI, parts: ApiParts) -> None:
    options: dict[str, Any] = {
        "dependencies": [Depends(only()), Security(_BEARER)],
        "responses": described(400, 401, 403, 411, 413, 422, 503),
    }

    @app.post("/halt", **options)
    def halt(body: Annotated[Reason, Body()]) -> HaltAnswer:
        """Stop all signals within one bar, on every worker, until resume."""
        return _switch(parts.engine, on=True, why=body.reason)

    @app.post("/resume", **options)
    def resume(body: Annotated[Reason, Body()]) -> HaltAnswer:
        """Take a halt back."""
        return _switch(parts.engine, on=False, why=body.reason)

    @app.post("/retrain", **options)
    def retrain(body: Annotated[Reason, Body()]) -> RetrainAnswer:
        """Start a training; one that is under way already is not started again."""
        if parts.retrain is None:
            raise ApiRefusalError(
                503,
                "nothing here can start a training",
                why="trainings run in a process of their own",
                remedy="run lockstep up on this home, or lockstep train",
            )
        return parts.retrain(body.reason)


def _switch(engine: Engine, *, on: bool, why: str) -> HaltAnswer:
    """Set the switch unless it stands so already: asked twice is asked once."""
    with engine.connect() as connection:
        before = halt_record(connection)
    changed = (before is not None and before.halted) != on
    if changed:
        set_halt(engine, on=on, why=why, who="http api")
    with engine.connect() as connection:
        now = halt_record(connection)
    if now is None:
        return HaltAnswer(halted=False, changed=False, why=None, who=None, at=None)
    return HaltAnswer(halted=now.halted, changed=changed, why=now.why, who=now.who, at=now.at)


def _moment(text: str | None) -> int | None:
    """Milliseconds or ISO 8601 (UTC where it names no zone) as ms; raises ``ApiRefusalError``."""
    if text is None:
        return None
    try:
        if text.isascii() and text.isdigit():
            found = int(text)
        else:
            moment = datetime.fromisoformat(text)
            moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
            found = int(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        found = -1
    if not 0 <= found <= _MOST_MS:
        raise ApiRefusalError(
            422,
            "query since is no moment",
            why="signals from another time than was meant would be given",
            remedy="write ms UTC (1735689600000) or 2025-01-01T00:00:00Z",
        )
    return found


def _market(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        return venue_symbol(text)
    except MarketError as error:
        raise ApiRefusalError(422, "query symbol is no symbol", why=error.why, remedy=error.remedy) from None


def _with(status: int, answer: BaseModel) -> Any:
    return JSONResponse(answer.model_dump(mode="json"), status_code=status, headers={"Retry-After": "5"})


def _sick(model: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """For the OpenAPI description: 503 answers with the same model, and what is wrong in it."""
    return described(400, 422) | {503: {"model": model, "description": "Not as it should be; what is wrong is in it"}}
