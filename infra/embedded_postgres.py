"""Who starts and who stops the PostgreSQL that lives in the home?

Whoever comes first starts it, whoever leaves last stops it. Each user holds a shared lock on ``postgres/users`` which
the kernel drops when its process dies, however it dies; so after ``kill -9`` the server is found and reused by the next
process, and that one stops it. Starting and stopping take turns on ``postgres/turn``. There is no list of process ids.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from infra.errors import DatabaseError
from infra.postgres_cluster import Cluster

__all__ = ["running_server", "stop_unused_server"]

_TURN_TIMEOUT_S = 240.0


@contextlib.contextmanager
def running_server(home: Path) -> Iterator[Path]:
    """Directory of the running server's Unix socket, for as long as the block lasts.

    Raises:
        DatabaseError: it cannot be made or started (disk full, permissions, no programs for this system).
    """
    cluster = _cluster(home)
    with _opened(cluster, "users") as users:
        with _turn(cluster):
            fcntl.flock(users, fcntl.LOCK_SH)
            try:
                cluster.make()
                cluster.start()
                socket_dir = cluster.socket_dir()
            except BaseException as error:
                _stop_if_last(cluster, users)
                if isinstance(error, OSError):
                    raise _unusable(cluster.root, error) from None
                raise
        if socket_dir is None:
            raise DatabaseError(
                f"the embedded PostgreSQL in {cluster.root} stopped at once",
                why="it started and then did not answer",
                remedy=f"read {cluster.log}",
            )
        try:
            yield socket_dir
        finally:
            with _turn(cluster):
                _stop_if_last(cluster, users)


def stop_unused_server(home: Path) -> bool:
    """Stop a server that a killed process left behind; False where there is none or somebody uses it."""
    if not (home / "postgres" / "data").exists():
        return False
    cluster = _cluster(home)
    with _opened(cluster, "users") as users, _turn(cluster):
        return cluster.socket_dir() is not None and _stop_if_last(cluster, users)


def _stop_if_last(cluster: Cluster, users: int) -> bool:
    """Stop the server where nobody else holds the users' lock; either way let go of it."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        cluster.stop()
        return True
    finally:
        fcntl.flock(users, fcntl.LOCK_UN)


def _cluster(home: Path) -> Cluster:
    root = home / "postgres"
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(root, error) from None
    return Cluster(root=root.resolve())


@contextlib.contextmanager
def _opened(cluster: Cluster, name: str) -> Iterator[int]:
    path = cluster.root / name
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unusable(path, error) from None
    try:
        yield handle
    finally:
        os.close(handle)


@contextlib.contextmanager
def _turn(cluster: Cluster) -> Iterator[None]:
    """Only one process at a time starts or stops the server."""
    deadline = time.monotonic() + _TURN_TIMEOUT_S
    with _opened(cluster, "turn") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise DatabaseError(
                        f"waited {_TURN_TIMEOUT_S:.0f} s for {cluster.root / 'turn'}",
                        why="another process is starting or stopping the embedded PostgreSQL and does not finish",
                        remedy="find that process and end it",
                    ) from None
                time.sleep(0.02)
        yield


def _unusable(path: Path, error: OSError) -> DatabaseError:
    return DatabaseError(
        f"{path} cannot be used",
        why=error.strerror or str(error),
        remedy="free space, correct its owner, or use another home",
    )
