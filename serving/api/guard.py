"""Which requests are let in at all?

Asked before anything of a request but its head is read. Under an allowed host name only, so that no web page can reach
a loopback server by a name of its own (DNS rebinding). What changes something needs the bearer token; where other
machines can reach the server, so does what reads, but for the two checks that orchestrators ask. Bodies are small.
"""

import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import SecretStr
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.api.refusals import refusal_response
from serving.errors import ApiRefusalError

__all__ = ["Door", "Guard", "is_loopback", "may_enter"]

CHANGES = frozenset({"/halt", "/resume", "/retrain"})
_CHECKS = frozenset({"/health", "/ready"})
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_MOST_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Who is let in: under which names, with which token, and whether reading needs it too."""

    host: str
    allowed_hosts: tuple[str, ...]
    token: SecretStr | None

    def __post_init__(self) -> None:
        """Refuse a server that other machines reach and nobody guards."""
        if self.token is None and not is_loopback(self.host):
            raise ApiRefusalError(
                403,
                f"api.host is {self.host} and no token is set",
                why="other machines could read every signal",
                remedy="set LOCKSTEP_API__TOKEN to at least 16 characters, or keep api.host 127.0.0.1",
            )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that listens there.

    >>> [is_loopback(one) for one in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "lockstep.internal")]
    [True, True, True, False, False]
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def may_enter(door: Door, method: str, path: str, headers: Mapping[str, str]) -> None:
    """Return, or raise ``ApiRefusalError``; header names in lower case."""
    _check_host(door, headers.get("host", ""))
    changes = method == "POST" and path in CHANGES
    if changes and door.token is None:
        raise ApiRefusalError(
            403,
            f"nobody may {path[1:]} through this server",
            why="no token is configured, so nobody could be told from anybody",
            remedy="set LOCKSTEP_API__TOKEN to at least 16 characters and restart lockstep api",
        )
    if changes or (not is_loopback(door.host) and path not in _CHECKS):
        _check_token(door.token, headers.get("authorization", ""))
    if method == "POST":
        _check_length(headers)


def _check_host(door: Door, host: str) -> None:
    name = _name_of(host)
    if name not in {*_LOOPBACK_NAMES, door.host.lower(), *door.allowed_hosts}:
        raise ApiRefusalError(
            400,
            "asked under a host name that is not allowed",
            why="a web page could reach this server by pointing a name of its own at it",
            remedy="use the address it listens on, or add the name to api.allowed_hosts",
        )


def _name_of(host: str) -> str:
    """The name in a Host header, without its port.

    >>> [_name_of(one) for one in ("localhost:8420", "[::1]:8420", "127.0.0.1", "")]
    ['localhost', '::1', '127.0.0.1', '']
    """
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


def _check_token(token: SecretStr | None, given: str) -> None:
    kind, _, value = given.partition(" ")
    wanted = "" if token is None else token.get_secret_value()
    same = hmac.compare_digest(value.strip().encode(), wanted.encode())
    if not wanted or kind.lower() != "bearer" or not same:
        raise ApiRefusalError(
            401,
            "no token, or a wrong one",
            why="this needs to be asked by somebody who may",
            remedy="send Authorization: Bearer with the token of LOCKSTEP_API__TOKEN",
        )


def _check_length(headers: Mapping[str, str]) -> None:
    length = headers.get("content-length")
    if length is None or not length.isdigit() or "transfer-encoding" in headers:
        raise ApiRefusalError(411, "a body without a length", why="it could be endless", remedy="send Content-Length")
    if int(length) > _MOST_BYTES:
        raise ApiRefusalError(413, "the body is too long", why="no request needs it", remedy="send at most 64 KiB")


class Guard:
    """The door in front of an app."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on, or answer it."""
        if scope["type"] == "http":
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            try:
                may_enter(self._door, scope["method"], scope["path"], headers)
            except ApiRefusalError as no:
                answer = refusal_response(no.status, what=no.what, why=no.why, remedy=no.remedy)
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)
