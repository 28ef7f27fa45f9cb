"""How is MLflow asked a question without waiting two minutes, and without its chatter?

MLflow retries a dead database for 50 s and a dead server for minutes, and prints while it does. Here the other end is
tried first, briefly; information and a few warnings that would tell an operator nothing are held back; what fails is
one ``StoreError``.
"""

import contextlib
import logging
import os
import socket
import threading
import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from registry.errors import StoreError

__all__ = ["asking", "client_for"]

_LOCK = threading.RLock()
_PATIENCE_S = 5.0
_TELLS_NOTHING = (
    "(?s).*An input example was not provided",  # the signature is written out in full
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
def asking(uri: str, what: str) -> Iterator[None]:
    """One question at a time; raises ``StoreError`` for whatever MLflow, its database or the disk answers with."""
    with _LOCK, _quiet():
        from sqlalchemy.exc import SQLAlchemyError

        try:
            _try_server(uri)
            client_for(uri)
        except (SQLAlchemyError, OSError) as bad:
            raise _failed(what, bad) from bad
        from mlflow.exceptions import MlflowException

        try:
            yield
        except (MlflowException, SQLAlchemyError, OSError) as bad:
            raise _failed(what, bad) from bad


def _try_server(uri: str) -> None:
    address = urlsplit(uri)
    if address.scheme in ("http", "https") and address.hostname:
        port = address.port or (443 if address.scheme == "https" else 80)
        socket.create_connection((address.hostname, port), timeout=_PATIENCE_S).close()


def _try_database(uri: str) -> None:
    if uri.startswith("postgresql"):
        from sqlalchemy import NullPool, create_engine

        create_engine(uri, poolclass=NullPool, connect_args={"connect_timeout": int(_PATIENCE_S)}).connect().close()


def _failed(what: str, bad: Exception) -> StoreError:
    first = next(iter(str(bad).splitlines()), type(bad).__name__)
    return StoreError(
        f"MLflow failed at {what} ({first[:300]})",
        why="the model registry could not answer",
        remedy="check that its database or server runs; what serves keeps serving",
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hold back information of MLflow and of its migrations, and nobody else's."""
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
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
