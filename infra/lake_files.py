"""How do rows become files that a crash cannot break?

One file per (kind, symbol, month): ``<root>/<kind>/<symbol>/<YYYY-MM>.parquet``, Parquet with zstd and page checksums.
A write is staged beside its target, flushed to the disk and renamed over it: a reader sees the old file or the new
one, never half of one. Whatever a killed writer left is ignored by readers and removed by the next writer. A file
that does not read back whole is refused by name; nothing is skipped and nothing is guessed.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from infra.errors import LakeError
from infra.lake_rows import Rows, empty_rows

__all__ = [
    "CANDLE_COLUMNS",
    "FUNDING_COLUMNS",
    "OPEN_INTEREST_COLUMNS",
    "MonthFile",
    "month_paths",
    "read_month",
    "remove_leftovers",
    "write_months",
]

CANDLE_COLUMNS = ("open", "high", "low", "close", "volume")
FUNDING_COLUMNS = ("rate",)
OPEN_INTEREST_COLUMNS = ("value",)

_SUFFIX = ".parquet"
_TEMPORARY = ".tmp"
_CHUNK = 1 << 22


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MonthFile:
    """The rows that one month's file is to hold."""

    path: Path
    rows: Rows


def month_paths(folder: Path, *, start_ms: int | None = None, end_ms: int | None = None) -> list[Path]:
    """The month files of one (kind, symbol) that can hold times in ``[start_ms, end_ms)``, oldest first."""
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208  names only, on a path taken every bar
    except FileNotFoundError:
        return []
    lo = "" if start_ms is None else str(np.datetime64(start_ms, "ms").astype("datetime64[M]"))
    hi = "~" if end_ms is None else str(np.datetime64(max(end_ms - 1, 0), "ms").astype("datetime64[M]"))
    kept = [name for name in names if name.endswith(_SUFFIX) and not name.startswith(".")]
    return [folder / name for name in kept if lo <= name.removesuffix(_SUFFIX) <= hi]


def read_month(path: Path, columns: Sequence[str]) -> Rows:
    """All rows of one file with these value columns; no rows where there is no file. ``LakeError`` if it is damaged."""
    try:
        with pq.ParquetFile(path, memory_map=True, page_checksum_verification=True, read_dictionary=["source"]) as file:
            table = file.read(columns=["time", *columns, "known_at", "source"], use_threads=False)
        rows = _rows_of(table, columns)
    except FileNotFoundError:
        return empty_rows(len(columns))
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise _damaged(path, " ".join(str(error).split())[:160]) from error
    step = np.diff(rows.time)
    month = str(rows.time[:1].astype("datetime64[ms]").astype("datetime64[M]")[0]) if len(rows) else ""
    if (step < 0).any() or ((step == 0) & (np.diff(rows.known_at) <= 0)).any() or month != path.stem:
        raise _damaged(path, "rows out of order or of another month")
    return rows


def _rows_of(table: pa.Table, columns: Sequence[str]) -> Rows:
    source = table.column("source").combine_chunks()
    if isinstance(source, pa.ChunkedArray):
        source = source.chunk(0)
    needed = [table.column(name) for name in ("time", *columns, "known_at")]
    if any(column.null_count for column in needed) or source.null_count:
        raise ValueError("missing values where none can be")
    return Rows(
        time=table.column("time").to_numpy().astype(np.int64, copy=False),
        values=tuple(table.column(name).to_numpy().astype(np.float64, copy=False) for name in columns),
        known_at=table.column("known_at").to_numpy().astype(np.int64, copy=False),
        source=source.indices.to_numpy(zero_copy_only=False).astype(np.int32, copy=False),
        source_names=tuple(source.dictionary.to_pylist()),
    )


def _damaged(path: Path, detail: str) -> LakeError:
    return LakeError(
        f"{path} is damaged ({detail})",
        why="reading around it would train and trade on a history with silent holes",
        remedy=f"restore it from a backup, or move it away and backfill {path.parent.name} for {path.stem}",
    )


def write_months(files: Sequence[MonthFile], columns: Sequence[str]) -> None:
    """Stage all files, then rename them into place, oldest first; on any failure before that nothing has changed."""
    staged: list[tuple[Path, Path]] = []
    try:
        for file in files:
            temporary = file.path.with_name(f".{file.path.name}.{os.getpid()}{_TEMPORARY}")
            staged.append((temporary, file.path))
            _write_durably(temporary, _encode(file.rows, columns))
        for temporary, path in staged:
            os.replace(temporary, path)  # noqa: PTH105  the system call by its name
        _flush_folder(files[0].path.parent)
    except OSError as error:
        for temporary, _ in staged:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
        raise LakeError(
            f"cannot write {files[0].path.parent} ({error.strerror or error})",
            why="every file there is still whole, but these rows may not be stored",
            remedy="free space or fix the permissions there, then run this again: what was stored is skipped",
        ) from error


def remove_leftovers(folder: Path) -> None:
    """Delete what a killed writer staged; only for the holder of the folder's write lock."""
    for entry in folder.glob(f".*{_TEMPORARY}"):
        entry.unlink(missing_ok=True)


def _encode(rows: Rows, columns: Sequence[str]) -> memoryview:
    source = pa.DictionaryArray.from_arrays(pa.array(rows.source), pa.array(rows.source_names, pa.string()))
    table = pa.table(
        {
            "time": rows.time,
            **dict(zip(columns, rows.values, strict=True)),
            "known_at": rows.known_at,
            "source": source,
        }
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
    )
    return memoryview(sink.getvalue())


def _write_durably(path: Path, data: memoryview) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        at = 0
        while at < len(data):
            at += os.write(handle, data[at : at + _CHUNK])
        os.fsync(handle)
    finally:
        os.close(handle)


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
