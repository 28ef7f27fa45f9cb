"""How do several files of one market become one history?

In the order of time, each stamp once. Where files overlap, as a month's file and its days' do, they must say the same:
then the rows are merged, otherwise the files are refused by name, as nobody can tell here which of them is right.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from infra.errors import SourceError
from infra.open_interest import OpenInterestStamps
from market.basis import MarkStamps
from market.candles import Candles, Floats, Ints
from market.funding import FundingStamps
from market.taker_flow import TakerShares

__all__ = ["join_candles", "join_funding", "join_mark", "join_open_interest", "join_taker"]

_T = TypeVar("_T", Candles, FundingStamps, MarkStamps, OpenInterestStamps, TakerShares)
_Rows = tuple[Ints, Sequence[Floats]]


def join_candles(parts: Sequence[tuple[Path, Candles]]) -> Candles:
    """One history of checked candles; ``SourceError`` naming two files that disagree."""
    first = parts[0][1]

    def rows(bars: Candles) -> _Rows:
        return bars.open_time, (bars.open, bars.high, bars.low, bars.close, bars.volume)

    def made(times: Ints, values: Sequence[Floats]) -> Candles:
        o, h, l, c, v = values  # noqa: E741
        return Candles(
            symbol=first.symbol, timeframe=first.timeframe, open_time=times, open=o, high=h, low=l, close=c, volume=v
        )

    return _join(parts, rows, made)


def join_funding(parts: Sequence[tuple[Path, FundingStamps]]) -> FundingStamps:
    """One history of checked settlements; ``SourceError`` naming two files that disagree."""
    symbol = parts[0][1].symbol
    return _join(
        parts,
        lambda stamps: (stamps.time, (stamps.rate,)),
        lambda times, values: FundingStamps(symbol=symbol, time=times, rate=values[0]),
    )


def join_mark(parts: Sequence[tuple[Path, MarkStamps]]) -> MarkStamps:
    """One history of checked mark prices; ``SourceError`` naming two files that disagree."""
    symbol = parts[0][1].symbol
    return _join(
        parts,
        lambda stamps: (stamps.time, (stamps.price,)),
        lambda times, values: MarkStamps(symbol=symbol, time=times, price=values[0]),
    )


def join_open_interest(parts: Sequence[tuple[Path, OpenInterestStamps]]) -> OpenInterestStamps:
    """One history of checked stamps; ``SourceError`` naming two files that disagree."""
    symbol = parts[0][1].symbol
    return _join(
        parts,
        lambda stamps: (stamps.time, (stamps.value,)),
        lambda times, values: OpenInterestStamps(symbol=symbol, time=times, value=values[0]),
    )


def join_taker(parts: Sequence[tuple[Path, TakerShares]]) -> TakerShares:
    """One history of checked takers' shares of bars of one length; ``SourceError`` naming two files that disagree."""
    symbol, timeframe = parts[0][1].symbol, parts[0][1].timeframe
    return _join(
        parts,
        lambda shares: (shares.open_time, (shares.share,)),
        lambda times, values: TakerShares(symbol=symbol, timeframe=timeframe, open_time=times, share=values[0]),
    )


def _join(
    parts: Sequence[tuple[Path, _T]], rows: Callable[[_T], _Rows], made: Callable[[Ints, Sequence[Floats]], _T]
) -> _T:
    if len(parts) == 1:
        return parts[0][1]
    taken = [rows(values) for _, values in parts]
    times = np.concatenate([time for time, _ in taken])
    table = np.stack([np.concatenate(column) for column in zip(*(columns for _, columns in taken), strict=True)])
    owner = np.repeat(np.arange(len(parts)), [time.size for time, _ in taken])
    order = np.argsort(times, kind="stable")
    times, table, owner = times[order], table[:, order], owner[order]
    again, other = np.zeros((2, times.size), dtype=bool)  # no row before the first, and none at all in empty files
    again[1:] = np.diff(times) == 0
    other[1:] = (np.diff(table, axis=1) != 0).any(axis=0)
    differ = np.flatnonzero(again & other)
    if differ.size:
        row = int(differ[0])
        first, second = (parts[int(owner[at])][0].name for at in (row - 1, row))
        raise SourceError(
            f"{first} and {second} disagree on {np.datetime64(int(times[row]), 'ms')}Z "
            f"({_said(table[:, row - 1])} and {_said(table[:, row])})",
            why="they are parts of one history, and nothing here tells which of them is right",
            remedy="compare with the venue and take the wrong file away",
        )
    return made(times[~again], list(table[:, ~again]))


def _said(values: Floats) -> str:
    return " ".join(f"{value:.12g}" for value in values)
