"""The embedded server under the accidents that happen to a process: killed, doubled, interrupted, out of room."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from infra.database import open_database
from infra.embedded_postgres import running_server, stop_unused_server
from infra.errors import DatabaseError
from infra.heartbeats import beat, read_heartbeats
from infra.settings import Settings, load_settings

pytestmark = pytest.mark.integration

_HOLD = """
import sys
from pathlib import Path
from infra.embedded_postgres import running_server
if len(sys.argv) > 2:
    import os  # the interpreter itself may lie where the user cannot read, so change only now
    os.setgroups([]), os.setgid(int(sys.argv[2])), os.setuid(int(sys.argv[2]))
with running_server(Path(sys.argv[1])):
    print("up", flush=True)
    sys.stdin.readline()
"""
_OPEN = """
import sys
from pathlib import Path
from sqlalchemy import text
from infra.database import open_database
from infra.settings import Settings, load_settings
with open_database(load_settings(Path(sys.argv[1]), environ={})) as engine, engine.connect() as connection:
    print(connection.scalar(text("SELECT count(*) FROM alembic_version")), flush=True)
    sys.stdin.readline()
"""


def _server_pid(home: Path) -> int:
    return int((home / "postgres/data/postmaster.pid").read_text().splitlines()[0])


def _runs(home: Path) -> bool:
    return (home / "postgres/data/postmaster.pid").exists()


def test_the_server_runs_while_used_and_not_longer(tmp_path):
    """It answers inside the block and is gone after it."""
    with running_server(tmp_path) as socket_dir, psycopg.connect(f"host={socket_dir} user=postgres") as connection:
        assert connection.execute("SHOW server_version_num").fetchone()[0].startswith("18")
        assert connection.execute("SHOW fsync").fetchone()[0] == "on"
        assert connection.execute("SHOW listen_addresses").fetchone()[0] == ""
    assert not _runs(tmp_path)


def test_nobody_else_may_open_its_socket(tmp_path):
    """The data directory and the socket are closed to other accounts, because the server asks for no password."""
    with running_server(tmp_path) as socket_dir:
        assert socket_dir.stat().st_mode & 0o077 == 0
        assert (socket_dir / ".s.PGSQL.5432").stat().st_mode & 0o077 == 0


def test_ctrl_c_in_the_terminal_does_not_reach_it(tmp_path, run_python):
    """The server is in another session than its process and survives a Ctrl-C there while others use it."""
    first = run_python(_HOLD, tmp_path)
    assert first.stdout.readline() == "up\n"
    with running_server(tmp_path):
        server = _server_pid(tmp_path)
        assert os.getsid(server) not in {os.getsid(first.pid), os.getsid(0)}
        os.killpg(first.pid, signal.SIGINT)
        first.wait(30)
        assert _server_pid(tmp_path) == server
        os.kill(server, 0)
    assert not _runs(tmp_path)


def test_a_half_made_cluster_is_made_again(tmp_path, run_python):
    """A process killed while it makes the cluster leaves nothing that the next one takes for whole."""
    first = run_python(_HOLD, tmp_path)
    deadline = time.monotonic() + 30
    while not list(tmp_path.glob("postgres/making-*/PG_VERSION")):
        assert time.monotonic() < deadline
        time.sleep(0.002)
    first.kill()
    first.wait()
    assert not (tmp_path / "postgres/data").exists()
    with running_server(tmp_path) as socket_dir, psycopg.connect(f"host={socket_dir} user=postgres") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert not list(tmp_path.glob("postgres/making-*"))


def test_after_kill_9_the_server_is_reused_and_then_stopped(tmp_path, run_python):
    """The server that outlived its process is the one the next process gets, and that one stops it."""
    first = run_python(_HOLD, tmp_path)
    assert first.stdout.readline() == "up\n"
    server = _server_pid(tmp_path)
    first.kill()
    first.wait()
    os.kill(server, 0)
    with running_server(tmp_path):
        assert _server_pid(tmp_path) == server
    assert not _runs(tmp_path)


def test_a_leftover_server_can_be_stopped_and_a_used_one_cannot(tmp_path, run_python):
    """``stop_unused_server`` ends what a killed process left and leaves a server in use alone."""
    assert not stop_unused_server(tmp_path)
    first = run_python(_HOLD, tmp_path)
    assert first.stdout.readline() == "up\n"
    assert not stop_unused_server(tmp_path)
    first.kill()
    first.wait()
    assert stop_unused_server(tmp_path)
    assert not _runs(tmp_path)


def test_two_processes_that_open_a_new_home_at_once_share_one_server(tmp_path, run_python):
    """Both get a migrated database; the server stays for the slower one and stops after it."""
    both = [run_python(_OPEN, tmp_path) for _ in range(2)]
    assert [process.stdout.readline() for process in both] == ["1\n", "1\n"]
    server = _server_pid(tmp_path)
    both[0].communicate("\n", timeout=30)
    os.kill(server, 0)
    both[1].communicate("\n", timeout=30)
    assert not _runs(tmp_path)
    assert [process.returncode for process in both] == [0, 0]


@pytest.mark.parametrize("name", ["long" * 40, "with space, $HOME and 'quote'"])
def test_a_home_with_a_long_or_odd_name_works(tmp_path, name):
    """A path that no socket or shell could hold still gets a server."""
    home = tmp_path / name
    with open_database(load_settings(home, environ={})) as engine, engine.connect() as connection:
        socket_dir = Path(engine.url.query["host"])
        assert connection.dialect.name == "postgresql"
        assert socket_dir.stat().st_mode & 0o077 == 0
    assert not _runs(home)
    assert not socket_dir.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_an_ordinary_user_can_run_it(run_python):
    """Without root the server runs as the user, with no account of its own."""
    nobody = pwd.getpwnam("nobody").pw_uid
    home = Path("/tmp") / f"lockstep-test-{os.getpid()}"  # every directory above must be open to the user
    home.mkdir()
    os.chown(home, nobody, -1)
    try:
        process = run_python(_HOLD, home, nobody)
        assert process.stdout.readline() == "up\n", process.stderr.read()
        assert Path(f"/proc/{_server_pid(home)}").stat().st_uid == nobody
        process.communicate("\n", timeout=30)
        assert not _runs(home)
    finally:
        shutil.rmtree(home)


def test_a_process_number_that_was_reused_does_not_block_the_start(tmp_path):
    """After a reboot postmaster.pid may name some other program of the same account."""
    with running_server(tmp_path):
        pass
    data = tmp_path / "postgres/data"
    owner = data.stat().st_uid
    other = subprocess.Popen(["sleep", "60"], user=owner if os.geteuid() == 0 else None)
    try:
        stale = f"{other.pid}\n{data}\n1700000000\n5432\n{data}\n\n  123 0\nready\n"
        (data / "postmaster.pid").write_text(stale)
        os.chown(data / "postmaster.pid", owner, -1)
        with running_server(tmp_path) as socket_dir, psycopg.connect(f"host={socket_dir} user=postgres") as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
            assert _server_pid(tmp_path) != other.pid
        (data / "postmaster.pid").write_text("")
        with running_server(tmp_path):
            assert _server_pid(tmp_path) > 0
    finally:
        other.kill()
        other.wait()


def test_data_of_another_version_are_refused(tmp_path):
    """A cluster made by another PostgreSQL is named with both versions and left untouched."""
    data = tmp_path / "postgres/data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("16\n")
    with (
        pytest.raises(DatabaseError, match=r"made by version 16.*brings version 18.*What to do: dump it"),
        running_server(tmp_path),
    ):
        pass
    assert (data / "PG_VERSION").read_text() == "16\n"


def test_a_home_that_cannot_be_written_is_one_line(tmp_path):
    """A file where the directory should be is told as such."""
    (tmp_path / "postgres").write_text("")
    with (
        pytest.raises(DatabaseError, match=r"postgres cannot be used: File exists\. What to do"),
        running_server(tmp_path),
    ):
        pass


@pytest.fixture
def small_home(tmp_path, request):
    """A home on a disk of 120 MB, or with the mount options a test asks for."""
    if os.geteuid() != 0 or sys.platform != "linux":
        pytest.skip("needs root to mount a small disk")
    home = tmp_path / "small"
    home.mkdir()
    options = getattr(request, "param", "size=120m")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", home], check=False).returncode:
        pytest.skip("mounting is not permitted here")
    yield home
    subprocess.run(["umount", home], check=True)


@pytest.mark.parametrize("small_home", ["size=120m,nr_inodes=4"], indirect=True)
def test_a_disk_without_room_for_one_more_file_is_one_line(small_home):
    """What fails outside PostgreSQL's own programs is told in the same way."""
    told = r"postgres cannot be used: No space left on device\. .*free space"
    with pytest.raises(DatabaseError, match=told), running_server(small_home):
        pytest.fail("started")


def _fill(home: Path, *, leave: int) -> Path:
    filler = home / "filler"
    filler.write_bytes(b"x" * (shutil.disk_usage(home).free - leave))
    return filler


def test_a_disk_too_small_for_the_cluster_is_one_line(small_home):
    """The error names place and remedy, and nothing half-made stays."""
    _fill(small_home, leave=8_000_000)
    with (
        pytest.raises(DatabaseError, match=r"(?i)no space left on device.*free space") as caught,
        running_server(small_home),
    ):
        pytest.fail("started")
    assert "\n" not in str(caught.value)
    assert [path.name for path in (small_home / "postgres").iterdir() if path.is_dir()] == []


@pytest.mark.parametrize("leave", [0, 2_000_000])
def test_a_disk_that_filled_up_is_one_line_and_heals(small_home, leave):
    """A disk that is full at the start, or fills up in use, is told with the remedy; with space it opens again."""
    settings = load_settings(small_home, environ={})
    with open_database(settings) as engine:
        beat(engine, "worker", {"bars": 3})
    filler = _fill(small_home, leave=leave)
    with pytest.raises(DatabaseError, match=r"(?i)free space") as caught:
        _write_forever(settings)
    assert "\n" not in str(caught.value)
    filler.unlink()
    with open_database(settings) as engine:
        assert read_heartbeats(engine)["worker"].detail["bars"] is not None


def _write_forever(settings: Settings) -> None:
    with open_database(settings) as engine:
        for _ in range(1000):
            beat(engine, "worker", {"bars": os.urandom(20_000).hex()})
