"""A whole worker on a bench: its own lake that bars are collected into, a real database, real bundles, a stub clock.

A round is the product's own ``serve_forever`` for one turn: adopt, serve what is due, survive what happens.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event

from sqlalchemy import Engine, select

from features.contract import FeatureContract
from infra.lake import Lake
from infra.tables import signals
from market.candles import Candles
from registry.bundle import LoadedBundle, seal
from registry.bundle_files import decode
from registry.cache import BundleCache
from registry.deployments import append, changing_champion
from registry.look import NOTHING_WRONG, RegistryLook
from registry.manifest import read_sealed
from serving.adoption import adopt
from serving.lineup import Lineup, ServedBundle, ServePlan
from serving.venue_rule import VenueRule
from serving.worker import serve_forever
from tests.fakes.small_market import SYMBOLS, TIMEFRAME, TRAIN_END, SmallMarket
from tests.serving.replays import plan_for

AT = TRAIN_END + 20
"""The bar that is served before anything is broken."""

BROKEN = SYMBOLS[1]
"""The market that is hurt where one is; it is not the reference market."""


@dataclass(kw_only=True)
class Stand:
    """One worker and everything around it that can break."""

    engine: Engine
    market: SmallMarket
    lake: Lake
    cache: BundleCache
    bundles: tuple[LoadedBundle, ...]
    bundle_dirs: dict[str, Path]
    scratch: Path
    plan: ServePlan
    running: FeatureContract
    venue: VenueRule | None = None
    look: RegistryLook = NOTHING_WRONG
    loaded: Lineup | None = None
    collected: int = AT
    now_ms: int = 0
    errors: list[str] = field(default_factory=list)

    def collect(self, index: int, *, without: Sequence[str] = ()) -> None:
        """Bring the lake's bars up to ``index``, but for these markets."""
        for symbol in SYMBOLS:
            if symbol not in without:
                self.store(self.original(symbol, self.collected + 1, index + 1))
        self.collected = index

    def original(self, symbol: str, first: int, end: int) -> Candles:
        """The bars ``[first, end)`` as the venue has them."""
        return self.market.lake.candles(
            symbol, TIMEFRAME, start_ms=TIMEFRAME.open_time(first), end_ms=TIMEFRAME.open_time(end)
        )

    def store(self, candles: Candles, *, known_at_ms: int | None = None) -> None:
        """Put bars into the lake."""
        self.lake.append_candles(candles, source="synthetic", known_at_ms=known_at_ms)

    def forget(self, kind: str, symbol: str) -> None:
        """Lose every row of this kind."""
        shutil.rmtree(self.folder(kind, symbol))

    def folder(self, kind: str, symbol: str) -> Path:
        """Where the lake keeps them."""
        return Path(self.lake.root) / kind / symbol

    def deploy(self, bundle_hash: str, version: int = 1) -> None:
        """Make it champion the proper way."""
        with changing_champion(self.engine, self.plan.model_name) as (connection, champion, _):
            append(
                connection,
                model_name=self.plan.model_name,
                bundle_hash=bundle_hash,
                version=version,
                previous=champion,
                action="promote",
                card_id=None,
                why="test",
                who="tester",
            )

    def resealed(self, *, policy: dict[str, object] | None = None, **facts: object) -> str:
        """The first bundle with other facts or another policy, sealed anew and put into the cache."""
        first = self.bundles[0].hash
        parts = decode(read_sealed(self.bundle_dirs[first], expected_hash=first)[1])
        parts = replace(parts, facts={**parts.facts, **facts}, policy=replace(parts.policy, **(policy or {})))
        made = self.scratch / "resealed"
        bundle_hash = seal(parts, made)
        self.cache.put(made, bundle_hash)
        return bundle_hash

    def wear(self, predict: object) -> None:
        """Let every model of the loaded champion answer through ``predict(predictor, X)`` from now on."""
        assert self.loaded is not None
        assert self.loaded.champion is not None
        bundle = self.loaded.champion.bundle
        worn = tuple(_Worn(one, predict) for one in bundle.predictors)
        self.loaded = replace(self.loaded, champion=ServedBundle(bundle=replace(bundle, predictors=worn), version=1))

    def restart(self) -> None:
        """A new process: nothing is loaded."""
        self.loaded = None

    def serve(self, index: int, *, after_s: float = 7) -> None:
        """One turn of the worker, ``after_s`` after the close of this bar; what it was told goes to ``errors``."""
        self.now_ms = TIMEFRAME.close_time(index) + int(after_s * 1000)
        stop = Event()

        def who(_loaded: Lineup | None) -> Lineup:
            stop.set()
            self.loaded = adopt(
                self.engine,
                self.cache,
                model_name=self.plan.model_name,
                contract=self.running,
                loaded=self.loaded,
                look=self.look,
            )
            return self.loaded

        serve_forever(
            self.engine,
            self.lake,
            plan_for=lambda _lineup: self.plan,
            timeframe=TIMEFRAME,
            adopt=who,
            stop=stop,
            settle_delay_ms=5000,
            poll_s=0.001,
            venue=self.venue,
            on_error=lambda _error, cause: self.errors.append(cause),
            clock_ms=lambda: self.now_ms,
        )

    def said(self, index: int | None = None) -> list:
        """Signals, of one bar or of all, by bar and symbol."""
        query = select(signals).order_by(signals.c.bar_ms, signals.c.symbol)
        if index is not None:
            query = query.where(signals.c.bar_ms == TIMEFRAME.open_time(index))
        with self.engine.connect() as connection:
            return list(connection.execute(query))


def made_stand(
    engine: Engine,
    template: Path,
    market: SmallMarket,
    bundles: tuple[LoadedBundle, ...],
    bundle_dirs: dict[str, Path],
    where: Path,
) -> Stand:
    """A worker on an empty database that has served the bar ``AT``, all well."""
    cache = BundleCache(where / "bundles")
    for bundle_hash, source in bundle_dirs.items():
        cache.put(source, bundle_hash)
    made = Stand(
        engine=engine,
        market=market,
        lake=Lake(shutil.copytree(template, where / "lake")),
        cache=cache,
        bundles=bundles,
        bundle_dirs=bundle_dirs,
        scratch=where,
        plan=plan_for(market, run="live"),
        running=market.contract,
    )
    made.deploy(bundles[0].hash)
    made.serve(AT)
    assert [row.reason for row in made.said()] == ["ok"] * 3
    return made


class _Worn:
    """A predictor that answers in another way."""

    def __init__(self, sound: object, predict: object) -> None:
        self._sound, self._predict = sound, predict
        self.name, self.kind = sound.name, sound.kind

    def predict(self, X):
        """Whatever it was told to do."""
        return self._predict(self._sound, X)
