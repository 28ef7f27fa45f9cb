"""What can be asked of a source of market data?

A request names a symbol, a kind of data and a half-open window of time; the answer is a stream of checked market
values, oldest first, each ready to be appended to the lake. A window the source does not reach gives fewer values, or
none, but never made-up ones.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeAlias

from infra.open_interest import OpenInterestStamps
from market.basis import MarkStamps
from market.candles import Candles
from market.funding import FundingStamps
from market.taker_flow import TakerShares
from market.timeframe import Timeframe

__all__ = ["FetchRequest", "Kind", "MarketHistory", "MarketValues", "Source"]

MarketValues: TypeAlias = Candles | FundingStamps | OpenInterestStamps | MarkStamps | TakerShares


class Kind(StrEnum):
    """What is asked for. An exchange is never asked for ``TAKER``: what it has of it comes with the candles."""

    CANDLES = "candles"
    FUNDING = "funding"
    OPEN_INTEREST = "open_interest"
    MARK = "mark"
    TAKER = "taker"


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchRequest:
    """One symbol, one kind, times in ``[start_ms, end_ms)``.

    ``timeframe`` is the bar length, of open interest its period, of mark prices an hour.
    """

    symbol: str
    kind: Kind
    timeframe: Timeframe
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MarketHistory:
    """Everything a source holds of one market; None for what it does not have."""

    candles: Candles
    funding: FundingStamps | None
    open_interest: OpenInterestStamps | None
    mark: MarkStamps | None
    taker: TakerShares | None


class Source(Protocol):
    """A source of market data; ``name`` is what the lake stores beside each row."""

    @property
    def name(self) -> str:
        """Short, printable, without secrets: ``binanceusdm``, ``files:marketlab_um``, ``synthetic``."""
        ...

    def fetch(self, request: FetchRequest) -> Iterator[MarketValues]:
        """The values of this request, oldest first, in one or several parts."""
        ...
