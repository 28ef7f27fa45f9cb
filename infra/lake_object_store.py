"""How does the lake live in an object store that speaks S3?

``s3://bucket/prefix?region=..&endpoint_override=host:port&scheme=http``; keys come from the AWS environment only, never
from the address. An object appears whole when its upload ends, and a listing is up to date, so nothing needs a rename.
Two things a folder has are missing: a lock, which the home's database lends, and the certainty that a stalled writer
writes no more once it lost its lock. So no object here is ever overwritten with other rows: a file's name carries a
digest of its content, and a late upload only adds what readers drop as known.
"""

import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

from infra.errors import LakeError
from infra.lake_storage import Held, Locks, StoredFile

__all__ = ["ObjectStorage"]

_OPTIONS = frozenset({"region", "endpoint_override", "scheme"})
_CONNECTIONS = 16
_DIGEST_DOTS = 2  # <month>.<digest>.parquet, <month>.<digest>.rows
_In = TypeVar("_In")
_Out = TypeVar("_Out")


class ObjectStorage:
    """Objects under one prefix of one bucket; ``timeout_s`` without a byte ends a request, three tries end a call."""

    replaces = False
    remedy = "check the bucket, its permissions, the AWS keys and the connection, then run this again"

    def __init__(self, url: str, *, locks: Locks | None, timeout_s: float = 10.0) -> None:
        self._root, self._options = _parsed(url)
        self._locks = locks
        self._timeout_s = timeout_s
        self._pool = ThreadPoolExecutor(_CONNECTIONS, thread_name_prefix="lake")
        self._opening = threading.Lock()

    def shown(self, path: str) -> str:
        """The address, without options."""
        return f"s3://{self._root}/{path}".rstrip("/")

    def folders(self, folder: str) -> list[str]:
        """Names of the common prefixes directly below, sorted."""
        found = self._list(folder, recursive=False)
        return sorted(info.base_name for info in found if not info.is_file)

    def files(self, folder: str, wanted: Callable[[str], bool]) -> list[StoredFile]:
        """The objects directly below whose name is wanted."""
        found = [info for info in self._list(folder, recursive=False) if info.is_file and wanted(info.base_name)]
        return [
            StoredFile(
                path=f"{folder}/{info.base_name}",
                size_bytes=info.size,
                identity=_identity(info.base_name, info.size, info.mtime_ns),
            )
            for info in found
        ]

    def stamp(self, folder: str) -> Hashable | None:  # noqa: ARG002  the store keeps none
        """Cannot be told without listing."""
        return None

    def files_besides(self, folder: str, names: AbstractSet[str]) -> tuple[list[StoredFile], AbstractSet[str]]:
        """One listing tells everything."""
        found = {file.path.rpartition("/")[2]: file for file in self.files(folder, lambda _name: True)}
        others = [file for name, file in found.items() if name not in names and not name.startswith(".")]
        return others, names - found.keys()

    def walk(self, folder: str) -> list[str]:
        """Paths of all objects below."""
        found = self._list(folder, recursive=True)
        return [info.path.removeprefix(f"{self._root}/") for info in found if info.is_file]

    def read(self, paths: Sequence[str]) -> list[bytes]:
        """The whole content of each, in one request an object."""
        return self._each(self._get, paths)

    def write(self, files: Sequence[tuple[str, memoryview]], *, held: Held) -> list[StoredFile]:
        """Put these objects; where one fails the others may be there, each of them whole."""
        held()
        self._each(self._put, files)
        return [
            StoredFile(path=path, size_bytes=len(content), identity=_identity(path, len(content), 0))
            for path, content in files
        ]

    def create(self, path: str, content: bytes, *, timeout_s: float) -> None:
        """Put this unless it is there, under a lock of its own."""
        with self.lock(path, timeout_s=timeout_s) as held:
            try:
                self.read([path])
            except FileNotFoundError:
                self.write([(path, memoryview(content))], held=held)

    def remove(self, paths: Sequence[str]) -> None:
        """Delete these objects; what is gone already is no error."""
        self._each(self._delete, paths)

    def remove_leftovers(self, folder: str) -> None:
        """An upload that did not end is not there."""

    @contextmanager
    def lock(self, folder: str, *, timeout_s: float) -> Iterator[Held]:
        """A lock of the home's database; ``LakeError`` where the lake was opened without one."""
        if self._locks is None:
            raise LakeError(
                f"{self.shown(folder)} cannot be locked",
                why="an object store has no locks, and two writers of one market would not see each other",
                remedy="open the lake with the locks of the home's database",
            )
        with self._locks.hold(f"lake {self.shown(folder)}", timeout_s=timeout_s) as held:
            yield held

    def _get(self, path: str) -> bytes:
        with self._fs.open_input_stream(f"{self._root}/{path}") as stream:
            content: bytes = stream.read()
            return content

    def _put(self, file: tuple[str, memoryview]) -> None:
        # Never in a ``with``: whatever ends the block would upload what was written so far as the whole object.
        stream = self._fs.open_output_stream(f"{self._root}/{file[0]}")
        stream.write(file[1])
        stream.close()

    def _delete(self, path: str) -> None:
        try:
            self._fs.delete_file(f"{self._root}/{path}")
        except FileNotFoundError:
            return

    def _list(self, folder: str, *, recursive: bool) -> list[Any]:
        from pyarrow import fs

        where = f"{self._root}/{folder}".rstrip("/")
        found = self._fs.get_file_info(fs.FileSelector(where, allow_not_found=True, recursive=recursive))
        bucket = self._root.partition("/")[0]
        # A bucket that is gone lists like an empty one, and an empty lake would be believed.
        if not found and self._fs.get_file_info(bucket).type is fs.FileType.NotFound:
            raise OSError(f"there is no bucket {bucket}")
        return list(found)

    def _each(self, work: Callable[[_In], _Out], items: Sequence[_In]) -> list[_Out]:
        """``work`` on all items at once, in threads: a signal must not cut an upload short and so complete it."""
        futures = [self._pool.submit(work, item) for item in items]
        try:
            return [future.result() for future in futures]
        finally:
            wait(futures)  # nothing may be on its way any more when the lock is given back

    @property
    def _fs(self) -> Any:
        with self._opening:
            return self._connected

    @cached_property
    def _connected(self) -> Any:
        from pyarrow import fs

        return fs.S3FileSystem(
            region=self._options.get("region"),
            endpoint_override=self._options.get("endpoint_override"),
            scheme=self._options.get("scheme", "https"),
            connect_timeout=self._timeout_s,
            request_timeout=self._timeout_s,
            allow_delayed_open=True,  # a small object is one request, and is there only when that has ended
            background_writes=False,
        )


def _identity(path: str, size_bytes: int, mtime_ns: int) -> tuple[int, int]:
    """A name with a digest never stands for other content; one without may have been put there by hand."""
    named_by_content = path.rpartition("/")[2].count(".") == _DIGEST_DOTS
    return size_bytes, 0 if named_by_content else mtime_ns


def _parsed(url: str) -> tuple[str, dict[str, str]]:
    """``bucket/prefix`` and the options of an address; a ``LakeError`` does not repeat it, as it may hold keys."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    for wrong, what in (
        (parts.scheme != "s3", "does not begin with s3://"),
        ("@" in url, "holds credentials"),
        (not parts.netloc, "names no bucket"),
        (not options.keys() <= _OPTIONS, f"has options other than {', '.join(sorted(_OPTIONS))}"),
        (bool(parts.fragment), "has a fragment"),
    ):
        if wrong:
            raise LakeError(
                f"the address of the lake {what}",
                why="the lake knows folders and S3-compatible object stores, with keys from the environment",
                remedy="write s3://bucket/prefix?region=.., and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            )
    return f"{parts.netloc}/{parts.path.strip('/')}".rstrip("/"), options
