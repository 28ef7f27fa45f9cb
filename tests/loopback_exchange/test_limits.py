"""Does the fake count and punish as the venues do?"""

import pytest

from tests.loopback_exchange import BinanceLimits, BybitLimits
from tests.loopback_exchange.asking import get, raw


class Clock:
    """Seconds that a test sets."""

    def __init__(self):
        self.now = 600.0

    def __call__(self):
        """The present second."""
        return self.now


@pytest.fixture
def clock():
    """Ten minutes past the epoch, so at the begin of every window."""
    return Clock()


def test_weight_is_counted_but_nobody_is_refused_unless_asked(clock):
    """The counter of the minute begins anew, the total goes on."""
    limits = BinanceLimits(weight=10, clock=clock)
    assert [limits.use(9, None) for _ in range(3)] == [None, None, None]
    assert limits.used_weight == limits.windows["weight"].most == 27
    clock.now += 60
    assert limits.used_weight == 0
    assert limits.total_weight == 27


def test_too_much_weight_is_429_until_the_minute_is_over(clock):
    """With the seconds that are left of it."""
    limits = BinanceLimits(enforce=True, weight=10, clock=clock)
    clock.now += 45
    assert limits.use(10, None) is None
    refusal = limits.use(1, None)
    assert (refusal.status, refusal.retry_after) == (429, "15")
    clock.now += 15
    assert limits.use(1, None) is None
    assert limits.refusals == 1


def test_who_goes_on_after_429_is_banned_and_longer_each_time(clock):
    """418 for two minutes, then four; nothing is answered meanwhile."""
    limits = BinanceLimits(enforce=True, weight=1, tolerated=2, clock=clock)
    limits.use(1, None)
    assert [limits.use(1, None).status for _ in range(3)] == [429, 429, 418]
    clock.now += 119
    assert (limits.use(1, None).status, limits.use(1, None).retry_after) == (418, "1")
    clock.now += 1
    assert limits.use(1, None) is None
    assert [limits.use(1, None).status for _ in range(3)] == [429, 429, 418]
    assert limits.use(1, None).wait_s == 240


def test_refusals_of_an_earlier_minute_are_forgiven(clock):
    """Two in each of many minutes are no ban."""
    limits = BinanceLimits(enforce=True, weight=1, tolerated=2, clock=clock)
    for _ in range(5):
        assert [refusal and refusal.status for refusal in (limits.use(1, None) for _ in range(3))] == [None, 429, 429]
        clock.now += 60


@pytest.mark.parametrize(("kind", "calls"), [("open_interest", 1000), ("funding", 500)])
def test_some_calls_have_a_limit_of_five_minutes(clock, kind, calls):
    """Whatever they weigh."""
    limits = BinanceLimits(enforce=True, weight=10**6, clock=clock)
    assert not any(limits.use(1, kind) for _ in range(calls))
    clock.now += 60
    assert limits.use(1, kind).wait_s == 240
    assert limits.use(1, None) is None
    clock.now += 240
    assert limits.use(1, kind) is None


def test_short_windows_are_announced_as_they_are(clock):
    """For benchmarks that cannot wait for a minute."""
    limits = BinanceLimits(weight=40, window_s=2, clock=clock)
    assert limits.announced == {
        "rateLimitType": "REQUEST_WEIGHT",
        "interval": "SECOND",
        "intervalNum": 2,
        "limit": 40,
    }
    assert limits.headers == {"X-MBX-USED-WEIGHT-2S": "0"}


def test_bybit_refuses_a_call_until_the_window_is_over(clock):
    """With the time of the reset on the venue's clock."""
    limits = BybitLimits(enforce=True, calls=2, clock=clock)
    clock.now += 3
    assert limits.use() is None
    assert limits.headers(1000) == {
        "X-Bapi-Limit": "2",
        "X-Bapi-Limit-Status": "1",
        "X-Bapi-Limit-Reset-Timestamp": "1000",
    }
    limits.use()
    refusal = limits.use()
    assert refusal.status == 200
    assert limits.headers(1000, refusal)["X-Bapi-Limit-Reset-Timestamp"] == "3000"
    clock.now += 2
    assert limits.use() is None


def test_bybit_may_ban_the_address(clock):
    """403 for ten minutes."""
    limits = BybitLimits(enforce=True, calls=1, bans=True, clock=clock)
    limits.use()
    assert limits.use().status == 403
    clock.now += 599
    assert limits.use().status == 403
    clock.now += 1
    assert limits.use() is None


def test_refusals_on_the_wire(exchange, url, clock):
    """Binance: 429 with Retry-After, then 418 that says until when. Bybit: retCode 10006 with the reset, then 403."""
    exchange.binance_limits = BinanceLimits(enforce=True, weight=1, tolerated=1, clock=clock)
    assert raw(url, "/fapi/v1/time")[0] == 200
    status, headers, body = raw(url, "/fapi/v1/time")
    assert (status, headers["retry-after"], headers["x-mbx-used-weight-1m"]) == (429, "60", "2")
    assert b"-1003" in body
    status, headers, body = raw(url, "/fapi/v1/time")
    assert (status, headers["retry-after"]) == (418, "120")
    assert f"banned until {exchange.now_ms + 120_000}".encode() in body

    exchange.bybit_limits = BybitLimits(enforce=True, calls=1, clock=clock)
    assert get(url, "/v5/market/time")["retCode"] == 0
    assert get(url, "/v5/market/time")["retCode"] == 10006
    status, headers, _ = raw(url, "/v5/market/time")
    assert (status, headers["x-bapi-limit-reset-timestamp"]) == (200, str(exchange.now_ms + 5000))
    assert "retry-after" not in headers
    exchange.bybit_limits.bans = True
    assert raw(url, "/v5/market/time")[::2] == (403, b"403, access too frequent")
