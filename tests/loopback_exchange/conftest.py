"""A venue of two markets, five and a half days into a history of ten, in the middle of a bar."""

import pytest

from market.timeframe import DAY_MS, HOUR_MS
from tests.infra.lake_data import FIVE, JANUARY_31
from tests.loopback_exchange import LoopbackExchange, run_in_thread
from tests.loopback_exchange.data import synthetic_markets


@pytest.fixture(scope="session")
def histories():
    """Markets named BTCUSDT and ETHUSDT."""
    return synthetic_markets(2, timeframe=FIVE, start_ms=JANUARY_31, days=10)


@pytest.fixture
def exchange(histories):
    """A venue that nothing is wrong with."""
    return LoopbackExchange(markets=dict(histories), now_ms=JANUARY_31 + 5 * DAY_MS + 12 * HOUR_MS + 150_000)


@pytest.fixture
def url(exchange):
    """Where it answers."""
    with run_in_thread(exchange) as address:
        yield address
