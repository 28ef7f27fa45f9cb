"""A server of the user's own is used as it is; a server of ours is shared by the commands of its home."""

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import psutil
import pytest

from infra.errors import InfraError
from infra.servers import prefect_server

pytestmark = pytest.mark.integration


class _Healthy(BaseHTTPRequestHandler):
    """Answers every path with 200."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        """Stay quiet."""


@pytest.fixture
def somebody():
    """The address of a server that somebody else runs."""
    server = HTTPServer(("127.0.0.1", 0), _Healthy)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def _environment():
    """The sessions below point this process at a server; give it back as it was."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def test_an_address_in_the_environment_is_used_as_it_is(tmp_path, somebody):
    """Nothing is started, nothing is written into the home, and this process points there."""
    home = tmp_path / "home"
    with prefect_server(home, environment={"PREFECT_API_URL": f"{somebody}/api"}) as server:
        server.wait()
        assert server.url == somebody
        assert os.environ["PREFECT_API_URL"] == f"{somebody}/api"
        assert os.environ["PREFECT_HOME"] == str(home / "prefect")
    assert not home.exists()


def test_an_address_where_nobody_answers_is_told(tmp_path, monkeypatch):
    """With what to do, before any flow begins."""
    from infra import servers

    real = servers.wait_until_healthy

    def soon(url, **named):
        real(url, **{**named, "timeout_s": 0.3})

    monkeypatch.setattr(servers, "wait_until_healthy", soon)
    nobody = {"PREFECT_API_URL": "http://127.0.0.1:1/api"}
    with (
        prefect_server(tmp_path, environment=nobody) as server,
        pytest.raises(InfraError, match=r"127.0.0.1:1.*PREFECT_API_URL"),
    ):
        server.wait()


def test_commands_of_a_home_share_the_running_server(tmp_path, somebody):
    """A state file of a living parent and child leads to its address; no second server is started."""
    run = tmp_path / "run"
    run.mkdir()
    me = [os.getpid(), psutil.Process().create_time()]
    (run / "prefect.json").write_text(json.dumps({"url": somebody, "child": me, "parent": me}))
    before = psutil.Process().children()
    with prefect_server(tmp_path, environment={}) as server:
        server.wait()
        assert server.url == somebody
    assert (run / "prefect.json").exists()
    assert psutil.Process().children() == before
