"""What if the registry between us and its data fails in the middle of something?

A threaded HTTP proxy in front of a real server. It passes everything on until it is told to fail, for requests that
match: answer 500, answer too late, break the connection off, answer with another page, or cut what is downloaded.
"""

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

__all__ = ["Fault", "FaultyProxy", "faulty_proxy"]

Fault = Literal["500", "slow", "reset", "page", "cut", "short"]
"""``cut`` promises the whole length and breaks off half-way, ``short`` is half the file and says so."""
_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive"}


_METHODS = ("GET", "POST", "PATCH", "PUT", "DELETE")


def _always(_method: str, _path: str) -> bool:
    return True


@dataclass(kw_only=True)
class FaultyProxy:
    """The proxy at ``url``; ``asked`` are the requests since it was last told something, as ``METHOD path``."""

    url: str
    upstream: str
    asked: list[str] = field(default_factory=list)
    _fault: Fault | None = None
    _when: Callable[[str, str], bool] = _always
    _released: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def failing(self, fault: Fault, when: Callable[[str, str], bool] = _always) -> Iterator[None]:
        """While the block runs, requests for which ``when(method, path)`` holds fail."""
        self.asked.clear()
        self._released.clear()
        self._fault, self._when = fault, when
        try:
            yield
        finally:
            self._fault = None
            self._released.set()

    def fault_of(self, method: str, path: str) -> Fault | None:
        """What happens to this request."""
        self.asked.append(f"{method} {path}")
        return self._fault if self._fault is not None and self._when(method, path) else None

    def hold(self) -> None:
        """Until the block that asked for it is over: long after any client has given up."""
        self._released.wait(60)


@contextmanager
def faulty_proxy(upstream: str) -> Iterator[FaultyProxy]:
    """A proxy on loopback in front of ``upstream``."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    proxy = FaultyProxy(url=f"http://127.0.0.1:{server.server_port}", upstream=upstream)
    server.proxy = proxy  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """Passes one request on, or fails it."""

    def _handle(self) -> None:
        proxy: FaultyProxy = self.server.proxy  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = proxy.fault_of(self.command, self.path)
        if fault == "reset":
            self.close_connection = True
            return
        if fault == "500":
            self._answer(500, [], b"broken")
            return
        if fault == "page":
            self._answer(200, [("Content-Type", "text/html")], b"<html>Please log in</html>")
            return
        if fault == "slow":
            proxy.hold()
            self.close_connection = True
            return
        status, headers, answer = self._upstream(proxy.upstream, body)
        if fault == "short":
            answer = answer[: len(answer) // 2]
        self._answer(status, headers, answer, cut=fault == "cut")

    def _upstream(self, upstream: str, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(urlsplit(upstream).netloc, timeout=60)
        try:
            sent = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
            connection.request(self.command, self.path, body=body, headers=sent | {"Host": urlsplit(upstream).netloc})
            answer = connection.getresponse()
            kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in _HOP_BY_HOP]
            return answer.status, kept, answer.read()
        finally:
            connection.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes, *, cut: bool = False) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


for _method in _METHODS:
    setattr(_Handler, f"do_{_method}", _Handler._handle)
