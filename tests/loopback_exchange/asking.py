"""How do the tests of the fake ask it, byte for byte and through the real client?"""

import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode, urlsplit

__all__ = ["client", "get", "raw"]


def raw(url: str, path: str, *, timeout_s: float = 5.0, **query: object) -> tuple[int, dict[str, str], bytes]:
    """Status, headers (lower case) and body of a GET."""
    address = f"{url}{path}?{urlencode(query)}" if query else f"{url}{path}"
    try:
        with urllib.request.urlopen(address, timeout=timeout_s) as answer:
            return answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.read()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, {name.lower(): value for name, value in refusal.headers.items()}, refusal.read()


def get(url: str, path: str, **query: object) -> Any:
    """The JSON of a GET, whatever its status."""
    return json.loads(raw(url, path, **query)[2])


@asynccontextmanager
async def client(name: str, url: str) -> AsyncIterator[Any]:
    """The real ccxt client of this venue, its addresses moved to ``url``, its markets loaded."""
    import ccxt.async_support

    api = getattr(ccxt.async_support, name)({"enableRateLimit": False, "timeout": 5000})
    api.options["fetchCurrencies"] = False
    if name == "bybit":
        api.options["fetchMarkets"] = {"types": ["linear"]}

    def moved(address: Any) -> Any:
        if isinstance(address, dict):
            return {key: moved(value) for key, value in address.items()}
        return url + urlsplit(address.replace("{hostname}", api.hostname or "")).path if address else address

    api.urls["api"] = moved(api.urls["api"])
    try:
        await api.load_markets()
        yield api
    finally:
        await api.close()
