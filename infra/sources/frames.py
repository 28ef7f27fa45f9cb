"""What do the columns of a file mean, in our types and units?

Reads one CSV (also the one in a zip), Parquet or Feather file into named columns and turns them into times (int64 ms
UTC) and float64 values. Names are matched without regard to case; a CSV without a header row is read as a venue's
twelve columns of klines or not at all. Times may be zone-aware or naive timestamps (naive is read as UTC), ISO 8601
text, or integers in s, ms, us or ns when their size leaves no doubt. Whatever is ambiguous is refused by file name.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from pyarrow import feather

from infra.errors import SourceError
from infra.sources.archive import unzip
from market.candles import Floats, Ints

__all__ = ["EXTENSIONS", "TIME_NAMES", "number_column", "read_frame", "require_columns", "time_column"]

EXTENSIONS = (".parquet", ".feather", ".csv", ".zip")
TIME_NAMES = ("timestamp", "date", "datetime", "time", "open_time", "calc_time", "create_time")

_EARLIEST_S = 1_230_768_000  # 2009-01-01: no market here is older
_LATEST_S = 4_102_444_800  # 2100-01-01
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_ANEW = "export the file again from its source"
_KLINES = (
    "open_time",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "close_time",
    "quote_volume",
    "count",
    "taker_buy_volume",
    "taker_buy_quote_volume",
    "ignore",
)


def read_frame(path: Path) -> dict[str, Any]:
    """Columns of the file by lower-case name, as Arrow arrays; ``SourceError`` if unreadable or empty."""
    try:
        if path.stat().st_size == 0:
            raise _error(path, "the file is empty", "there is nothing to import", _ANEW)
        table = _read_table(path)
    except (pa.ArrowException, OSError, ValueError, UnicodeDecodeError) as error:
        detail = " ".join(str(error).split())[:160]
        raise _error(
            path, f"it cannot be read ({detail})", "the file is damaged or of another format", _ANEW
        ) from error
    names = [str(name).strip().lower() for name in table.column_names]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise _error(
            path, f"columns {', '.join(doubled)} appear twice", "which one counts is unclear", "keep one of each"
        )
    if table.num_rows == 0:
        raise _error(path, "the file has no rows", "there is nothing to import", _ANEW)
    return dict(zip(names, table.columns, strict=True))


def require_columns(path: Path, frame: dict[str, Any], names: Sequence[str]) -> str:
    """The name of the time column; ``SourceError`` listing what is missing of it and ``names``."""
    time_name = next((name for name in TIME_NAMES if name in frame), None)
    missing = ([] if time_name else ["timestamp"]) + [name for name in names if name not in frame]
    if time_name is None or missing:
        raise _error(
            path,
            f"columns {', '.join(missing)} are missing (found: {', '.join(sorted(frame))[:200]})",
            f"an import needs {', '.join(('timestamp', *names))}",
            "rename the columns, or point at a folder of candles",
        )
    return time_name


def number_column(path: Path, frame: dict[str, Any], name: str) -> Floats:
    """``(n,) float64``, NaN where empty; ``SourceError`` naming the first text that is not a number."""
    column = frame[name]
    try:
        return np.array(pc.cast(column, pa.float64(), safe=False).to_numpy(), dtype=np.float64)
    except pa.ArrowException as error:
        row, text = _first_not_number(column)
        raise _error(
            path, f"{text!r} in column {name} at row {row} is not a number", "prices must be numbers", _ANEW
        ) from error


def time_column(path: Path, frame: dict[str, Any], name: str) -> Ints:
    """``(n,) int64`` ms UTC; ``SourceError`` where the column does not say which moment it means."""
    column = frame[name]
    if column.null_count:
        row = int(np.argmax(np.asarray(column.is_null())))
        raise _error(path, f"column {name} is empty at row {row}", "a bar without a time is no bar", _ANEW)
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        column = _parse_text(path, name, column)
        kind = column.type
    if pa.types.is_timestamp(kind):
        return _plausible(path, name, _to_ms(np.asarray(column.cast(pa.int64(), safe=False)), kind.unit))
    if pa.types.is_date(kind):
        return np.asarray(column.cast(pa.date64()).cast(pa.int64()), dtype=np.int64)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return _from_numbers(path, name, np.asarray(column))
    raise _error(path, f"column {name} holds {kind}", "it cannot be read as a time", "use ISO 8601 or milliseconds")


def _read_table(path: Path) -> Any:
    if path.suffix == ".parquet":
        with pq.ParquetFile(path) as file:
            return file.read()
    if path.suffix == ".feather":
        return feather.read_table(path, memory_map=False)
    data = unzip(path) if path.suffix == ".zip" else path.read_bytes()
    header = data.partition(b"\n")[0].decode("utf-8-sig")
    delimiter = max(",;\t", key=header.count)
    return pa_csv.read_csv(
        pa.BufferReader(data),
        read_options=pa_csv.ReadOptions(column_names=_names_without_header(path, header.split(delimiter))),
        parse_options=pa_csv.ParseOptions(delimiter=delimiter),
    )


def _names_without_header(path: Path, first_row: Sequence[str]) -> tuple[str, ...] | None:
    """The columns of a file whose first row is numbers already; None where that row holds names."""
    if not all(_is_number(cell) for cell in first_row):
        return None
    if len(first_row) != len(_KLINES):
        raise _error(
            path,
            f"it has no header row and {len(first_row)} columns",
            f"without names only the {len(_KLINES)} columns of a venue's klines are known",
            "write a first row such as timestamp,open,high,low,close,volume",
        )
    return _KLINES


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _first_not_number(column: Any) -> tuple[int, str]:
    for row, value in enumerate(column.to_pylist()):
        try:
            float(value) if value is not None else None
        except (TypeError, ValueError):
            return row, str(value)[:40]
    return 0, str(column.type)


def _parse_text(path: Path, name: str, column: Any) -> Any:
    """ISO 8601 text as timestamps: all with a zone, or all without one."""
    for target in (pa.timestamp("ns", tz="UTC"), pa.timestamp("ns")):
        try:
            return column.cast(target)
        except pa.ArrowException:
            continue
    raise _error(
        path,
        f"column {name} holds text such as {str(column[0].as_py())[:40]!r}",
        "it is not ISO 8601, or mixes times with and without a zone, so the moment is ambiguous",
        "write times as 2025-01-31T00:05:00Z or as integer milliseconds",
    )


def _from_numbers(path: Path, name: str, values: Any) -> Ints:
    low, high = float(values.min()), float(values.max())
    for unit, per_second in _PER_SECOND.items():
        if low >= _EARLIEST_S * per_second and high < _LATEST_S * per_second:
            if values.dtype.kind == "f" and not bool((values == np.floor(values)).all()):
                break
            return _to_ms(values.astype(np.int64), unit)
    raise _error(
        path,
        f"column {name} holds numbers from {low:.0f} to {high:.0f}",
        "they are not whole s, ms, us or ns since 1970 between 2009 and 2100, so the moment is ambiguous",
        "write times as 2025-01-31T00:05:00Z or as integer milliseconds",
    )


def _plausible(path: Path, name: str, times: Ints) -> Ints:
    low, high = int(times.min()), int(times.max())
    if low < _EARLIEST_S * 1000 or high >= _LATEST_S * 1000:
        raise _error(
            path,
            f"column {name} runs from {np.datetime64(low, 'ms')}Z to {np.datetime64(high, 'ms')}Z",
            "that is outside 2009 to 2100, as when seconds are taken for milliseconds, so the moment is ambiguous",
            _ANEW,
        )
    return times


def _to_ms(values: Any, unit: str) -> Ints:
    whole = np.asarray(values, dtype=np.int64)
    return whole * 1000 if unit == "s" else whole // (_PER_SECOND[unit] // 1000)


def _error(path: Path, what: str, why: str, remedy: str) -> SourceError:
    return SourceError(f"{path.name}: {what}", why=why, remedy=remedy)
