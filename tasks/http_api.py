"""What does the HTTP interface of a home work with?"""

import time
from collections.abc import Callable

from infra.bootstrap import App
from infra.freshness import max_age_ms
from infra.sources.protocol import Kind
from serving.api.answers import RetrainAnswer
from serving.api.app import ApiParts
from serving.api.guard import Door
from tasks.health import app_status
from tasks.plan import contract_of, timeframe_of
from tasks.stores import bundle_cache

__all__ = ["api_parts"]


def api_parts(app: App, *, retrain: Callable[[str], RetrainAnswer] | None) -> ApiParts:
    """The parts under these settings; raises ``ApiRefusalError`` for an open address without a token."""
    settings, timeframe = app.settings, timeframe_of(app.settings)
    worker_age_ms = max_age_ms(Kind.CANDLES, timeframe=timeframe, max_age_bars=settings.serving.max_age_bars)
    return ApiParts(
        engine=app.engine,
        cache=bundle_cache(app),
        contract=contract_of(settings),
        model_name=settings.registry.model_name,
        timeframe=timeframe,
        shares=settings.serving.shares,
        max_age_s=worker_age_ms / 1000,
        door=Door(host=settings.api.host, allowed_hosts=settings.api.allowed_hosts, token=settings.api.token),
        status_now=lambda: app_status(app, now_ms=_now_ms()),
        retrain=retrain,
        now_ms=_now_ms,
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
