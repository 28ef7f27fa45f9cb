"""What does one market file say?

Its rows as checked market values. Nothing is sorted, filled or repaired: a file that breaks a rule is refused by name,
with the row and the remedy. The one thing dropped is an exact repeat of an open interest stamp, of which the last is
kept, as the venue's archives repeat stamps; zeros there stay as they are and mean missing. What takers bought is taken
from a column of the candles or of the metrics; where such a column is empty, it is not known.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from infra.errors import SourceError
from infra.open_interest import OpenInterestStamps, check_open_interest
from infra.sources.catalogue import FoundFile
from infra.sources.frames import number_column, read_frame, require_columns, time_column
from market.basis import MarkStamps, check_mark
from market.candles import Candles, Floats, Ints, check_candles, infer_timeframe
from market.errors import CandleError, LockstepError, SymbolError
from market.funding import FundingStamps, check_funding
from market.resample import divides
from market.symbols import venue_symbol
from market.taker_flow import TakerShares, check_taker, share_of_ratio, taker_shares
from market.timeframe import HOUR_MS, MINUTE_MS, Timeframe

__all__ = ["METRICS", "MIN_BARS", "naming", "read_bars", "read_funding", "read_mark", "read_metrics", "too_few"]

MIN_BARS = 12
_PRICES = ("open", "high", "low", "close", "volume")
_RATES = ("funding_rate", "last_funding_rate", "open")  # ours, Binance's archive, freqtrade
_HELD = ("open_interest", "sum_open_interest")
_TAKER_BUY = ("taker_buy_volume", "taker_buy_base", "taker_buy_base_volume", "taker_buy_base_asset_volume")
_TAKER_RATIO = ("taker_long_short_vol_ratio", "sum_taker_long_short_vol_ratio")
_LATE_STAMP_MS = 10 * MINUTE_MS  # stamps come up to minutes late; the day's last one bears the next day's midnight
METRICS = Timeframe(5 * MINUTE_MS)  # the period of the archive's metrics, and of the ratio in them
_T = TypeVar("_T")


def read_bars(file: FoundFile, asked: Timeframe | None) -> tuple[Candles, TakerShares | None]:
    """Checked candles of the length they have, and takers' shares of their volume if there is a column for it.

    ``asked`` is what a plain file, which does not say, is taken for.
    """
    frame = _frame(file)
    times = _times(file, frame, _PRICES)
    values = {name: number_column(file.path, frame, name) for name in _PRICES}
    candles = Candles(
        symbol=file.symbol,
        timeframe=file.timeframe or _told_by_bars(file, times, asked),
        open_time=times,
        open=values["open"],
        high=values["high"],
        low=values["low"],
        close=values["close"],
        volume=values["volume"],
    )
    naming(file.path.name, lambda: check_candles(candles))
    _refuse_marks(file.path, frame, candles)
    bought = _first_of(_TAKER_BUY, frame)
    if bought not in frame:
        return candles, None
    volume = number_column(file.path, frame, bought)
    return candles, naming(file.path.name, lambda: taker_shares(candles, volume))


def read_funding(file: FoundFile) -> FundingStamps:
    """Checked settlements."""
    frame = _frame(file)
    rate = _first_of(_RATES, frame)
    time = _times(file, frame, (rate,))
    stamps = FundingStamps(symbol=file.symbol, time=time, rate=number_column(file.path, frame, rate))
    naming(file.path.name, lambda: check_funding(stamps))
    return stamps


def read_mark(file: FoundFile) -> MarkStamps:
    """Checked mark prices: the closes of the file's candles at full hours; shorter candles close at others, too."""
    assert file.timeframe is not None, "the name of a file of mark prices says how long its candles are"
    frame = _frame(file)
    time = _times(file, frame, ("close",)) + file.timeframe.ms
    _refuse_off_grid(file, time)
    hourly = time % HOUR_MS == 0
    price = number_column(file.path, frame, "close")
    stamps = MarkStamps(symbol=file.symbol, time=time[hourly], price=price[hourly])
    naming(file.path.name, lambda: check_mark(stamps))
    return stamps


def read_metrics(file: FoundFile) -> tuple[OpenInterestStamps, TakerShares | None]:
    """Checked raw stamps of open interest, exact repeats dropped, and takers' shares if there is a column for them.

    A row's share is that of the five minutes before its stamp. Rows off the grid, which describe other minutes than
    those of a bar, have no share.
    """
    frame = _frame(file)
    held = _first_of(_HELD, frame)
    times = _times(file, frame, (held,))
    value = number_column(file.path, frame, held)
    keep = np.append(np.diff(times) != 0, True)
    stamps = OpenInterestStamps(symbol=file.symbol, time=times[keep], value=value[keep])
    naming(file.path.name, lambda: check_open_interest(stamps))
    ratio = _first_of(_TAKER_RATIO, frame)
    if ratio not in frame:
        return stamps, None
    return stamps, _shares(file, times[keep], number_column(file.path, frame, ratio)[keep])


def naming(name: str, rule: Callable[[], _T]) -> _T:
    """Run a rule of the market; let its error name the file."""
    try:
        return rule()
    except LockstepError as error:
        raise type(error)(f"{name}: {error.what}", why=error.why, remedy=error.remedy) from error


def too_few(name: str, bars: int) -> CandleError:
    """The refusal of a history that is too short for anything."""
    return CandleError(
        f"{name}: {bars} bar(s)",
        why=f"fewer than {MIN_BARS} do not even tell their own timeframe",
        remedy="provide a longer history: training wants weeks, one decision needs days of warm-up",
    )


def _frame(file: FoundFile) -> dict[str, Any]:
    """The columns of the file, which must not name another market than the file's name does."""
    frame = read_frame(file.path)
    names = frame.get("symbol")
    if file.part_of is not None and names is not None and pa.types.is_string(names.type):
        other = next((name for name in names.unique().to_pylist() if _another(name, file.symbol)), None)
        if other is not None:
            raise SourceError(
                f"{file.path.name}: its column symbol says {other}",
                why=f"rows of another market would enter as {file.symbol}",
                remedy="download the file again from the archive",
            )
    return frame


def _times(file: FoundFile, frame: dict[str, Any], columns: Sequence[str]) -> Ints:
    """The times of a file with these columns, which must be of the month or day that an archive's name promises."""
    times = time_column(file.path, frame, require_columns(file.path, frame, columns))
    if file.period is not None:
        start, end = file.period
        late = 0 if file.timeframe else _LATE_STAMP_MS
        other = np.flatnonzero((times < start - late) | (times >= end + late))
        if other.size:
            row = int(other[0])
            raise SourceError(
                f"{file.path.name}: row {row} is of {np.datetime64(int(times[row]), 'ms')}Z, and its name says "
                f"{np.datetime64(start, 'ms')}Z to {np.datetime64(end, 'ms')}Z",
                why="under a wrong name it would stand for a month or day that nobody has",
                remedy="download the file again from the archive, or give it the name of what it holds",
            )
    return times


def _another(name: str | None, symbol: str) -> bool:
    try:
        return venue_symbol(name or "") != symbol
    except SymbolError:
        return True


def _shares(file: FoundFile, times: Ints, buy_to_sell: Floats) -> TakerShares:
    known = (times % METRICS.ms == 0) & ~np.isnan(buy_to_sell)
    shares = TakerShares(
        symbol=file.symbol,
        timeframe=METRICS,
        open_time=times[known] - METRICS.ms,
        share=share_of_ratio(buy_to_sell[known]),
    )
    naming(file.path.name, lambda: check_taker(shares))
    return shares


def _refuse_off_grid(file: FoundFile, close: Ints) -> None:
    """Refuse candles that do not begin where candles of their length do: their closes would be of no full hour."""
    assert file.timeframe is not None
    off = np.flatnonzero(close % file.timeframe.ms)
    if off.size:
        when = np.datetime64(int(close[off[0]] - file.timeframe.ms), "ms")
        raise SourceError(
            f"{file.path.name}: a mark candle of {file.timeframe.name} begins {when}Z, off its grid (row {off[0]})",
            why="a mark price of another moment than the bar's close measures no basis",
            remedy="export the file again from its source",
        )


def _first_of(names: tuple[str, ...], frame: dict[str, Any]) -> str:
    return next((name for name in names if name in frame), names[0])


def _told_by_bars(file: FoundFile, times: Ints, asked: Timeframe | None) -> Timeframe:
    if times.size < MIN_BARS:
        raise too_few(file.path.name, times.size)
    steps, count = np.unique(np.diff(times), return_counts=True)
    if asked is not None:
        usual = Timeframe(int(steps[np.argmax(count)]))
        return usual if usual.ms > 0 and divides(usual, asked) else asked
    if steps[0] <= 0:  # let the rules of candles name the row
        return Timeframe(1)
    found = infer_timeframe(times, symbol=file.symbol)
    return naming(file.path.name, lambda: Timeframe.parse(found.name))


def _refuse_marks(path: Path, frame: dict[str, Any], candles: Candles) -> None:
    """Refuse the archive's mark, index and premium bars, which bear the names of klines but were never traded."""
    if "count" in frame and not candles.volume.any() and (number_column(path, frame, "count") > 0).any():
        raise SourceError(
            f"{path.name}: bars without any volume, though their column count is above zero",
            why="mark and index prices have such bars: nobody traded at them",
            remedy="download the file of the same name from the archive's folder klines",
        )
