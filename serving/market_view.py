"""What did Lockstep know about all markets when it decided a bar?

``MarketView`` reads the lake once for a run of bars and then gives, bar after bar, the feature rows and price paths of
every symbol as they were known at that bar's decision. Exact by construction: prices and funding are cut by bar index,
and every version of a row carries the first bar that knew it, so a revision or a late row changes what is seen from
that bar on and nothing before. At such a bar the symbol's inputs are rebuilt and its stream warmed again (all symbols,
if it was the reference market). Two readings start before the window: 45 days, so that holes at its start are filled
as by a longer history. What was served is checked against the lake by ``serving.parity`` all the same.

The decision at bar t is taken ``delay_ms`` (one minute) after its close; with ``as_of_ms`` all bars are decided at that
one moment, as the live worker does when it catches up.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from features.contract import FeatureContract
from infra.lake import Lake
from market.barriers import PricePath
from market.candles import Ints
from market.timeframe import Timeframe
from serving.errors import MarketViewError
from serving.known_rows import Clock
from serving.lake_inputs import warm_up_index
from serving.next_bar import Arrived
from serving.states import OK, UNKNOWN, cause_of_error, cause_of_reason, kind_of
from serving.symbol_market import MarketRows, SymbolMarket, grid_at, read_market

__all__ = ["DECISION_DELAY_MS", "BarView", "MarketView"]

DECISION_DELAY_MS = 60_000
_NOTHING = Arrived()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BarView:
    """All symbols at one bar.

    ``features (S, F) float32``; ``reasons (S,) int64`` the row's flags, -1 where there is no row; ``causes`` the names
    of the fail-closed causes, ``ok`` where the row may be predicted on; ``known_at_ms`` the moment of the decision;
    ``unforeseen`` the kind of error by symbol where nobody foresaw it.
    """

    index: int
    known_at_ms: int
    features: NDArray[np.float32]
    reasons: Ints
    causes: tuple[str, ...]
    unforeseen: Mapping[str, str] = field(default_factory=dict)


class MarketView:
    """The markets of ``symbols`` at the bars ``[start_index, end_index)``, visited in order."""

    def __init__(
        self,
        lake: Lake,
        symbols: Sequence[str],
        contract: FeatureContract,
        *,
        start_index: int,
        end_index: int,
        delay_ms: int = DECISION_DELAY_MS,
        as_of_ms: int | None = None,
    ) -> None:
        """Read everything these bars may need; raises ``LakeError`` for a damaged lake."""
        self.symbols = tuple(symbols)
        self.contract = contract
        self.timeframe = Timeframe(contract.timeframe_ms)
        self.end_index = end_index
        self._clock = Clock(timeframe=self.timeframe, delay_ms=delay_ms, as_of_ms=as_of_ms)
        self._next = start_index
        self.first_index = first = warm_up_index(contract, start_index)
        names = dict.fromkeys((*self.symbols, contract.reference_symbol))
        rows = {name: self._read(lake, name) for name in names}
        self._reference_rows = rows[contract.reference_symbol]
        self._markets = [
            SymbolMarket(rows[name], clock=self._clock, contract=contract, first_index=first) for name in self.symbols
        ]
        everyone = range(len(self.symbols))
        self._late: dict[int, set[int]] = {start_index: set(everyone)}
        for s, name in enumerate(self.symbols):
            for kind in rows[name].kinds:
                for index in kind.arrivals().tolist():
                    self._late.setdefault(index, set()).add(s)
        for index in self._reference_rows.candles.arrivals().tolist():
            self._late[index] = set(everyone)

    @property
    def next_index(self) -> int:
        """The bar that must be looked at next."""
        return self._next

    def advance(self, index: int) -> BarView:
        """Look at the next bar; raises ``MarketViewError`` for any other than the next."""
        if index != self._next or index >= self.end_index:
            raise MarketViewError(
                f"bar {index} was asked for after bar {self._next - 1} (the view ends before {self.end_index})",
                why="a stream that skips or repeats a bar computes something else",
                remedy="open a new view at the bar you want",
            )
        self._next += 1
        dirty = self._late.get(index, set())
        reference = grid_at(self._reference_rows, self._clock, index) if dirty else None
        n = len(self.symbols)
        features = np.full((n, len(self.contract.names)), np.nan, dtype=np.float32)
        reasons = np.full(n, -1, dtype=np.int64)
        causes = []
        unforeseen = {}
        for s, market in enumerate(self._markets):
            try:
                if s in dirty:
                    market.rebuild(index, reference)
                answer = market.answer(index)
            except Exception as error:  # noqa: BLE001  fail closed: one symbol's trouble is that symbol's cause
                self._late.setdefault(index + 1, set()).add(s)
                causes.append(cause_of_error(error))
                if causes[-1] == UNKNOWN:
                    unforeseen[market.symbol] = kind_of(error)
                continue
            if answer.reason is None:
                causes.append("no_data")
                continue
            features[s] = answer.values
            reasons[s] = answer.reason
            causes.append(cause_of_reason(answer.reason))
        return BarView(
            index=index,
            known_at_ms=self._clock.decided_at(index),
            features=features,
            reasons=reasons,
            causes=tuple(causes),
            unforeseen=unforeseen,
        )

    def extend(self, lake: Lake, arrived: Mapping[str, Arrived], *, as_of_ms: int, doubted: Collection[str]) -> None:
        """Let one more bar follow, and see all bars as known at ``as_of_ms``, as a view opened then would.

        ``arrived`` is what became known since, by symbol; of the ``doubted`` that is not all, and they are read anew.
        """
        index = self.end_index
        self.end_index = index + 1
        self._clock = replace(self._clock, as_of_ms=as_of_ms)
        candle = arrived.get(self.contract.reference_symbol, _NOTHING).candle
        close = np.nan if candle is None else candle[3]
        again = set(self._late.get(index, ()))
        for s, (symbol, market) in enumerate(zip(self.symbols, self._markets, strict=True)):
            if s in again or symbol in doubted or not market.extend(arrived.get(symbol, _NOTHING), close):
                again.add(s)
        self._late = {index: again}
        if again:
            self._reference_rows = self._read(lake, self.contract.reference_symbol)
        for s in again:
            rows = self._read(lake, self.symbols[s])
            self._markets[s] = SymbolMarket(
                rows, clock=self._clock, contract=self.contract, first_index=self.first_index
            )

    def _read(self, lake: Lake, symbol: str) -> MarketRows:
        return read_market(lake, symbol, clock=self._clock, first_index=self.first_index, end_index=self.end_index)

    def valid(self, view: BarView) -> NDArray[np.bool_]:
        """``(S,)`` which rows may be predicted on."""
        return np.array([cause == OK for cause in view.causes], dtype=np.bool_)

    def standing_still(self, index: int, *, bars: int) -> tuple[str, ...]:
        """The symbols whose last ``bars`` real bars up to ``index`` are one bar repeated, or silent ones."""
        return tuple(market.symbol for market in self._markets if market.stands_still(index, bars=bars))

    def path(self, symbol: int, *, first_index: int, index: int) -> PricePath | None:
        """Bars ``[first_index, index]`` of the symbol in this row as bar ``index`` knew them."""
        return self._markets[symbol].path(first_index, index)
