"""A training is started over Prefect's HTTP interface, once, or refused with what to do."""

import json
import os
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from infra.errors import InfraError
from infra.processes import _identity
from tasks.start_training import start_training


class Prefect(BaseHTTPRequestHandler):
    """The three requests a start needs, remembered."""

    def do_GET(self):  # the name http.server calls
        """The deployment."""
        self.tell({"id": "d1"})

    def do_POST(self):  # the same
        """What is under way, or a new run."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, body))
        self.tell(self.server.under_way if self.path.endswith("filter") else {"id": "r1"})

    def tell(self, value):
        """Answer with JSON."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(value).encode())

    def log_message(self, *_):
        """Nothing."""


@contextmanager
def prefect(home, under_way=()):
    """A home whose deployments are run by this very process."""
    server = HTTPServer(("127.0.0.1", 0), Prefect)
    server.asked, server.under_way = [], list(under_way)
    thread = Thread(target=server.serve_forever)
    thread.start()
    (home / "run").mkdir()
    me = _identity(os.getpid())
    url = f"http://127.0.0.1:{server.server_port}"
    (home / "run" / "deployments.json").write_text(json.dumps({"url": url, "child": me, "parent": me}))
    yield server
    server.shutdown()
    server.server_close()
    thread.join(10)


def test_a_run_is_started_with_its_reason(tmp_path):
    """In the deployment of the training."""
    with prefect(tmp_path) as server:
        answer = start_training(tmp_path, "drift")
    assert (answer.run_id, answer.started) == ("r1", True)
    path, body = server.asked[-1]
    assert path == "/api/deployments/d1/create_flow_run"
    assert body["state"] == {"type": "SCHEDULED", "message": "asked for over HTTP: drift"}


def test_one_under_way_is_not_started_again(tmp_path):
    """Its id is given back, and no run is made."""
    with prefect(tmp_path, under_way=[{"id": "r0"}]) as server:
        answer = start_training(tmp_path, "drift")
    assert (answer.run_id, answer.started, len(server.asked)) == ("r0", False, 1)


def test_without_a_process_that_would_run_it_it_is_refused(tmp_path):
    """A run that nobody begins would wait for ever."""
    with pytest.raises(InfraError, match="lockstep up"):
        start_training(tmp_path, "drift")
