"""The lake when processes die, disks fill, files rot and writers meet."""

import errno
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from infra.errors import LakeError
from infra.lake import Lake
from infra.lake_cache import RowsCache
from infra.lake_files import CANDLE_COLUMNS, data_files
from infra.lake_lock import write_lock
from infra.lake_storage import LocalStorage
from tests.infra.lake_data import FIVE, JANUARY_31, bar, same, walk

ROOT = Path(__file__).resolve().parents[2]
PREAMBLE = """
import os, sys, time
from infra.lake import Lake
from tests.infra.lake_data import FIVE, JANUARY_31, bar, walk
"""


def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    """A real second process running ``script`` with this tree on its path."""
    return subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + textwrap.dedent(script), *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_processes_at_once_lose_and_double_nothing(tmp_path):
    """Odd and even bars of one market and all of another, one by one while a fourth folds: all are there, each once."""
    script = """
        lake = Lake(sys.argv[1])
        for k in range(int(sys.argv[2]), 60, int(sys.argv[3])):
            lake.append_candles(bar(JANUARY_31 + k * FIVE.ms, 1.0 + k, symbol=sys.argv[4]), source=sys.argv[2])
    """
    jobs = (("0", "2", "BTCUSDT"), ("1", "2", "BTCUSDT"), ("0", "1", "ETHUSDT"))
    writers = [start(script, str(tmp_path), *job) for job in jobs]
    while any(writer.poll() is None for writer in writers):
        Lake(tmp_path).compact()
    for writer in writers:
        _, error = writer.communicate(timeout=120)
        assert writer.returncode == 0, error
    for symbol in ("BTCUSDT", "ETHUSDT"):
        assert Lake(tmp_path).candles(symbol, FIVE).close.tolist() == [1.0 + k for k in range(60)]
        assert len(Lake(tmp_path).versions("candles_5m", symbol)) == 60


def test_a_writer_killed_before_its_rename_leaves_the_old_rows_whole(tmp_path):
    """SIGKILL between write and rename: readers see the old file, the next writer clears the leftover and goes on."""
    lake = Lake(tmp_path)
    lake.append_candles(walk(50), source="a")
    script = """
        os.replace = lambda *_: (print("staged", flush=True), time.sleep(600))
        Lake(sys.argv[1]).append_candles(walk(100), source="a")
    """
    writer = start(script, str(tmp_path))
    assert writer.stdout is not None
    assert writer.stdout.readline() == "staged\n"
    writer.send_signal(signal.SIGKILL)
    writer.communicate(timeout=30)
    folder = tmp_path / "candles_5m" / "BTCUSDT"
    assert list(folder.glob(".*.tmp"))
    assert same(Lake(tmp_path).candles("BTCUSDT", FIVE), walk(50))
    assert Lake(tmp_path, lock_timeout_s=1).append_candles(walk(100), source="a") == 50
    assert same(Lake(tmp_path).candles("BTCUSDT", FIVE), walk(100))
    assert not list(folder.glob(".*.tmp"))


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_full_disk_is_refused_and_leaves_nothing_half_written(tmp_path, monkeypatch, call):
    """ENOSPC from any of the three system calls: LakeError, the old rows whole, no leftover, and a later try works."""
    lake = Lake(tmp_path)
    lake.append_candles(walk(50), source="a")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(LakeError, match=r"No space left on device.*free space"):
            lake.append_candles(walk(2000), source="a")
    assert same(Lake(tmp_path).candles("BTCUSDT", FIVE), walk(50))
    assert not list((tmp_path / "candles_5m" / "BTCUSDT").glob(".*.tmp"))
    lake.append_candles(walk(2000), source="a")
    assert same(Lake(tmp_path).candles("BTCUSDT", FIVE), walk(2000))


def test_a_real_write_limit_of_the_kernel_is_refused_too(tmp_path):
    """A process that may write no more than 4 kB a file fails in the middle of a real write, and nothing is changed."""
    Lake(tmp_path).append_candles(walk(50), source="a")
    script = """
        import resource, signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        try:
            Lake(sys.argv[1]).append_candles(walk(2000), source="a")
        except Exception as error:
            print(type(error).__name__, error)
    """
    out, error = start(script, str(tmp_path)).communicate(timeout=120)
    assert out.startswith("LakeError cannot write"), error
    assert same(Lake(tmp_path).candles("BTCUSDT", FIVE), walk(50))
    assert not list((tmp_path / "candles_5m" / "BTCUSDT").glob(".*.tmp"))


@pytest.mark.parametrize("damage", ["truncated", "empty", "garbage", "one byte"])
def test_a_damaged_file_is_refused_by_name(tmp_path, damage):
    """Cut, emptied, replaced, or one flipped byte: LakeError naming the file and the remedy, on read and write."""
    Lake(tmp_path).append_candles(walk(288), source="a")
    path = tmp_path / "candles_5m" / "BTCUSDT" / "2025-01.parquet"
    data = bytearray(path.read_bytes())
    data[200] ^= 0x10
    path.write_bytes({"truncated": bytes(data[:900]), "empty": b"", "garbage": b"x" * 900}.get(damage, bytes(data)))
    for attempt in (
        lambda: Lake(tmp_path).candles("BTCUSDT", FIVE),
        lambda: Lake(tmp_path).append_candles(bar(JANUARY_31, 5.0), source="a"),
    ):
        with pytest.raises(LakeError, match=r"2025-01\.parquet is damaged .*backfill BTCUSDT for 2025-01"):
            attempt()


def test_a_file_of_another_month_is_refused(tmp_path):
    """A file renamed by hand would shift history silently."""
    Lake(tmp_path).append_candles(walk(10), source="a")
    folder = tmp_path / "candles_5m" / "BTCUSDT"
    (folder / "2025-01.parquet").rename(folder / "2025-03.parquet")
    with pytest.raises(LakeError, match="of another month"):
        Lake(tmp_path).candles("BTCUSDT", FIVE)


def test_waiting_too_long_for_a_lock_says_for_whom(tmp_path):
    """The message names the process that holds the lock."""
    lake = Lake(tmp_path, lock_timeout_s=0.05)
    lake.append_candles(walk(5), source="a")
    folder = tmp_path / "candles_5m" / "BTCUSDT"
    with (
        write_lock(folder, timeout_s=1),
        pytest.raises(LakeError, match=rf"BTCUSDT is locked by process {os.getpid()} on \S+ \(waited 0.05 s\)"),
    ):
        lake.append_candles(walk(9), source="a")
    assert lake.append_candles(walk(5, symbol="ETHUSDT"), source="a") == 5


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    """The kernel releases what a killed writer held."""
    script = """
        from infra.lake_lock import write_lock
        from pathlib import Path
        with write_lock(Path(sys.argv[1]), timeout_s=5):
            print("held", flush=True)
            time.sleep(600)
    """
    holder = start(script, str(tmp_path))
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    holder.kill()
    holder.communicate(timeout=30)
    with write_lock(tmp_path, timeout_s=0.2):
        assert (tmp_path / ".lock").exists()


def test_an_unwritable_root_is_refused(tmp_path):
    """A file where the lake should be: LakeError, not a traceback."""
    (tmp_path / "lake").write_text("in the way")
    with pytest.raises(LakeError, match="cannot write"):
        Lake(tmp_path / "lake").append_candles(walk(5), source="a")


def test_the_memory_of_decoded_files_is_bounded(tmp_path):
    """With room for one month only, reading two keeps the newer and still answers both."""
    lake = Lake(tmp_path)
    lake.append_candles(walk(2000), source="a")
    storage = LocalStorage(tmp_path)
    january, february = data_files(storage, "candles_5m/BTCUSDT")
    cache = RowsCache(storage, 1990 * 60)
    (first,) = cache.read([january], CANDLE_COLUMNS)
    assert cache.read([january], CANDLE_COLUMNS)[0].time is first.time
    assert len(cache.read([february], CANDLE_COLUMNS)[0]) == 2000 - len(first)
    assert list(cache._entries) == [february.path]
