"""A real server on a free loopback port over the real database, and rows as a worker writes them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Thread

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import Engine

from registry.cache import BundleCache
from serving.api.app import ApiParts, create_api
from serving.api.guard import Door
from serving.api.server import ApiServer, bound_socket
from serving.records import BarRecord, SignalRow
from serving.status import status
from serving.store import write_bars
from tests.fakes.small_market import END_INDEX, SYMBOLS, TIMEFRAME, SmallMarket

TOKEN = "a-token-of-more-than-16"
NOW = TIMEFRAME.close_time(END_INDEX - 1) + 5_000
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@dataclass(frozen=True, kw_only=True)
class Running:
    """A server that answers at ``url``."""

    url: str
    server: ApiServer
    thread: Thread

    def get(self, path: str, **options) -> httpx.Response:
        """Its answer."""
        return httpx.get(f"{self.url}{path}", timeout=20, **options)

    def post(self, path: str, **options) -> httpx.Response:
        """Its answer."""
        return httpx.post(f"{self.url}{path}", timeout=20, **options)


@contextmanager
def running(parts: ApiParts) -> Iterator[Running]:
    """The app of these parts behind uvicorn, ended as SIGTERM ends it."""
    listening = bound_socket("127.0.0.1", 0)
    server = ApiServer(create_api(parts))
    thread = Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield Running(url=f"http://127.0.0.1:{listening.getsockname()[1]}", server=server, thread=thread)
    server.should_exit = True
    thread.join(20)
    assert not thread.is_alive()
    listening.close()


@pytest.fixture(scope="session")
def cache(bundle_dirs, tmp_path_factory) -> BundleCache:
    """Both bundles, as a worker has them."""
    made = BundleCache(tmp_path_factory.mktemp("cache"))
    for bundle_hash, where in bundle_dirs.items():
        made.put(where, bundle_hash)
    return made


@pytest.fixture(scope="session")
def parts(shared_engine: Engine, market: SmallMarket, cache: BundleCache) -> ApiParts:
    """Everything plain, with a token, nothing kept between looks."""

    def status_now():
        return status(shared_engine, market.lake, model_name="m", timeframe=TIMEFRAME, symbols=SYMBOLS, now_ms=NOW)

    return ApiParts(
        engine=shared_engine,
        cache=cache,
        contract=market.contract,
        model_name="m",
        timeframe=TIMEFRAME,
        shares=1,
        max_age_s=600.0,
        door=Door(host="127.0.0.1", allowed_hosts=("lockstep.internal",), token=SecretStr(TOKEN)),
        status_now=status_now,
        retrain=None,
        now_ms=lambda: NOW,
        health_keep_s=0.0,
        stream_poll_s=0.3,
        most_streams=3,
    )


@pytest.fixture(scope="session")
def shared_api(parts: ApiParts) -> Iterator[Running]:
    """One server for the tests that change nothing about it."""
    with running(parts) as server:
        yield server


@pytest.fixture
def api(engine: Engine, shared_api: Running) -> Running:
    """The same, over an empty database."""
    return shared_api


@pytest.fixture
def said(engine: Engine) -> Callable[..., None]:
    """Write the signals of one bar as the worker does."""
    row = SignalRow(
        model_name="m",
        symbol="BTCUSDT",
        bar_ms=0,
        state="FULL",
        reason="ok",
        action=1,
        confidence=0.7,
        size=0.02,
        bundle_hash="b" * 64,
        version=3,
        run="live",
        steps='{"step":"TAKEN"}',
    )

    def write(index: int, symbols=("BTCUSDT", "ETHUSDT"), *, live: bool = True, **changes) -> None:
        bar_ms = TIMEFRAME.open_time(index)
        run = "live" if live else "replay"
        rows = tuple(replace(row, symbol=symbol, bar_ms=bar_ms, run=run, **changes) for symbol in symbols)
        record = BarRecord(bar_ms=bar_ms, signals=rows, detail={"bar_ms": bar_ms})
        write_bars(engine, [record], heartbeat="worker" if live else None)

    return write
