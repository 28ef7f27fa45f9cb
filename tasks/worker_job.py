"""What happens to a job in the process of a worker?

The value all jobs share is mapped once per process and kept, so whatever is built from it there (bins) is built once.
A process runs one job at a time on one thread of linear algebra, because sums depend on the number of threads and bytes
must not. A failure comes back as a value: the error itself, whichever cluster carries it, and not the cluster's own.
Nothing here needs Prefect or a server of it.
"""

import pickle
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import Any

from infra.provenance import library_versions
from infra.shared_values import SharedValue, read_shared
from learning.fold_models import one_blas_thread
from tasks.runner_errors import RunnerError

__all__ = ["Outcome", "RemoteCall", "run_remotely"]

_one_at_a_time = Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteCall:
    """What every job of a run has in common: a top-level ``function``, and the value they ``share``.

    ``versions`` are the libraries that a worker must have too.
    """

    function: Callable[[Any, Any], Any]
    share: SharedValue
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a job returned, or the error it raised and where it was raised."""

    value: Any = None
    error: Exception | None = None
    raised: str = ""

    def result(self) -> Any:
        """The value, or the error raised again with the worker's own traceback as a note."""
        if self.error is None:
            return self.value
        self.error.add_note(f"Raised in a worker:\n{self.raised}")
        raise self.error


def run_remotely(call: RemoteCall, job: object) -> Outcome:
    """``call.function(shared, job)`` in this process, whatever happens as a value."""
    try:
        _require_same_libraries(call.versions)
        with _one_at_a_time, one_blas_thread():
            return Outcome(value=call.function(_shared(call.share), job))
    except Exception as error:  # noqa: BLE001  # it is raised where the jobs came from
        return Outcome(error=_sendable(error), raised=traceback.format_exc())


@lru_cache(maxsize=1)
def _shared(share: SharedValue) -> Any:
    return read_shared(share)


def _require_same_libraries(wanted: Mapping[str, str]) -> None:
    here = _versions()
    for name, version in wanted.items():
        if here[name] != version:
            raise RunnerError(
                f"a worker has {name} {here[name]}, this process has {version}",
                why="other libraries fit other models from the same data",
                remedy="install the same requirements.lock on every worker",
            )


@lru_cache(maxsize=1)
def _versions() -> dict[str, str]:
    return library_versions()


def _sendable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  # written a moment ago
    except Exception:  # noqa: BLE001  # anything may go wrong in a foreign class
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
