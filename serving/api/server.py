"""How does the app run as one process that starts cleanly, says where it is, and ends cleanly?

The port is taken before anything is said, so a taken one is a refusal and not a server that nobody reaches. At the end
streams are told first; whoever reads one comes back with ``Last-Event-ID``.
"""

import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from infra.errors import InfraError

__all__ = ["ApiServer", "bound_socket", "serve_api"]

_PATIENCE_S = 5
_MOST_CONNECTIONS = 128


class ApiServer(uvicorn.Server):
    """Ends the streams before it waits for open requests."""

    def __init__(self, app: FastAPI) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                access_log=False,
                log_level="warning",
                server_header=False,
                limit_concurrency=_MOST_CONNECTIONS,
                timeout_graceful_shutdown=_PATIENCE_S,
                timeout_keep_alive=5,
            )
        )
        self._hub = app.state.hub

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, after every stream was asked to end."""
        self._hub.close()
        await super().shutdown(sockets)


def bound_socket(host: str, port: int) -> socket.socket:
    """A listening socket; raises ``InfraError`` where the port is taken or the address is not this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except (OSError, UnicodeError) as error:
        raise InfraError(
            f"{host} port {port} cannot be listened on ({getattr(error, 'strerror', None) or error})",
            why="another program has it, or the address is not this machine's",
            remedy="stop that program, or choose another with --port or LOCKSTEP_API__PORT",
        ) from None


def serve_api(app: FastAPI, *, host: str, port: int, say: Callable[[str], None]) -> None:
    """Answer requests until SIGINT or SIGTERM."""
    with bound_socket(host, port) as listening:
        shown = f"[{host}]" if ":" in host else host
        say(f"http://{shown}:{listening.getsockname()[1]}")
        ApiServer(app).run(sockets=[listening])
