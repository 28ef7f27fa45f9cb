"""The lake in an object store: what fails there, who waits for whom, and what its address may say."""

import os
import signal
import threading

import pytest
from sqlalchemy import text

from infra.bootstrap import open_app
from infra.errors import LakeError
from infra.lake import Lake
from infra.lake_database_lock import DatabaseLocks
from infra.lake_files import data_files
from infra.lake_object_store import ObjectStorage
from infra.lake_storage import open_storage
from tests.infra.lake_data import FIVE, JANUARY_31, bar, same, walk

pytest_plugins = ["tests.infra.lake_places"]
pytestmark = pytest.mark.integration

_BTC = "candles_5m/BTCUSDT"
_WRITER = """
import sys
from sqlalchemy import create_engine
from infra.lake import Lake
from infra.lake_database_lock import DatabaseLocks
from tests.infra.lake_data import FIVE, JANUARY_31, bar

url, place, first, step, symbol = sys.argv[1:]
lake = Lake(place, locks=DatabaseLocks(create_engine(url)))
for k in range(int(first), 24, int(step)):
    lake.append_candles(bar(JANUARY_31 + k * FIVE.ms, 1.0 + k, symbol=symbol), source=first)
"""


@pytest.fixture
def bucket(object_server):
    """An empty place on the server."""
    return object_server.new_place()


def database(engine):
    """The address of the test's database, for another process."""
    return engine.url.render_as_string(hide_password=False)


@pytest.mark.parametrize("status", ["403 Forbidden", "500 Internal Server Error", "503 Slow Down"])
def test_a_refused_put_stores_nothing_half_and_the_rerun_completes(bucket, object_server, open_lake, status):
    """The second of two months is refused: LakeError with the reason, whole files only; running again ends right."""
    lake = open_lake(bucket)
    lake.append_candles(walk(50), source="a")
    puts = []

    def refuse(method, path):
        if method != "PUT" or ".parquet" not in path:
            return None
        puts.append(path)
        return status if "/2025-02." in path else None

    object_server.refuse = refuse
    with pytest.raises(LakeError, match=r"cannot write s3://lake-\d+/home/candles_5m/BTCUSDT .*check the bucket"):
        lake.append_candles(walk(2000), source="a")
    object_server.refuse = lambda _method, _path: None
    assert {path.rpartition("/")[2][:7] for path in puts} == {"2025-01", "2025-02"}
    between = open_lake(bucket).candles("BTCUSDT", FIVE)
    assert same(between, walk(2000).between(None, int(between.open_time[-1]) + 1))
    assert {50, 288} >= {len(between)}
    assert open_lake(bucket).append_candles(walk(2000), source="a") == 2000 - len(between)
    assert same(open_lake(bucket).candles("BTCUSDT", FIVE), walk(2000))


def test_a_refused_delete_is_told_and_changes_no_answer(bucket, object_server, open_lake):
    """Parts that cannot be removed after folding stay, doubled and dropped; the next folding clears up."""
    lake = open_lake(bucket)
    lake.append_candles(walk(50), source="a")
    lake.append_candles(walk(55), source="a")
    object_server.refuse = lambda method, _path: "403 Forbidden" if method == "DELETE" else None
    with pytest.raises(LakeError, match="cannot write"):
        lake.compact()
    assert same(open_lake(bucket).candles("BTCUSDT", FIVE), walk(55))
    object_server.refuse = lambda _method, _path: None
    assert open_lake(bucket).compact().files_after == 1
    assert same(open_lake(bucket).candles("BTCUSDT", FIVE), walk(55))


def test_a_server_that_cannot_be_read_is_no_empty_lake(bucket, object_server, open_lake):
    """Every reading is refused, and says where."""
    open_lake(bucket).append_candles(walk(5), source="a")
    object_server.refuse = lambda _method, _path: "403 Forbidden"
    for attempt in (
        lambda lake: lake.candles("BTCUSDT", FIVE),
        lambda lake: lake.watermark("BTCUSDT", FIVE),
        lambda lake: lake.symbols(FIVE),
        lambda lake: lake.holdings(),
    ):
        with pytest.raises(LakeError, match=r"cannot read s3://lake-\d+/home"):
            attempt(open_lake(bucket))


def test_a_bucket_that_is_not_there_is_no_empty_lake(bucket, object_server, open_lake):
    """Deleted midway, it would list like an empty one."""
    lake = open_lake(bucket)
    lake.append_candles(walk(5), source="a")
    name = bucket.split("/")[2]
    object_server.filesystem().delete_dir(name)
    with pytest.raises(LakeError, match=f"there is no bucket {name}"):
        lake.candles("BTCUSDT", FIVE)
    with pytest.raises(LakeError, match=f"there is no bucket {name}|does not exist"):
        lake.append_candles(walk(9), source="a")


def test_a_server_that_is_gone_or_silent_is_given_up(object_server, engine):
    """Connections refused and never answered both end in a refusal, soon."""
    with pytest.raises(OSError, match="ould not connect"):
        ObjectStorage("s3://lake/x?endpoint_override=127.0.0.1:9&scheme=http&region=us-east-1", locks=None).folders("")
    release = threading.Event()
    object_server.refuse = lambda _method, _path: release.wait(60) and None
    with pytest.raises(OSError, match="Timeout"):
        ObjectStorage(object_server.address("lake"), locks=None, timeout_s=1).folders("")
    release.set()


def test_a_signal_during_a_put_leaves_the_whole_object(bucket, object_server, open_lake):
    """Ctrl-C while the bytes are on their way: the object is whole, and its lock is free again."""
    lake = open_lake(bucket)
    lake.append_candles(walk(50), source="a")

    def interrupt(method, path):
        if method == "PUT" and ".rows" in path:
            os.kill(os.getpid(), signal.SIGINT)

    object_server.refuse = interrupt
    with pytest.raises(KeyboardInterrupt):
        lake.append_candles(walk(55), source="a")
    object_server.refuse = lambda _method, _path: None
    again = open_lake(bucket, lock_timeout_s=5)
    assert same(again.candles("BTCUSDT", FIVE), walk(55))
    assert again.append_candles(walk(56), source="a") == 1


def test_processes_at_once_lose_and_double_nothing(bucket, engine, run_python, open_lake):
    """Odd and even bars of one market and all of another, each from a process of its own: all are there, each once."""
    jobs = ((0, 2, "BTCUSDT"), (1, 2, "BTCUSDT"), (0, 1, "ETHUSDT"))
    for writer in [run_python(_WRITER, database(engine), bucket, *job) for job in jobs]:
        _, error = writer.communicate(timeout=120)
        assert writer.returncode == 0, error
    lake = open_lake(bucket)
    for symbol in ("BTCUSDT", "ETHUSDT"):
        assert lake.candles(symbol, FIVE).close.tolist() == [1.0 + k for k in range(24)]
        assert len(lake.versions("candles_5m", symbol)) == 24


def test_waiting_too_long_names_the_holder(bucket, engine, open_lake):
    """The message says which process, of which machine; another market is free."""
    lake = open_lake(bucket, lock_timeout_s=0.1)
    with (
        lake._storage.lock(_BTC, timeout_s=1),
        pytest.raises(LakeError, match=rf"BTCUSDT is locked by process {os.getpid()} on \S+ \(waited 0.1 s\)"),
    ):
        lake.append_candles(walk(9), source="a")
    with lake._storage.lock(_BTC, timeout_s=1):
        assert lake.append_candles(walk(5, symbol="ETHUSDT"), source="a") == 5
    assert lake.append_candles(walk(9), source="a") == 9
    with engine.connect() as connection:
        held = connection.scalar(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"))
        assert (held, connection.scalar(text("SHOW lock_timeout"))) == (0, "0")


def test_a_lost_lock_is_seen_right_before_the_rows_would_appear(bucket, engine, object_server, open_lake):
    """The connection that held it is ended meanwhile: refused, nothing stored, and the next append works."""
    lake = open_lake(bucket)
    lake.append_candles(walk(50), source="a")
    end = text("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
    with lake._storage.lock("other", timeout_s=1) as held:
        with engine.connect() as connection:
            assert connection.scalar(end)
        with pytest.raises(LakeError, match=r"the lock of s3://\S+/other was lost before these rows were stored"):
            lake._storage.write([(f"{_BTC}/2025-01.0123456789abcdef.parquet", memoryview(b"x"))], held=held)
    assert same(open_lake(bucket).candles("BTCUSDT", FIVE), walk(50))
    assert lake.append_candles(walk(60), source="a") == 10


def test_the_lock_of_a_killed_process_is_free(bucket, engine, run_python, open_lake):
    """The database notices that its client died."""
    script = """
        import sys
        from sqlalchemy import create_engine
        from infra.lake_database_lock import DatabaseLocks
        with DatabaseLocks(create_engine(sys.argv[1])).hold(sys.argv[2], timeout_s=5):
            print("held", flush=True)
            sys.stdin.readline()
    """
    name = f"lake {open_lake(bucket)._storage.shown(_BTC)}"
    holder = run_python("\n".join(line[8:] for line in script.splitlines()), database(engine), name)
    assert holder.stdout.readline() == "held\n"
    holder.kill()
    assert open_lake(bucket, lock_timeout_s=10).append_candles(walk(5), source="a") == 5


def test_without_locks_a_bucket_is_read_but_not_written(bucket, open_lake):
    """A lake opened without a database can look."""
    open_lake(bucket).append_candles(walk(5), source="a")
    lake = Lake(bucket)
    assert len(lake.candles("BTCUSDT", FIVE)) == 5
    with pytest.raises(LakeError, match=r"cannot be locked.*locks of the home's database"):
        lake.append_candles(walk(9), source="a")


def test_a_late_upload_of_a_writer_that_lost_its_lock_overwrites_nothing(bucket, open_lake):
    """What a stalled writer folded before others wrote on appears after all: every row of both is there, once."""
    lake = open_lake(bucket)
    for n in (50, 52):
        lake.append_candles(walk(n), source="a")
    storage = open_storage(bucket, locks=None)
    lake.compact()
    (stale,) = data_files(storage, _BTC)
    (content,) = storage.read([stale.path])
    lake.append_candles(walk(60), source="a")
    lake.append_candles(bar(JANUARY_31, 5.0), source="a", known_at_ms=JANUARY_31 * 2)
    lake.compact()
    before = lake.versions("candles_5m", "BTCUSDT")
    storage.write([(stale.path, memoryview(content))], held=lambda: None)
    after = open_lake(bucket).versions("candles_5m", "BTCUSDT")
    assert (after.time.tolist(), after.known_at.tolist()) == (before.time.tolist(), before.known_at.tolist())
    assert open_lake(bucket).compact().files_after == 1


def test_a_finished_file_is_fetched_once(bucket, object_server, open_lake):
    """Its name says what it holds, so a worker that reads every bar asks only which files there are."""
    open_lake(bucket).append_candles(walk(2000), source="a")
    lake = open_lake(bucket)
    lake.candles("BTCUSDT", FIVE)
    object_server.calls.clear()
    lake.candles("BTCUSDT", FIVE)
    assert [method for method, _ in object_server.calls] == ["GET"]
    lake.append_candles(walk(2001), source="a")
    object_server.calls.clear()
    assert len(lake.candles("BTCUSDT", FIVE)) == 2001
    assert len(object_server.calls) == 1, "what one wrote oneself is known"


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("s3://key:secret@bucket/x", "holds credentials"),
        ("s3://bucket/x?access_key=secret", "has options other than"),
        ("s3:///x", "names no bucket"),
        ("gs://bucket/x", "does not begin with s3://"),
        ("s3://bucket/x#secret", "has a fragment"),
    ],
)
def test_an_address_with_keys_or_of_another_sort_is_refused_without_repeating_it(address, what):
    """Keys belong in the environment, and never into a message."""
    with pytest.raises(LakeError, match=what) as refused:
        Lake(address)
    assert "secret@" not in str(refused.value)
    assert "=secret" not in str(refused.value)
    assert "#secret" not in str(refused.value)


def test_the_setting_chooses_the_bucket_and_the_database_lends_its_locks(settings, engine, bucket):
    """``data.lake_url`` is all it takes."""
    with open_app(settings.home, environ={"LOCKSTEP_DATA__LAKE_URL": bucket}) as app:
        assert app.lake.append_candles(walk(5), source="a") == 5
        assert app.lake.place == bucket.partition("?")[0]
    assert isinstance(Lake(bucket, locks=DatabaseLocks(engine))._storage, ObjectStorage)
    assert len(Lake(bucket).candles("BTCUSDT", FIVE)) == 5
