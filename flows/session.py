"""How does a command run flows on one machine?

With a Prefect server of its own, started on loopback for as long as the command runs, unless the environment names
one or another command of the same home already runs one. Import flows only inside the session: Prefect reads its
environment when it is imported.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.servers import PrefectServer, prefect_server
from tasks.progress import report

__all__ = ["flow_session"]


@contextmanager
def flow_session(home: Path) -> Iterator[PrefectServer]:
    """Point this process at a Prefect server; call ``wait`` on what is yielded before the first flow."""
    # Any free port: the well-known one is for `lockstep up`, and for a server of the user's own.
    with prefect_server(home, environment=os.environ, port=None, on_wait=_say_waiting) as server:
        from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

        # A short-lived command needs no heartbeats, and joining their thread costs a second per flow.
        quiet = {PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None, PREFECT_API_URL: os.environ["PREFECT_API_URL"]}
        with temporary_settings(quiet):
            try:
                yield server
            finally:
                _send_what_waits()


def _say_waiting() -> None:
    report("another command still uses this Prefect server", 0, 1)


def _send_what_waits() -> None:
    """Deliver queued logs and events while the server still answers."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for worker in (APILogWorker, EventsWorker):
        worker.drain_all(timeout=5.0, at_exit=False)
