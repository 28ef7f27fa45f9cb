"""Where does the HTTP interface listen, and who may change something through it?

Loopback and read-only by default: another address, and every change, needs the token.
"""

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from infra.settings_groups import SettingsGroup, listed

__all__ = ["ApiSettings"]


def _host_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,253}", text):
        raise ValueError("a host name or an address, without a port")
    return text.lower()


HostName = Annotated[str, AfterValidator(_host_name)]
HostNames = Annotated[tuple[HostName, ...], NoDecode, BeforeValidator(listed)]


class ApiSettings(SettingsGroup):
    """The HTTP interface of `lockstep api`."""

    host: str = Field(
        default="127.0.0.1",
        pattern=r"^[A-Za-z0-9.:_-]+$",
        description="Address to listen on; one that other machines reach needs `api.token`",
    )
    port: int = Field(default=8420, ge=0, le=65_535, description="Port to listen on; 0 takes any free one")
    token: SecretStr | None = Field(
        default=None,
        min_length=16,
        max_length=512,
        description="Bearer token of whoever halts, resumes and retrains; from the environment only, at least 16 "
        "characters; none refuses all three",
    )
    allowed_hosts: HostNames = Field(
        default=(), description="Host names under which it may be asked, beside loopback's and its own address"
    )
