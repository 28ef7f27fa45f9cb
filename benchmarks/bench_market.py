"""How fast are labels, against a plain pandas-free Python loop and against touching the data?

One JSON line a case. ``ratio`` above 1 means that ours is faster; ``floor_ratio`` is our time over the time to copy the
five price columns once. The peer runs on a slice and is scaled by its bars. Medians of interleaved rounds, seeded.
"""

import json
import statistics
import time

import numpy as np

from market.barriers import BarrierSpec, PricePath, simulate_trades

BARS, PEER_BARS, ROUNDS = 1_000_000, 4_000, 5


def path(n: int) -> PricePath:
    """A random walk with known, zero funding."""
    rng = np.random.default_rng(7)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0, 1e-3, n)))
    open_ = np.append(close[:1], close[:-1])
    return PricePath(
        first_index=0,
        open=open_,
        high=np.maximum(open_, close) * (1 + 5e-4 * rng.random(n)),
        low=np.minimum(open_, close) * (1 - 5e-4 * rng.random(n)),
        close=close,
        real=np.ones(n, dtype=bool),
        funding_paid=np.zeros(n),
        funding_known=np.ones(n, dtype=bool),
    )


def python_labels(p: PricePath, spec: BarrierSpec, atr: float) -> int:
    """The exit of both sides of every bar, one bar at a time."""
    resolved = 0
    for k in range(p.open.size - 1):
        for side in (1, -1):
            price = p.open[k + 1]
            profit, stop = price * (1 + side * spec.profit * atr), price * (1 - side * spec.stop * atr)
            for i in range(k + 1, min(k + 1 + spec.horizon_bars, p.open.size)):
                worst, best = (p.low[i], p.high[i]) if side > 0 else (p.high[i], p.low[i])
                if side * (worst - stop) <= 0 or side * (best - profit) >= 0:
                    resolved += 1
                    break
    return resolved


def timed(work) -> float:
    """Seconds of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    """Labels of one million bars, both sides, horizon 48."""
    spec, whole, part = BarrierSpec(), path(BARS), path(PEER_BARS)
    decisions, atr, vol = np.arange(BARS), np.full(BARS, 2e-3), np.ones(BARS)
    columns = np.stack((whole.open, whole.high, whole.low, whole.close, whole.funding_paid))

    def ours() -> object:
        return simulate_trades(whole, decisions, atr_fraction=atr, vol_ratio=vol, spec=spec)

    ours()
    rounds = [
        (timed(ours), timed(lambda: python_labels(part, spec, 2e-3)) * BARS / PEER_BARS, timed(columns.copy))
        for _ in range(ROUNDS)
    ]
    mine, peer, floor = (statistics.median(column) for column in zip(*rounds, strict=True))
    line = {"case": "labels_1m_bars_both_sides", "ours_s": mine, "peer": "python loop", "peer_s": peer}
    print(json.dumps({**line, "ratio": peer / mine, "floor_s": floor, "floor_ratio": mine / floor}))


if __name__ == "__main__":
    main()
