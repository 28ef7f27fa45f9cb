"""When and at what price does a trade end, and what does it net?

The one implementation of trade exits: labels, backtest, paper ledger and outcome resolution all call it.
A decision at the close of bar t enters at the open of bar t+1. Profit and stop barriers lie at ATR multiples or fixed
fractions of the entry price; the vertical barrier is the close of the horizon's last bar. Pessimistic where bars hide
the order of events: both barriers inside one bar counts as the stop. A bar that opens beyond a barrier fills at that
open. A trailing stop follows the best price of the bars that are over, never of the bar at hand. Net return = side *
price change - fees on both notionals - slippage on both sides - funding signed by side (longs pay a positive rate).
Funding is charged for every settlement after the entry bar's open up to the exit bar, on the notional at the settling
bar's open. Unknown funding leaves the trade unresolved, never zero; only a market that has no funding on record at all
may be charged an assumed cost, which both sides pay. A history that ends first, delisting included, leaves it
unresolved too: nobody knows at which price it would have been closed. (Triple barrier: Lopez de Prado, Advances in
Financial Machine Learning, ch. 3.)
"""

from dataclasses import asdict, dataclass, field
from enum import IntEnum
from hashlib import sha256
from json import dumps
from math import inf
from typing import Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

from market.candles import Floats, Ints
from market.costs import CostModel
from market.errors import LabelSpecError
from market.funding import FundingOnGrid
from market.grid import BarGrid

__all__ = [
    "Barrier",
    "BarrierSpec",
    "BarrierUnit",
    "PricePath",
    "Side",
    "TradeOutcomes",
    "price_path",
    "simulate_trades",
]


BarrierUnit = Literal["atr", "fraction"]


class Side(IntEnum):
    """Direction of a position; its value is the sign of its exposure."""

    SHORT = -1
    LONG = 1


class Barrier(IntEnum):
    """What ended a trade. UNRESOLVED: the data ends first, the entry bar is not real, or funding is unknown."""

    UNRESOLVED = 0
    PROFIT = 1
    STOP = 2
    TIME = 3
    TRAIL = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class BarrierSpec:
    """Exit rules and costs; ``fingerprint`` is the label spec id stored in bundles and outcomes.

    ``profit`` and ``stop`` are distances from the entry price: multiples of ATR, or with ``unit`` fraction fractions of
    the price (below 1). ``horizon_bars`` is the time exit. ``trail`` (0: none) is how far behind the best price a stop
    follows, once the trade has been ``trail_after`` ahead; both are distances like the others.
    """

    horizon_bars: int = 48
    profit: float = 4.0
    stop: float = 4.0
    unit: BarrierUnit = "atr"
    trail: float = 0.0
    trail_after: float = 0.0
    costs: CostModel = field(default_factory=CostModel)

    def __post_init__(self) -> None:
        """Refuse barriers that no price could be at."""
        farthest = 1.0 if self.unit == "fraction" else inf
        if self.unit not in {"atr", "fraction"} or not 0.0 < min(self.profit, self.stop) <= max(self.profit, self.stop):
            raise _bad_spec(self)
        if max(self.profit, self.stop) >= farthest or self.horizon_bars < 1:
            raise _bad_spec(self)
        if not 0.0 <= min(self.trail, self.trail_after) <= max(self.trail, self.trail_after) < inf:
            raise _bad_spec(self)
        if self.trail == 0.0 < self.trail_after:
            raise _bad_spec(self)

    @property
    def fingerprint(self) -> str:
        """Hash of every number that changes an outcome."""
        return sha256(dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]

    def widths(self, atr_fraction: Floats) -> Floats:
        """Distances as fractions of the entry price, ``(4, m)``: profit, stop, trail, trail_after; no ATR, none."""
        scale = atr_fraction if self.unit == "atr" else np.ones_like(atr_fraction)
        distances: Floats = np.multiply.outer(np.array([self.profit, self.stop, self.trail, self.trail_after]), scale)
        return distances


def _bad_spec(spec: BarrierSpec) -> LabelSpecError:
    return LabelSpecError(
        f"barriers at profit {spec.profit:g} and stop {spec.stop:g} ({spec.unit}) over {spec.horizon_bars} bars, "
        f"trailing {spec.trail:g} after {spec.trail_after:g}",
        why="distances are positive ATR multiples or fractions of the price below 1, over at least one bar, and a stop "
        "that does not trail begins nowhere",
        remedy="correct labels.profit, labels.stop, labels.barrier_unit, labels.horizon_bars, labels.trail or "
        "labels.trail_after",
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PricePath:
    """One market's bars and funding as the exit rules need them; all ``(n,)``, oldest first."""

    first_index: int
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    real: NDArray[np.bool_]
    funding_paid: Floats
    funding_known: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TradeOutcomes:
    """Both sides of ``m`` hypothetical trades; arrays ``(m, 2)``: column 0 long, column 1 short.

    ``net``, ``gross`` and ``funding`` are fractions of the entry notional, NaN where unresolved;
    ``exit_index`` is the absolute index of the exit bar (-1 where unresolved), ``barrier`` a ``Barrier``.
    """

    net: Floats
    gross: Floats
    funding: Floats
    exit_index: Ints
    barrier: NDArray[np.int8]


def price_path(grid: BarGrid, funding: FundingOnGrid) -> PricePath:
    """Bars and funding of one market as a ``PricePath``."""
    return PricePath(
        first_index=grid.first_index,
        open=grid.open,
        high=grid.high,
        low=grid.low,
        close=grid.close,
        real=grid.real,
        funding_paid=funding.paid,
        funding_known=funding.known,
    )


def simulate_trades(
    path: PricePath, decision_index: Ints, *, atr_fraction: Floats, vol_ratio: Floats, spec: BarrierSpec
) -> TradeOutcomes:
    """Simulate a long and a short from each decision bar.

    ``decision_index`` ``(m,) int64`` holds absolute bar indices; ``atr_fraction`` (ATR / close) and ``vol_ratio``
    (volatility / its average), both ``(m,) float64``, are what was known at the close of those bars.
    """
    m = decision_index.size
    net = np.full((m, 2), np.nan)
    gross = np.full((m, 2), np.nan)
    funding = np.full((m, 2), np.nan)
    exit_index = np.full((m, 2), -1, dtype=np.int64)
    barrier = np.zeros((m, 2), dtype=np.int8)
    assumed = 0.0 if path.funding_known.any() else spec.costs.assumed_funding_bps_per_bar * 1e-4
    unknown = ~path.funding_known if assumed == 0.0 else np.zeros(path.open.size, dtype=np.bool_)
    unknowns = np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(unknown)))
    weighted = np.concatenate((np.zeros(1), np.cumsum(path.funding_paid * path.open)))
    _simulate(
        (path.open, path.high, path.low, path.close, path.real, unknowns, weighted),
        decision_index - path.first_index,
        spec.widths(np.ascontiguousarray(atr_fraction, dtype=np.float64)),
        np.ascontiguousarray(vol_ratio, dtype=np.float64),
        (
            spec.horizon_bars,
            assumed,
            spec.costs.taker_fee_bps * 1e-4,
            spec.costs.slippage_bps * 1e-4,
            spec.costs.slippage_vol_floor,
        ),
        (net, gross, funding, exit_index, barrier),
    )
    exit_index[barrier > 0] += path.first_index
    return TradeOutcomes(net=net, gross=gross, funding=funding, exit_index=exit_index, barrier=barrier)


@njit(cache=True)
def _exit(bars, entry, horizon, side, widths):
    """(row, price, barrier) of the exit of a position entered at the open of row ``entry``.

    ``widths`` are the distances of profit, stop, trailing stop and its beginning, as fractions of the entry price.
    """
    open_, high, low, close = bars
    n, price = open_.size, open_[entry]
    profit_at = price * (1.0 + side * widths[0])
    stop_at, stopped, farthest = price * (1.0 - side * widths[1]), 2, price
    for i in range(entry, min(entry + horizon, n)):
        if i > entry:
            if side * (open_[i] - stop_at) <= 0.0:
                return i, open_[i], stopped
            if side * (open_[i] - profit_at) >= 0.0:
                return i, open_[i], 1
        worst = low[i] if side > 0 else high[i]
        best = high[i] if side > 0 else low[i]
        if side * (worst - stop_at) <= 0.0:
            return i, stop_at, stopped
        if side * (best - profit_at) >= 0.0:
            return i, profit_at, 1
        if widths[2] > 0.0:
            farthest = best if side * (best - farthest) > 0.0 else farthest
            trailing = farthest - side * widths[2] * price
            if side * (farthest / price - 1.0) >= widths[3] and side * (trailing - stop_at) > 0.0:
                stop_at, stopped = trailing, 4
    if entry + horizon <= n:
        return entry + horizon - 1, close[entry + horizon - 1], 3
    return -1, 0.0, 0


@njit(cache=True)
def _simulate(path, decisions, widths, vol_ratio, rule, out):
    open_, high, low, close, real, unknown, weighted = path
    horizon, assumed, fee, slip, floor = rule
    net, gross, funding, exit_row, barrier = out
    n = open_.size
    for k in range(decisions.size):
        entry = decisions[k] + 1
        if entry < 1 or entry >= n or not real[entry] or not widths[0, k] > 0.0 or not vol_ratio[k] >= 0.0:
            continue
        price = open_[entry]
        for column in range(2):
            side = 1.0 if column == 0 else -1.0
            row, at, how = _exit((open_, high, low, close), entry, horizon, side, widths[:, k])
            if how == 0 or unknown[row + 1] != unknown[entry + 1]:
                continue
            change = side * (at / price - 1.0)
            paid = side * (weighted[row + 1] - weighted[entry + 1]) / price + assumed * (row - entry)
            turnover = 1.0 + at / price
            gross[k, column] = change
            funding[k, column] = paid
            net[k, column] = change - turnover * (fee + slip * max(vol_ratio[k], floor)) - paid
            exit_row[k, column] = row
            barrier[k, column] = how
