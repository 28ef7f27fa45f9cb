"""How often would a shadow test promote a challenger that is no better, and how long does a better one wait?

Worlds of paired differences with labels that overlap over the horizon: one bar's value is a sum of the moves of
``horizon`` bars, the mean over several symbols that share a market factor, with volatility that comes in clusters. The
shadow is asked at every checkpoint, as somebody would who asks again whenever there is something new. Beside ours stand
the two mistakes that look right: one e-process fed every bar, and a t-test repeated until it is significant.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from learning.e_process import checkpoint_bars, wealth_at
from market.candles import Floats, Ints

__all__ = ["CASES", "DifferenceWorlds", "StoppingRates", "simulate", "stopping_rates"]

_BOUND_DEVIATIONS = 5.0
_CLUSTER = 0.97
_BATCH = 50
_ONE_SIDED_5 = 1.6449


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferenceWorlds:
    """``worlds`` of ``bars`` differences with mean ``effect`` standard deviations a bar."""

    worlds: int
    bars: int
    horizon_bars: int
    symbols: int = 5
    effect: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StoppingRates:
    """Shares of worlds that were ever promoted by each rule, and when ours stopped.

    ``median_bars`` is the median of the bars until ours stopped, None where fewer than half of the worlds did.
    """

    worlds: DifferenceWorlds
    alpha: float
    promoted: float
    harmed: float
    naive_every_bar: float
    repeated_t_test: float
    median_bars: float | None


CASES = (
    DifferenceWorlds(worlds=2000, bars=6_048, horizon_bars=12),
    DifferenceWorlds(worlds=2000, bars=24_192, horizon_bars=48),
    DifferenceWorlds(worlds=500, bars=24_192, horizon_bars=12, effect=0.1),
    DifferenceWorlds(worlds=300, bars=72_576, horizon_bars=48, effect=0.1),
)
"""The published ones: three or twelve weeks of five-minute bars without a difference, and a true one."""


def stopping_rates(
    worlds: DifferenceWorlds,
    *,
    seed: int,
    alpha: float = 0.05,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> StoppingRates:
    """Simulate and count; ``on_progress`` is told ``(done, worlds)``."""
    rng = np.random.default_rng(seed)
    h = worlds.horizon_bars
    rows = checkpoint_bars(first_index=0, last_index=worlds.bars - 1, horizon_bars=h)
    counts = dict.fromkeys(("promoted", "harmed", "naive", "t_test"), 0)
    stops: list[Floats] = []
    for start in range(0, worlds.worlds, _BATCH):
        values = simulate(worlds, min(_BATCH, worlds.worlds - start), rng)
        passed = wealth_at(values, rows, horizon_bars=h, bound=_BOUND_DEVIATIONS) >= 1.0 / alpha
        harm = wealth_at(-values, rows, horizon_bars=h, bound=_BOUND_DEVIATIONS) >= 1.0 / alpha
        counts["promoted"] += int(passed.any(axis=1).sum())
        counts["harmed"] += int(harm.any(axis=1).sum())
        counts["naive"] += int((_every_bar(values) >= -np.log(alpha)).sum())
        counts["t_test"] += int((_t_at(values, rows) >= _ONE_SIDED_5).any(axis=1).sum())
        stops.append(np.where(passed.any(axis=1), rows[passed.argmax(axis=1)] + 1.0, np.inf))
        on_progress(min(start + _BATCH, worlds.worlds), worlds.worlds)
    median = float(np.median(np.concatenate(stops)))
    share = {name: count / worlds.worlds for name, count in counts.items()}
    return StoppingRates(
        worlds=worlds,
        alpha=alpha,
        promoted=share["promoted"],
        harmed=share["harmed"],
        naive_every_bar=share["naive"],
        repeated_t_test=share["t_test"],
        median_bars=median if np.isfinite(median) else None,
    )


def simulate(worlds: DifferenceWorlds, count: int, rng: np.random.Generator) -> Floats:
    """``(count, bars)`` differences with standard deviation about 1 and mean ``effect``."""
    n = worlds.bars + worlds.horizon_bars
    market = rng.standard_normal((count, n))
    own = rng.standard_normal((count, n)) / np.sqrt(worlds.symbols)  # the mean of independent symbols
    moves = (market + own) / np.sqrt(1.0 + 1.0 / worlds.symbols)
    moves *= np.exp(0.5 * _clusters(rng, count, n) - 0.25)
    steps = np.cumsum(moves, axis=1)
    overlapping: Floats = (steps[:, worlds.horizon_bars :] - steps[:, : worlds.bars]) / np.sqrt(worlds.horizon_bars)
    values: Floats = overlapping / overlapping.std() + worlds.effect
    return values


def _clusters(rng: np.random.Generator, count: int, n: int) -> Floats:
    """Log volatility: an autoregression of unit variance."""
    from scipy.signal import lfilter

    shocks = rng.standard_normal((count, n)) * np.sqrt(1.0 - _CLUSTER**2)
    return np.asarray(lfilter([1.0], [1.0, -_CLUSTER], shocks, axis=1), dtype=np.float64)


def _every_bar(values: Floats) -> Floats:
    """The mistake: one process fed a value per bar as if labels did not overlap; the log of the largest wealth."""
    clipped = np.clip(values, -_BOUND_DEVIATIONS, _BOUND_DEVIATIONS)
    before = np.cumsum(clipped, axis=1) - clipped
    square = np.cumsum(clipped**2, axis=1) - clipped**2
    seen = np.arange(values.shape[1])
    mean = before / (seen + 4.0)
    bet = np.clip(mean / ((square + 4.0) / (seen + 4.0)), 0.0, 0.5 / _BOUND_DEVIATIONS)
    best: Floats = np.cumsum(np.log1p(bet * clipped), axis=1).max(axis=1)
    return best


def _t_at(values: Floats, rows: Ints) -> Floats:
    """The other mistake: t of the mean over all bars so far, at each checkpoint, as if bars were independent."""
    n = rows + 1.0
    mean = np.cumsum(values, axis=1)[:, rows] / n
    square = np.cumsum(values**2, axis=1)[:, rows] / n
    t: Floats = mean / np.sqrt((square - mean**2) / n)
    return t
