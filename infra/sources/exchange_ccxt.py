"""How is a ccxt client made that never takes a failure for an answer?

The real async client of a venue, with the differences we need: our own pace instead of its throttle, any address in
place of the venue's (paths stay), and errors that say whether they can pass and when to come back. As ccxt stands, text
that is not JSON becomes an answer without rows, a body cut short and an internal error of Bybit look final, and
``Retry-After`` is dropped.
"""

import ssl
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from infra.errors import SourceError

__all__ = ["EXCHANGES", "build_api", "can_pass", "cause", "is_ban", "names_no_symbol", "retry_after_s"]

EXCHANGES = ("binanceusdm", "bybit")
_BYBIT_BAN_S = 600.0  # "access too frequent": lifted after ten minutes
_THROTTLED = {418, 429, 503}
_FORBIDDEN = {401, 403, 451}


def build_api(exchange: str, *, url: str | None, timeout_s: float) -> Any:
    """A client for public data; open nothing yet. The caller closes it."""
    if exchange not in EXCHANGES:
        raise SourceError(
            f"exchange {exchange!r}",
            why="its candles, funding and open interest have not been verified here",
            remedy=f"use {' or '.join(EXCHANGES)}",
        )
    import ccxt.async_support

    api = getattr(ccxt.async_support, exchange)({"enableRateLimit": False, "timeout": int(timeout_s * 1000)})
    api.options["fetchCurrencies"] = False
    api.enableLastJsonResponse = True
    api.ssl_context = _trusted(api.cafile)
    if exchange == "bybit":
        api.options["fetchMarkets"] = {"types": ["linear"]}
    if url is not None:
        api.urls["api"] = _moved(api.urls["api"], url.rstrip("/"), api.hostname or "")
        if urlsplit(url).scheme == "http":
            api.timeout_on_exit = 0  # only TLS connections need time to say goodbye
    _tell_failures(api)
    return api


def can_pass(error: Exception) -> bool:
    """Whether the same call may be answered later: an operation that failed, or a body that was cut short."""
    import ccxt

    cut_short = type(error) is ccxt.ExchangeError and error.__cause__ is not None
    return cut_short or isinstance(error, ccxt.OperationFailed | OSError)


def is_ban(error: Exception) -> bool:
    """Whether the venue has shut us out."""
    return bool(getattr(error, "ban", False))


def retry_after_s(error: Exception) -> float | None:
    """How long the venue asked us to wait; None where it did not say."""
    asked: float | None = getattr(error, "retry_after_s", None)
    return asked


def names_no_symbol(error: Exception) -> bool:
    """Whether the venue refuses because it does not know the symbol."""
    import ccxt

    text = str(error).lower()
    unknown = "symbol" in text and ("invalid" in text or "not supported" in text)
    return isinstance(error, ccxt.BadSymbol) or (isinstance(error, ccxt.BadRequest) and unknown)


def cause(error: Exception) -> str:
    """The error on one line."""
    return f"{type(error).__name__} {' '.join(str(error).split())[:160]}".strip()


@cache
def _trusted(cafile: str) -> ssl.SSLContext:
    """Reading the certificates takes longer than a small collection: once a process."""
    return ssl.create_default_context(cafile=cafile)


def _moved(urls: Any, origin: str, hostname: str) -> Any:
    """The same addresses at another origin: paths stay."""
    if isinstance(urls, dict):
        return {key: _moved(value, origin, hostname) for key, value in urls.items()}
    if isinstance(urls, str):
        return origin + urlsplit(urls.replace("{hostname}", hostname)).path
    return urls


def _tell_failures(api: Any) -> None:
    """Put our reading of an answer before ccxt's own; it is called with every answer."""
    import ccxt

    original = api.handle_errors

    def handle_errors(code: int, reason: str, url: str, method: str, headers: Any, body: str, *rest: Any) -> Any:
        _refuse_throttled(api.id, code, reason, headers)
        if code < 400 and rest[0] is None:
            raise ccxt.BadResponse(f"{api.id} {code} answered with {len(body or '')} characters that are not JSON")
        try:
            return original(code, reason, url, method, headers, body, *rest)
        except ccxt.RateLimitExceeded as error:
            _note(error, _until_reset_s(headers, rest[0]))
            raise
        except ccxt.ExchangeError as error:
            if type(error) is ccxt.ExchangeError and not 400 <= code < 500:
                raise ccxt.ExchangeNotAvailable(str(error)) from error
            raise

    api.handle_errors = handle_errors


def _refuse_throttled(exchange: str, code: int, reason: str, headers: Any) -> None:
    """Raise for the statuses that tell us to stop, with how long."""
    import ccxt

    said = f"{exchange} {code} {reason}"
    if exchange == "bybit" and code == 403:
        raise _note(ccxt.RateLimitExceeded(said), _BYBIT_BAN_S, ban=True)
    if code in _FORBIDDEN:
        raise ccxt.PermissionDenied(said)
    if code in _THROTTLED:
        kind = ccxt.ExchangeNotAvailable if code == 503 else ccxt.RateLimitExceeded
        raise _note(kind(said), _seconds(headers, "retry-after"), ban=code == 418)


def _note(error: Any, wait_s: float | None, *, ban: bool = False) -> Any:
    error.retry_after_s = wait_s
    error.ban = ban
    return error


def _seconds(headers: Any, name: str) -> float | None:
    text = next((value for key, value in (headers or {}).items() if key.lower() == name), None)
    try:
        return max(float(text), 0.0) if text is not None else None
    except ValueError:
        return None


def _until_reset_s(headers: Any, response: Any) -> float | None:
    """Bybit tells when its window ends, in milliseconds of its own clock, which stands in the answer."""
    reset = _seconds(headers, "x-bapi-limit-reset-timestamp")
    now = response.get("time") if isinstance(response, dict) else None
    return None if reset is None or now is None else max(reset - float(now), 0.0) / 1000.0
