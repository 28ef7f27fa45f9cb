"""When and at what price does a trade end, and what does it net?

The one implementation of trade exits: labels, backtest, paper ledger and outcome resolution all call it.
A decision at the close of bar t enters at the open of bar t+1. Profit and stop barriers lie at ATR multiples
of the entry price; the vertical barrier is the close of the horizon's last bar. Pessimistic where bars hide
the order of events: both barriers inside one bar counts as the stop. A bar that opens beyond a barrier fills
at that open. Net return = side * price change - fees on both notionals - slippage on both sides - funding
signed by side (longs pay a positive rate). Funding is charged for every settlement after the entry bar's
open up to the exit bar, on the notional at the settling bar's open. Unknown funding leaves the trade
unresolved: never zero. (Triple barrier: Lopez de Prado, Advances in Financial Machine Learning, ch. 3.)
"""

from dataclasses import asdict, dataclass, field
from enum import IntEnum
from hashlib import sha256
from json import dumps

import numpy as np
from numba import njit
from numpy.typing import NDArray

from market.candles import Floats, Ints
from market.costs import CostModel
from market.funding import FundingOnGrid
from market.grid import BarGrid

__all__ = ["Barrier", "BarrierSpec", "PricePath", "Side", "TradeOutcomes", "price_path", "simulate_trades"]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class BarrierSpec:
    """Exit rules and costs; ``fingerprint`` is the label spec id stored in bundles and outcomes."""

    horizon_bars: int = 48
    profit_atr: float = 4.0
    stop_atr: float = 4.0
    costs: CostModel = field(default_factory=CostModel)

    @property
    def fingerprint(self) -> str:
        """Hash of every number that changes an outcome."""
        return sha256(dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


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
    known = np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(~path.funding_known)))
    weighted = np.concatenate((np.zeros(1), np.cumsum(path.funding_paid * path.open)))
    _simulate(
        (path.open, path.high, path.low, path.close, path.real, known, weighted),
        decision_index - path.first_index,
        np.ascontiguousarray(atr_fraction, dtype=np.float64),
        np.ascontiguousarray(vol_ratio, dtype=np.float64),
        (
            spec.horizon_bars,
            spec.profit_atr,
            spec.stop_atr,
            spec.costs.taker_fee_bps * 1e-4,
            spec.costs.slippage_bps * 1e-4,
            spec.costs.slippage_vol_floor,
        ),
        (net, gross, funding, exit_index, barrier),
    )
    exit_index[barrier > 0] += path.first_index
    return TradeOutcomes(net=net, gross=gross, funding=funding, exit_index=exit_index, barrier=barrier)


@njit(cache=True)
def _exit(bars, entry, horizon, side, profit_price, stop_price):
    """(row, price, barrier) of the exit of a position entered at the open of row ``entry``."""
    open_, high, low, close = bars
    n = open_.size
    for i in range(entry, min(entry + horizon, n)):
        if i > entry:
            if side * (open_[i] - stop_price) <= 0.0:
                return i, open_[i], 2
            if side * (open_[i] - profit_price) >= 0.0:
                return i, open_[i], 1
        worst = low[i] if side > 0 else high[i]
        best = high[i] if side > 0 else low[i]
        if side * (worst - stop_price) <= 0.0:
            return i, stop_price, 2
        if side * (best - profit_price) >= 0.0:
            return i, profit_price, 1
    if entry + horizon <= n:
        return entry + horizon - 1, close[entry + horizon - 1], 3
    return -1, 0.0, 0


@njit(cache=True)
def _simulate(path, decisions, atr, vol_ratio, rule, out):
    open_, high, low, close, real, unknown, weighted = path
    horizon, profit_atr, stop_atr, fee, slip, floor = rule
    net, gross, funding, exit_row, barrier = out
    n = open_.size
    for k in range(decisions.size):
        entry = decisions[k] + 1
        if entry < 1 or entry >= n or not real[entry] or not atr[k] > 0.0 or not vol_ratio[k] >= 0.0:
            continue
        price = open_[entry]
        for column in range(2):
            side = 1.0 if column == 0 else -1.0
            profit = price * (1.0 + side * profit_atr * atr[k])
            stop = price * (1.0 - side * stop_atr * atr[k])
            row, at, how = _exit((open_, high, low, close), entry, horizon, side, profit, stop)
            if how == 0 or unknown[row + 1] != unknown[entry + 1]:
                continue
            change = side * (at / price - 1.0)
            paid = side * (weighted[row + 1] - weighted[entry + 1]) / price
            turnover = 1.0 + at / price
            gross[k, column] = change
            funding[k, column] = paid
            net[k, column] = change - turnover * (fee + slip * max(vol_ratio[k], floor)) - paid
            exit_row[k, column] = row
            barrier[k, column] = how
