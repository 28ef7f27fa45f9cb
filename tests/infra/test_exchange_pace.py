"""The pace of calls, on a clock that jumps instead of waiting."""

import asyncio
import selectors

import numpy as np
import pytest

from infra.sources.exchange_pace import Pace, lanes_of, set_limits
from infra.sources.protocol import Kind


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only by its own waits, at once."""

    def __init__(self) -> None:
        super().__init__(_Never(self))
        self.now = 0.0

    def time(self) -> float:
        """The time of the jumps."""
        return self.now


class _Never(selectors.DefaultSelector):
    def __init__(self, loop):
        super().__init__()
        self._loop = loop

    def select(self, timeout=None):
        self._loop.now += timeout or 0.0
        return super().select(0)


def starts(pace, costs, *, at_once=8, stall=(0, 0.0)):
    """When calls of these costs start; after call number ``stall[0]`` the process is busy for ``stall[1]`` seconds."""

    async def run():
        loop, found = asyncio.get_running_loop(), []
        slots = asyncio.Semaphore(at_once)

        async def call(cost):
            async with slots:
                await pace.turn(cost)
                found.append(loop.time())
                if len(found) == stall[0]:
                    loop.now += stall[1]

        await asyncio.gather(*(call(cost) for cost in costs))
        return np.array(found)

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(run())


def most_in_window(times, costs, window_s):
    """The largest cost that starts within any window of this length."""
    total = np.concatenate(([0.0], np.cumsum(costs)))
    first = np.searchsorted(times, times - window_s + 1e-6, side="right")
    return float((total[1:] - total[first]).max())


@pytest.mark.parametrize("share", [0.25, 0.8, 0.95, 1.0])
@pytest.mark.parametrize("stall", [(0, 0.0), (700, 3.0), (700, 45.0)])
def test_no_window_holds_more_than_is_permitted_and_the_share_is_reached(share, stall):
    """2400 a minute: in every 60 seconds at most that, and over the whole at least 98 % of the share."""
    pace = Pace()
    pace.permit(2400, window_s=60.0, share=share)
    costs = np.full(3000, 2.0)
    times = starts(pace, costs, stall=stall)
    assert most_in_window(times, costs, 60.0) <= 2400 + 1e-6
    spent = times[-1] - times[0] - (stall[1] if stall[1] > 10 else 0.0)
    assert costs.sum() / spent >= 0.98 * share * 40.0


def test_a_run_for_a_hundred_symbols_starts_at_once():
    """Its hundred calls of weight one fit into the credit, and so do a hundred for funding."""
    lanes = lanes_of("binanceusdm", concurrency=32)
    set_limits(lanes, exchange="binanceusdm", announced={}, share=0.95)
    for kind in (Kind.CANDLES, Kind.FUNDING, Kind.OPEN_INTEREST):
        times = starts(lanes[kind].pace, np.ones(100))
        assert times[-1] - times[0] < 1e-6


@pytest.mark.parametrize(
    ("kind", "limit", "window_s"),
    [(Kind.CANDLES, 7000, 120.0), (Kind.FUNDING, 500, 300.0), (Kind.OPEN_INTEREST, 1000, 300.0)],
)
def test_kinds_limited_apart_are_paced_apart(kind, limit, window_s):
    """What Binance announces for weight, and its own limits for funding and open interest, are each kept."""
    announced = {
        "rateLimits": [
            {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200},
            {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 2, "limit": 7000},
        ]
    }
    lanes = lanes_of("binanceusdm", concurrency=32)
    set_limits(lanes, exchange="binanceusdm", announced=announced, share=0.95)
    costs = np.ones(3 * limit // 2)
    times = starts(lanes[kind].pace, costs)
    assert 0.75 * limit <= most_in_window(times, costs, window_s) <= limit + 1e-6


def test_mark_prices_are_paced_with_candles():
    """Their calls count against the same weight at Binance."""
    lanes = lanes_of("binanceusdm", concurrency=32)
    assert lanes[Kind.MARK] is lanes[Kind.CANDLES]
    assert len({id(lane) for lane in lanes.values()}) == 3


def test_bybit_has_one_limit_for_everything():
    """600 calls in five seconds, whatever they ask for."""
    lanes = lanes_of("bybit", concurrency=32)
    set_limits(lanes, exchange="bybit", announced={}, share=0.95)
    assert len({id(lane) for lane in lanes.values()}) == 1
    costs = np.ones(3000)
    times = starts(lanes[Kind.FUNDING].pace, costs)
    assert most_in_window(times, costs, 5.0) <= 600 + 1e-6
    assert costs.size / (times[-1] - times[0]) >= 0.9 * 120


def test_a_hold_stops_the_calls_that_wait_already_and_ends_evenly():
    """Nothing starts before the moment; after it calls are spaced, without credit."""
    pace = Pace()
    pace.permit(60, window_s=60.0, share=0.9)

    async def run():
        loop, found = asyncio.get_running_loop(), []

        async def call():
            await pace.turn(1.0)
            found.append(loop.time())

        calls = [asyncio.create_task(call()) for _ in range(20)]
        await asyncio.sleep(2.0)
        pace.hold(loop.time() + 10.0)
        pace.hold(loop.time() + 5.0)
        await asyncio.gather(*calls)
        return np.array(found)

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        times = runner.run(run())
    after = times[times > 2.0]
    assert after[0] >= 12.0
    assert np.diff(after).min() == pytest.approx(1 / 0.9)
