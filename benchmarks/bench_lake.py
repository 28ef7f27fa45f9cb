"""How fast is the lake, against a table in SQLite, against rewriting whole months, and against Parquet alone?

One JSON line a case. ``ratio`` above 1 means that ours is faster; ``floor_ratio`` is our time over that of the bare
Parquet calls, without months, locks, checks, revisions or flushes to the disk. SQLite runs on a slice and is scaled by
its rows. Medians of interleaved rounds, seeded; everything lies in one temporary folder.
"""

import json
import os
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from infra import lake_market, lake_storage
from infra.lake import Lake
from market.candles import Candles
from market.timeframe import Timeframe

FIVE = Timeframe.parse("5m")
SYMBOLS, DAYS, ROUNDS, PEER_ROWS = 33, 119, 5, 60_000
APPENDED, MONTH_BARS, CYCLE = 100, 20 * 288, 66  # two cycles of parts and folding
START = 1_735_689_600_000  # 2025-01-01
COLUMNS = ("open_time", "open", "high", "low", "close", "volume")


def walk(n: int, symbol: str, seed: int) -> Candles:
    """A seeded random walk with prices as venues round them."""
    rng = np.random.default_rng(seed)
    close = np.round(100 * np.exp(np.cumsum(rng.normal(0, 1e-3, n))), 4)
    opened = np.concatenate((close[:1], close[:-1]))
    return Candles(
        symbol=symbol,
        timeframe=FIVE,
        open_time=START + np.arange(n, dtype=np.int64) * FIVE.ms,
        open=opened,
        high=np.maximum(opened, close) + 0.01,
        low=np.minimum(opened, close) - 0.01,
        close=close,
        volume=np.round(rng.random(n) * 10, 3),
    )


def columns(bars: Candles) -> list[np.ndarray]:
    return [getattr(bars, name) for name in COLUMNS]


def timed(work, *arguments) -> float:
    """Seconds of one call."""
    began = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - began


def told(case: str, rounds: list[tuple[float, float, float]], peer: str, **more: object) -> None:
    mine, theirs, floor = (statistics.median(column) for column in zip(*rounds, strict=True))
    line = {"case": case, "ours_s": mine, "peer": peer, "peer_s": theirs, "ratio": theirs / mine}
    extra = {name: value / mine if name.endswith("_per_s") else value for name, value in more.items()}
    print(json.dumps({**line, "floor_s": floor, "floor_ratio": mine / floor, **extra}), flush=True)


def fresh(root: Path, name: str) -> Path:
    shutil.rmtree(root / name, ignore_errors=True)
    (root / name).mkdir()
    return root / name


def write_lake(folder: Path, panel: list[Candles]) -> None:
    lake = Lake(folder)
    for bars in panel:
        lake.append_candles(bars, source="bench")


def write_sqlite(path: Path, panel: list[Candles]) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(
            "CREATE TABLE bars (symbol, time, open, high, low, close, volume, PRIMARY KEY (symbol, time))"
        )
        for bars in panel:
            rows = zip(*(column.tolist() for column in columns(bars)), strict=True)
            connection.executemany("INSERT INTO bars VALUES (?, ?, ?, ?, ?, ?, ?)", ((bars.symbol, *r) for r in rows))
    connection.close()


def read_sqlite(path: Path, panel: list[Candles]) -> None:
    connection = sqlite3.connect(path)
    for bars in panel:
        found = connection.execute("SELECT * FROM bars WHERE symbol = ? ORDER BY time", (bars.symbol,)).fetchall()
        np.array([row[1:] for row in found])
    connection.close()


def write_parquet(folder: Path, panel: list[Candles]) -> None:
    for bars in panel:
        table = pa.table(dict(zip(COLUMNS, columns(bars), strict=True)))
        pq.write_table(table, folder / f"{bars.symbol}.parquet", compression="zstd", use_dictionary=False)


def read_parquet(folder: Path, panel: list[Candles]) -> None:
    for bars in panel:
        table = pq.read_table(folder / f"{bars.symbol}.parquet", use_threads=False)
        [table.column(name).to_numpy() for name in COLUMNS]


def bulk(root: Path) -> None:
    """Write and read 33 symbols of 119 days."""
    panel = [walk(DAYS * 288, f"S{k}USDT", k) for k in range(SYMBOLS)]
    rows = sum(len(bars) for bars in panel)
    part = [bars.between(None, int(bars.open_time[PEER_ROWS // SYMBOLS])) for bars in panel]
    scale = rows / sum(len(bars) for bars in part)
    write_parquet(fresh(root, "parquet"), panel[:1])
    writes, reads, again = [], [], []
    for _ in range(ROUNDS):
        ours, theirs, floor = fresh(root, "lake"), fresh(root, "sqlite") / "bars", fresh(root, "parquet")
        writes.append(
            (
                timed(write_lake, ours, panel),
                timed(write_sqlite, theirs, part) * scale,
                timed(write_parquet, floor, panel),
            )
        )
        lake = Lake(ours, cache_bytes=2**30)
        peer = timed(read_sqlite, theirs, part) * scale
        bare = timed(read_parquet, floor, panel)
        reads.append((timed(read_lake, lake, panel), peer, bare))
        again.append((timed(read_lake, lake, panel), peer, bare))
    told("write_33_symbols_119_days", writes, "sqlite executemany", rows=rows, rows_per_s=rows)
    told("read_33_symbols_119_days", reads, "sqlite select", rows=rows, rows_per_s=rows)
    told("read_them_again", again, "sqlite select", rows=rows, rows_per_s=rows)


def read_lake(lake: Lake, panel: list[Candles]) -> None:
    for bars in panel:
        lake.candles(bars.symbol, FIVE)


def bars_at(panel: list[Candles], k: int) -> list[Candles]:
    return [bars.between(int(bars.open_time[k]), int(bars.open_time[k + 1])) for bars in panel]


def one_bar(root: Path) -> None:
    """Append one bar to each of 100 symbols whose month holds 20 days: means, as every 32nd append folds the parts."""
    panel = [walk(MONTH_BARS + 200, f"A{k}USDT", k) for k in range(APPENDED)]
    history = [bars.between(None, int(bars.open_time[MONTH_BARS])) for bars in panel]
    ours, theirs, floor = (fresh(root, name) for name in ("ours", "theirs", "floor"))
    for folder in (ours, theirs):
        write_lake(folder, history)
    mine, old = Lake(ours), Lake(theirs)
    times: tuple[list[float], list[float], list[float]] = ([], [], [])
    written: tuple[list[int], list[int]] = ([], [])
    for k in range(MONTH_BARS, MONTH_BARS + CYCLE):
        now = bars_at(panel, k)
        with counting(written[0]):
            times[0].append(timed(append, mine, now))
        if k % 11 == 0:
            with patch.object(lake_market, "_LARGE_SHARE", 0.0), counting(written[1]):
                times[1].append(timed(append, old, now))
            times[2].append(timed(write_durably, floor, now))
    told(
        "append_one_bar_to_100_symbols",
        [tuple(map(statistics.mean, times))],
        "whole months rewritten",
        worst_s=max(times[0]),
        bytes_each=round(sum(written[0]) / CYCLE / APPENDED),
        peer_bytes_each=round(statistics.mean(written[1])),
    )


@contextmanager
def counting(sizes: list[int]) -> Iterator[None]:
    """Note the size of every file the lake writes."""
    write = lake_storage._write_durably  # noqa: SLF001  every byte to the disk goes through it

    def noted(path: Path, data: memoryview) -> None:
        sizes.append(len(data))
        write(path, data)

    with patch.object(lake_storage, "_write_durably", noted):
        yield


def append(lake: Lake, panel: list[Candles]) -> None:
    for bars in panel:
        lake.append_candles(bars, source="bench")


def write_durably(folder: Path, panel: list[Candles]) -> None:
    """One file of one row a symbol, flushed to the disk."""
    for bars in panel:
        table = pa.table(dict(zip(COLUMNS, columns(bars), strict=True)))
        with (folder / f"{bars.symbol}-{bars.open_time[0]}.parquet").open("wb") as out:
            pq.write_table(table, out, compression="zstd", use_dictionary=False)
            out.flush()
            os.fsync(out.fileno())


def main() -> None:
    """All cases."""
    with tempfile.TemporaryDirectory() as folder:
        bulk(Path(folder))
        one_bar(Path(folder))


if __name__ == "__main__":
    main()
