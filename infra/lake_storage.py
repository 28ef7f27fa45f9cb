"""Where do the lake's files lie, and what must such a place be able to do?

A local folder or an object store, behind one small protocol; everything above is the same code for both. Paths are
relative to the place, with ``/``. A file appears whole or not at all, and a writer holds the lock of its folder.
In a local folder the lock belongs to the kernel, so a writer that stalls can never write after losing it, and a
file may be replaced. An object store gives no such promise: there a file's name carries a digest of its content and
is never written with anything else (``replaces`` is False).
"""

import os
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from infra.errors import LakeError
from infra.lake_lock import write_lock

__all__ = ["Held", "LocalStorage", "Locks", "Storage", "StoredFile", "open_storage", "reading", "writing"]

_TEMPORARY = ".tmp"
_CHUNK = 1 << 22
_WRITERS = 8
_NO_FOLDER = ("no folder",)
_SETTLED_NS = 2_000_000_000  # longer than the steps in which file systems keep time

Held = Callable[[], None]
"""Raises ``LakeError`` if the lock is no longer held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """One file: its path, its size, and an identity that changes whenever the content under this path does."""

    path: str
    size_bytes: int
    identity: Hashable


class Locks(Protocol):
    """Locks by name that end with their holder."""

    def hold(self, name: str, *, timeout_s: float) -> AbstractContextManager[Held]:
        """Hold the lock while the block runs; ``LakeError`` naming the holder after ``timeout_s``."""
        ...


class Storage(Protocol):
    """A place that keeps files. What it refuses is an ``OSError``, a file that is gone ``FileNotFoundError``."""

    replaces: bool
    remedy: str

    def shown(self, path: str) -> str:
        """The path as a person would write it."""
        ...

    def folders(self, folder: str) -> list[str]:
        """Names of the folders directly inside, sorted; none where there is nothing."""
        ...

    def files(self, folder: str, wanted: Callable[[str], bool]) -> list[StoredFile]:
        """The files directly inside whose name is wanted, in no order; none where there is nothing."""
        ...

    def stamp(self, folder: str) -> Hashable | None:
        """What stays the same only as long as no file in the folder appears, goes or is replaced; None: cannot tell."""
        ...

    def files_besides(self, folder: str, names: AbstractSet[str]) -> tuple[list[StoredFile], AbstractSet[str]]:
        """The files directly inside but those of these names and hidden ones, and which of these names are gone."""
        ...

    def walk(self, folder: str) -> list[str]:
        """Paths of all files anywhere below, in no order."""
        ...

    def read(self, paths: Sequence[str]) -> list[bytes]:
        """The whole content of each."""
        ...

    def write(self, files: Sequence[tuple[str, memoryview]], *, held: Held) -> list[StoredFile]:
        """Store each of these atomically, durable when this returns; ``held`` is asked right before they appear."""
        ...

    def create(self, path: str, content: bytes, *, timeout_s: float) -> None:
        """Store this unless the path exists; of two at once one wins."""
        ...

    def remove(self, paths: Sequence[str]) -> None:
        """Delete these; what is gone already is no error."""
        ...

    def remove_leftovers(self, folder: str) -> None:
        """Delete what a killed writer left; only for the holder of the folder's lock."""
        ...

    def lock(self, folder: str, *, timeout_s: float) -> AbstractContextManager[Held]:
        """Be the only writer of this folder while the block runs."""
        ...


def open_storage(place: Path | str, *, locks: Locks | None) -> Storage:
    """The storage at a folder or at ``s3://bucket/prefix``; nothing is touched until it is used."""
    if isinstance(place, str) and "://" in place:
        from infra.lake_object_store import ObjectStorage

        return ObjectStorage(place, locks=locks)
    return LocalStorage(Path(place))


@contextmanager
def reading(storage: Storage, folder: str) -> Iterator[None]:
    """What the place refuses while it is read is a ``LakeError``; a file that vanished stays what it is."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise LakeError(
            f"cannot read {storage.shown(folder)} ({error.strerror or error})",
            why="what is stored there is unknown until it can be read",
            remedy=storage.remedy,
        ) from error


@contextmanager
def writing(storage: Storage, folder: str) -> Iterator[None]:
    """What the place refuses while it is written is a ``LakeError``."""
    try:
        yield
    except OSError as error:
        raise LakeError(
            f"cannot write {storage.shown(folder)} ({error.strerror or error})",
            why="every file there is whole, but these rows may not be stored",
            remedy=f"{storage.remedy}: what was stored is skipped",
        ) from error


class LocalStorage:
    """Files under one folder of this machine: staged beside their target, flushed, renamed over it."""

    replaces = True
    remedy = "free space or fix the permissions there, then run this again"

    def __init__(self, root: Path) -> None:
        self._root = root
        self._at = str(root)

    def shown(self, path: str) -> str:
        """The path in the file system."""
        return str(self._root / path)

    def folders(self, folder: str) -> list[str]:
        """Names of the folders directly inside, sorted."""
        try:
            with os.scandir(self._root / folder) as entries:
                return sorted(entry.name for entry in entries if entry.is_dir())
        except FileNotFoundError:
            return []

    def files(self, folder: str, wanted: Callable[[str], bool]) -> list[StoredFile]:
        """The files directly inside whose name is wanted; one that vanishes meanwhile is ``FileNotFoundError``."""
        try:
            names = os.listdir(f"{self._at}/{folder}")  # noqa: PTH208  names only, on a path taken every bar
        except FileNotFoundError:
            return []
        return [self._found(f"{folder}/{name}") for name in names if wanted(name)]

    def stamp(self, folder: str) -> Hashable | None:
        """The folder's own identity; a change of a moment ago might share its time with one that is yet to come."""
        try:
            found = os.stat(f"{self._at}/{folder}")  # noqa: PTH116  taken every bar
        except FileNotFoundError:
            return _NO_FOLDER
        settled = time.time_ns() - found.st_mtime_ns > _SETTLED_NS
        return (found.st_ino, found.st_mtime_ns) if settled else None

    def files_besides(self, folder: str, names: AbstractSet[str]) -> tuple[list[StoredFile], AbstractSet[str]]:
        """One listing, and a question for each of the others."""
        try:
            there = set(os.listdir(f"{self._at}/{folder}"))  # noqa: PTH208  taken every bar
        except FileNotFoundError:
            there = set()
        others = [name for name in there - names if not name.startswith(".")]
        return [self._found(f"{folder}/{name}") for name in others], names - there

    def walk(self, folder: str) -> list[str]:
        """Paths of all files anywhere below."""
        found = os.walk(self._root / folder, onerror=_unless_gone)
        inside = ((os.path.relpath(where, self._root), name) for where, _, names in found for name in names)
        return [f"{where}/{name}" for where, name in inside]

    def read(self, paths: Sequence[str]) -> list[bytes]:
        """The whole content of each."""
        return [_content(f"{self._at}/{path}") for path in paths]

    def write(self, files: Sequence[tuple[str, memoryview]], *, held: Held) -> list[StoredFile]:
        """Stage all files, then rename them into place in order; on a failure before that nothing has changed."""
        targets = [self._root / path for path, _ in files]
        staged = [(_beside(target), target) for target in targets]
        try:
            _write_all([(temporary, data) for (temporary, _), (_, data) in zip(staged, files, strict=True)])
            held()
            for temporary, target in staged:
                os.replace(temporary, target)  # noqa: PTH105  the system call by its name
            for parent in {target.parent for _, target in staged}:
                _flush_folder(parent)
        except BaseException:
            for temporary, _ in staged:
                with suppress(OSError):
                    temporary.unlink(missing_ok=True)
            raise
        return [self._found(path) for path, _ in files]

    def create(self, path: str, content: bytes, *, timeout_s: float) -> None:  # noqa: ARG002  nobody waits for a link
        """A hard link to a staged file: the kernel lets one of two win."""
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = _beside(target)
        temporary.write_bytes(content)
        try:
            with suppress(FileExistsError):
                target.hardlink_to(temporary)
        finally:
            temporary.unlink(missing_ok=True)

    def remove(self, paths: Sequence[str]) -> None:
        """Delete these; what is gone already is no error."""
        for path in paths:
            (self._root / path).unlink(missing_ok=True)

    def remove_leftovers(self, folder: str) -> None:
        """Delete what a killed writer staged."""
        for entry in (self._root / folder).glob(f".*{_TEMPORARY}"):
            entry.unlink(missing_ok=True)

    @contextmanager
    def lock(self, folder: str, *, timeout_s: float) -> Iterator[Held]:
        """The kernel's lock on a file in the folder, which is made if missing."""
        path = self._root / folder
        path.mkdir(parents=True, exist_ok=True)
        with write_lock(path, timeout_s=timeout_s):
            yield _kernel_holds

    def _found(self, path: str) -> StoredFile:
        found = os.stat(f"{self._at}/{path}")  # noqa: PTH116  one call, three facts
        identity = (found.st_ino, found.st_mtime_ns, found.st_size)
        return StoredFile(path=path, size_bytes=found.st_size, identity=identity)


def _content(path: str) -> bytes:
    """Without the buffers of a file object, which cost more than a part."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        pieces = []
        while piece := os.read(handle, _CHUNK):
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
    finally:
        os.close(handle)


def _unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _kernel_holds() -> None:
    """The kernel takes a lock from nobody who lives."""


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name}.{os.getpid()}-{threading.get_ident()}{_TEMPORARY}")


def _write_all(files: Sequence[tuple[Path, memoryview]]) -> None:
    """Several at once wait for the disk together."""
    if len(files) == 1:
        _write_durably(*files[0])
        return
    with ThreadPoolExecutor(_WRITERS) as pool:
        list(pool.map(_write_durably, *zip(*files, strict=True)))


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
