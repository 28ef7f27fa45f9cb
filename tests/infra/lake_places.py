"""The two places a lake can lie in, for tests: a folder, and a real S3 server on loopback that can be told to fail.

A plugin (``pytest_plugins``) rather than a part of conftest: only tests of the lake start the server, once.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from infra.lake import Lake
from infra.lake_database_lock import DatabaseLocks

_AWS = {
    "AWS_ACCESS_KEY_ID": "tester",
    "AWS_SECRET_ACCESS_KEY": "not-a-secret",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass(kw_only=True)
class ObjectServer:
    """moto's S3 server behind a door: ``refuse(method, path)`` may answer a status instead of letting a request in."""

    refuse: Callable[[str, str], str | None] = lambda _method, _path: None
    calls: list[tuple[str, str]] = field(default_factory=list)
    port: int = 0
    _buckets: Iterator[int] = field(default_factory=count)

    def start(self) -> None:
        """Serve in threads of this process until it ends."""
        from moto.server import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import make_server

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._moto: Any = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """End it, and free its port."""
        self._server.shutdown()
        self._server.server_close()

    def filesystem(self) -> Any:
        """The administrator's view, who may make and delete buckets."""
        from pyarrow import fs

        return fs.S3FileSystem(
            endpoint_override=f"127.0.0.1:{self.port}",
            scheme="http",
            region="us-east-1",
            allow_bucket_creation=True,
            allow_bucket_deletion=True,
        )

    def new_place(self) -> str:
        """The address of a prefix in a fresh bucket."""
        bucket = f"lake-{next(self._buckets)}"
        self.filesystem().create_dir(bucket)
        return self.address(bucket)

    def address(self, bucket: str) -> str:
        """Of the prefix ``home`` in a bucket."""
        return f"s3://{bucket}/home?endpoint_override=127.0.0.1:{self.port}&scheme=http&region=us-east-1"

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Any:
        call = (environ["REQUEST_METHOD"], environ["PATH_INFO"])
        self.calls.append(call)
        status = self.refuse(*call)
        if status is None:
            return self._moto(environ, start_response)
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start_response(status, [("Content-Type", "application/xml")])
        return [b"<Error><Code>AccessDenied</Code><Message>not now</Message></Error>"]


@pytest.fixture(scope="session")
def the_object_server() -> Iterator[ObjectServer]:
    """One for the whole run."""
    server = ObjectServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def object_server(the_object_server: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectServer]:
    """The same, with keys in the environment, nothing refused and nothing counted yet."""
    for name, value in _AWS.items():
        monkeypatch.setenv(name, value)
    the_object_server.calls.clear()
    yield the_object_server
    the_object_server.refuse = lambda _method, _path: None


@pytest.fixture(params=["folder", "object store"])
def new_place(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Path | str]:
    """Makes empty places of one sort or the other."""
    if request.param == "folder":
        numbers = count()
        return lambda: tmp_path / f"lake-{next(numbers)}"
    return request.getfixturevalue("object_server").new_place


@pytest.fixture
def place(new_place: Callable[[], Path | str]) -> Path | str:
    """One empty place."""
    return new_place()


@pytest.fixture
def open_lake(engine: Engine) -> Callable[..., Lake]:
    """Opens the lake at a place, with the locks of a real database."""
    return lambda where, **options: Lake(where, locks=DatabaseLocks(engine), **options)
