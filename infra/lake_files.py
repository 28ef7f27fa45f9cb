"""How do rows become files that a crash cannot break?

One file per (kind, symbol, month), ``<kind>/<symbol>/<YYYY-MM>.parquet``, and beside it small *parts* of the same
month, ``<YYYY-MM>.<digest>.rows``: what was appended since. The month's rows are those of all its files together.
No name is ever given to other rows than before, unless they contain the former. Months are Parquet with zstd and page
checksums. A part lives for hours and is read by whoever waits for its bar: bare columns (``infra.lake_parts``), and its
name is the check of its content. A file that does not read back whole is refused by name; nothing is skipped and
nothing is guessed.

    >>> month_of("candles_5m/BTCUSDT/2025-01.9f86d081884c7d65.rows")
    '2025-01'
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from infra.errors import LakeError
from infra.lake_parts import decode_part, encode_part
from infra.lake_rows import Rows
from infra.lake_storage import Held, Storage, StoredFile

__all__ = [
    "CANDLE_COLUMNS",
    "FUNDING_COLUMNS",
    "MARK_COLUMNS",
    "OPEN_INTEREST_COLUMNS",
    "TAKER_COLUMNS",
    "MonthFile",
    "columns_of",
    "data_files",
    "decode_rows",
    "is_data_file",
    "is_kind",
    "is_part",
    "month_at",
    "month_of",
    "write_months",
]

CANDLE_COLUMNS = ("open", "high", "low", "close", "volume")
FUNDING_COLUMNS = ("rate",)
MARK_COLUMNS = ("price",)
OPEN_INTEREST_COLUMNS = ("value",)
TAKER_COLUMNS = ("share",)

_OF_STAMPS = {"funding": FUNDING_COLUMNS, "mark": MARK_COLUMNS, "open_interest": OPEN_INTEREST_COLUMNS}
_OF_BARS = {"candles": CANDLE_COLUMNS, "taker": TAKER_COLUMNS}  # their kinds have a timeframe: candles_5m
_SUFFIX = ".parquet"
_PART = ".rows"
_MONTH = len("2025-01")
_ENCODERS = 4
_Number = TypeVar("_Number", np.int32, np.int64, np.float64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MonthFile:
    """Rows to be stored in one month of one folder; ``whole`` if they are all rows of that month."""

    folder: str
    month: str
    rows: Rows
    whole: bool


def columns_of(kind: str) -> tuple[str, ...]:
    """The value columns of a kind: ``candles_5m``, ``funding``, ``mark``, ``open_interest``, ``taker_5m``."""
    return _OF_STAMPS.get(kind) or _OF_BARS[kind.partition("_")[0]]


def is_kind(name: str) -> bool:
    """Whether a folder of this name holds rows of the lake."""
    return name in _OF_STAMPS or name.startswith(tuple(f"{family}_" for family in _OF_BARS))


def is_data_file(path: str) -> bool:
    """Whether a file of this name holds rows."""
    return path.endswith((_SUFFIX, _PART)) and not path.rpartition("/")[2].startswith(".")


def is_part(path: str) -> bool:
    """Whether it is a part: a name that never stands for other content."""
    return path.endswith(_PART)


def month_of(path: str) -> str:
    """The month, ``YYYY-MM``, that the file's name says."""
    return path.rpartition("/")[2][:_MONTH]


def data_files(
    storage: Storage, folder: str, *, start_ms: int | None = None, end_ms: int | None = None
) -> list[StoredFile]:
    """The files of one (kind, symbol) that can hold times in ``[start_ms, end_ms)``, oldest month first."""
    return sorted(storage.files(folder, _within(start_ms, end_ms)), key=lambda file: _order(file.path))


def _within(start_ms: int | None, end_ms: int | None) -> Callable[[str], bool]:
    lo = "" if start_ms is None else month_at(start_ms)
    hi = "~" if end_ms is None else month_at(max(end_ms - 1, 0))
    return lambda name: is_data_file(name) and lo <= month_of(name) <= hi


def month_at(time_ms: int) -> str:
    """The month, ``YYYY-MM``, that holds this moment."""
    return str(np.datetime64(time_ms, "ms").astype("datetime64[M]"))


def _order(path: str) -> tuple[str, bool, int, str]:
    """By month, the month's own file before its parts."""
    return month_of(path), is_part(path), len(path), path


def decode_rows(data: bytes, columns: Sequence[str], *, path: str, shown: Callable[[str], str]) -> Rows:
    """All rows of one file with these value columns; ``LakeError`` naming it if it is damaged or of another month.

    ``shown`` writes a path as a person would.
    """
    try:
        rows = _part_rows(data, columns, path) if is_part(path) else _rows_of(_month_table(data, columns), columns)
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise _damaged(path, shown(path), " ".join(str(error).split())[:160]) from error
    start_ms, end_ms = _span(month_of(path))
    if not (len(rows) and _in_order(rows) and start_ms <= rows.time[0] and rows.time[-1] < end_ms):
        raise _damaged(path, shown(path), "rows out of order or of another month")
    return rows


@cache
def _span(month: str) -> tuple[int, int]:
    """The first moment of a month and of the next, in ms; no moment at all for what names no month."""
    try:
        first = np.datetime64(month, "M")
    except ValueError:
        return 1, 0
    start, end = ((first + k).astype("datetime64[ms]").astype(np.int64) for k in (0, 1))
    return int(start), int(end)


def _in_order(rows: Rows) -> bool:
    if len(rows) < 2:  # as most parts
        return True
    step = np.diff(rows.time)
    return not ((step < 0).any() or ((step == 0) & (np.diff(rows.known_at) <= 0)).any())


def _month_table(data: bytes, columns: Sequence[str]) -> pa.Table:
    with pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True, read_dictionary=["source"]) as file:
        return file.read(columns=["time", *columns, "known_at", "source"], use_threads=False)


def _part_rows(data: bytes, columns: Sequence[str], path: str) -> Rows:
    """The rows of a part, whose content is what its name says."""
    if _digest(data) != path.rpartition("/")[2].split(".")[1]:
        raise ValueError("its content is not what its name says")
    return decode_part(data, width=len(columns))


def _rows_of(table: pa.Table, columns: Sequence[str]) -> Rows:
    source = _whole(table.column("source"))
    return Rows(
        time=_numbers(table.column("time"), np.int64),
        values=tuple(_numbers(table.column(name), np.float64) for name in columns),
        known_at=_numbers(table.column("known_at"), np.int64),
        source=_numbers(source.indices, np.int32),
        source_names=tuple(source.dictionary.to_pylist()),
    )


def _whole(column: Any) -> Any:
    """One array of a column that is complete."""
    if column.null_count:
        raise ValueError("missing values where none can be")
    return column.unify_dictionaries().combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _numbers(column: Any, kind: type[_Number]) -> NDArray[_Number]:
    """The memory of a column itself: ``to_numpy`` imports pandas, which costs a short-lived process half a second."""
    array = _whole(column) if isinstance(column, pa.ChunkedArray) else column
    if array.type != pa.from_numpy_dtype(kind):
        raise ValueError(f"a column of type {array.type} where {kind.__name__} is written")
    width = np.dtype(kind).itemsize
    return np.frombuffer(array.buffers()[1], dtype=kind, count=len(array), offset=array.offset * width)


def _damaged(path: str, shown: str, detail: str) -> LakeError:
    symbol = path.split("/")[-2]
    return LakeError(
        f"{shown} is damaged ({detail})",
        why="reading around it would train and trade on a history with silent holes",
        remedy=f"restore it from a backup, or move it away and backfill {symbol} for {month_of(path)}",
    )


def write_months(
    storage: Storage, files: Sequence[MonthFile], columns: Sequence[str], *, held: Held
) -> list[StoredFile]:
    """Store all of these, oldest first; whatever fails, every file is whole and no row that was there is lost."""
    contents = _encoded(files, columns)
    named = [
        (_name(file, content, replaces=storage.replaces), content)
        for file, content in zip(files, contents, strict=True)
    ]
    return storage.write(named, held=held)


def _name(file: MonthFile, content: memoryview, *, replaces: bool) -> str:
    if file.whole and replaces:
        return f"{file.folder}/{file.month}{_SUFFIX}"
    return f"{file.folder}/{file.month}.{_digest(content)}{_SUFFIX if file.whole else _PART}"


def _digest(content: bytes | memoryview) -> str:
    return blake2b(content, digest_size=8).hexdigest()


def _encoded(files: Sequence[MonthFile], columns: Sequence[str]) -> list[memoryview]:
    if len(files) == 1:
        return [_encode(files[0], columns)]
    # Compression is most of the work and leaves Python alone, so months are encoded side by side.
    with ThreadPoolExecutor(_ENCODERS) as pool:
        return list(pool.map(lambda file: _encode(file, columns), files))


def _encode(file: MonthFile, columns: Sequence[str]) -> memoryview:
    if not file.whole:
        return memoryview(encode_part(file.rows))
    rows = file.rows
    source = pa.DictionaryArray.from_arrays(_column(rows.source, pa.int32()), _strings(rows.source_names))
    numbers = (_column(values, pa.float64()) for values in rows.values)
    table = pa.Table.from_arrays(
        [_column(rows.time, pa.int64()), *numbers, _column(rows.known_at, pa.int64()), source],
        names=["time", *columns, "known_at", "source"],
    )
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        compression="zstd",
        compression_level=1,
        use_dictionary=["source"],
        column_encoding={"time": "DELTA_BINARY_PACKED", "known_at": "DELTA_BINARY_PACKED"},
        write_page_checksum=True,
        row_group_size=1 << 20,
        store_schema=False,
    )
    return memoryview(sink.getvalue())


def _column(values: NDArray[Any], kind: pa.DataType) -> pa.Array:
    """From the memory itself: ``pa.array`` imports pandas first."""
    return pa.Array.from_buffers(kind, values.size, [None, pa.py_buffer(np.ascontiguousarray(values))])


def _strings(names: Sequence[str]) -> pa.Array:
    encoded = [name.encode() for name in names]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    return pa.StringArray.from_buffers(len(encoded), pa.py_buffer(ends), pa.py_buffer(b"".join(encoded)))
