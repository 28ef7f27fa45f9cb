"""How is MLflow asked a question without waiting for minutes, and without its chatter?

Left alone, MLflow retries a dead database for 50 s and a dead or slow server for four to sixteen minutes, and prints
while it does. Here the other end is tried first, briefly; every request has a time limit, with few retries; what fails
is one ``StoreError`` that says how: not reachable, too slow, or answered with an error. All of it holds for the length
of a question: the environment is never written to, and what the user has set there wins.
"""

import contextlib
import logging
import os
import re
import socket
import threading
import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from registry.errors import RegistryDownError, StoreError

__all__ = ["PATIENCE_S", "asking", "client_for"]

PATIENCE_S = 30.0
_LOCK = threading.RLock()
_CONNECT_S = 5.0
_RETRIES = 2
# Three libraries wrap the same failure in a paragraph each; a person can act on these words.
_DOWN = (
    ("timeout exception|timed out", "no answer within {patience_s} s"),
    ("Connection refused", "connection refused"),
    ("Connection aborted|Connection reset|RemoteDisconnected|IncompleteRead|broken:", "the connection broke off"),
    ("Temporary failure in name resolution|Name or service not known", "its host name is not known"),
    ("not in a valid JSON format|Expecting value", "it answers with something else than MLflow's JSON"),
)
_TELLS_NOTHING = (
    "(?s).*Any type hint is inferred as AnyType",
    "(?s).*Add type hints to the `predict` method",
)


@cache
def client_for(uri: str) -> Any:
    """MLflow's client for this database or server; imports MLflow (3 s) and opens the store at the first call."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    _try_database(uri)
    from mlflow import MlflowClient

    # Its import sets this level to INFO, whatever it was; the next line would tell of every table it makes.
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


@contextlib.contextmanager
def asking(uri: str, what: str, *, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """One question at a time; raises ``StoreError`` for whatever MLflow, its database or the disk answers with.

    A server has ``patience_s`` for each request, retries included.
    """
    with _LOCK, _quiet():
        from sqlalchemy.exc import SQLAlchemyError

        try:
            _try_server(uri, min(_CONNECT_S, patience_s))
            client_for(uri)
        except (SQLAlchemyError, OSError) as bad:
            raise _failed(what, bad, patience_s) from bad
        from google.protobuf.json_format import ParseError  # type: ignore[import-untyped]
        from mlflow.exceptions import MlflowException

        try:
            with _bounded(patience_s):
                yield
        except (MlflowException, SQLAlchemyError, OSError, ParseError) as bad:
            raise _failed(what, bad, patience_s) from bad


def _try_server(uri: str, limit_s: float) -> None:
    address = urlsplit(uri)
    if address.scheme in ("http", "https") and address.hostname:
        port = address.port or (443 if address.scheme == "https" else 80)
        socket.create_connection((address.hostname, port), timeout=limit_s).close()


def _try_database(uri: str) -> None:
    if uri.startswith("postgresql"):
        from sqlalchemy import NullPool, create_engine

        create_engine(uri, poolclass=NullPool, connect_args={"connect_timeout": int(_CONNECT_S)}).connect().close()


@contextlib.contextmanager
def _bounded(patience_s: float) -> Iterator[None]:
    """MLflow's own limits lowered, and its links kept off standard output, where the user's environment names neither.

    It reads them at each request, also from threads that it starts itself, so only its defaults can carry them; writing
    to the environment instead could crash a thread that reads it meanwhile (libpq does).
    """
    from mlflow import environment_variables as names

    changed = {
        names.MLFLOW_HTTP_REQUEST_MAX_RETRIES: _RETRIES,
        names.MLFLOW_HTTP_REQUEST_TIMEOUT: patience_s / (_RETRIES + 1),
        names.MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR: min(patience_s / 60.0, 0.5),
        names.MLFLOW_HTTP_REQUEST_BACKOFF_JITTER: 0.0,
        names.MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER: False,  # one may ask for an hour
        names.MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT: True,  # results for machines stand there
    }
    before = {one: one.default for one in changed}
    try:
        for one, value in changed.items():
            one.default = value
        yield
    finally:
        for one, value in before.items():
            one.default = value


def _failed(what: str, bad: Exception, patience_s: float) -> StoreError:
    from sqlalchemy.exc import SQLAlchemyError

    said = f"{bad}".strip() or type(bad).__name__
    down = next((told for pattern, told in _DOWN if re.search(pattern, said)), None)
    if found := re.search(r"too many (5\d\d) error responses|(5\d\d) Server Error|error code (5\d\d) ", said):
        down = f"the server answers {next(filter(None, found.groups()))}"
    told = (down or _first_line(said)).format(patience_s=f"{patience_s:g}")
    kind = RegistryDownError if down or isinstance(bad, SQLAlchemyError | ConnectionError) else StoreError
    return kind(
        f"MLflow failed at {what} ({told})",
        why="the model registry could not answer",
        remedy="check that its database or server runs; what serves keeps serving",
    )


def _first_line(said: str) -> str:
    return said.splitlines()[0][:300].replace("{", "(").replace("}", ")")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hold back information of MLflow, of its migrations and of its HTTP client, and nobody else's."""
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic", "urllib3")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for message in _TELLS_NOTHING:
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
