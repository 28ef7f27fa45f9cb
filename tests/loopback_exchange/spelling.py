"""How is a fault written on the command line?

``NAME:ARGUMENT:...``, for example ``429:klines:3`` or ``gap:BTCUSDT:2025-09-20T05:30:223``. A path may be narrowed to a
symbol (``klines@BTCUSDT``); TIMES is a number, ``*`` for every call, or a chance such as ``5%``; a symbol may be ``*``.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime

from tests.loopback_exchange import warts
from tests.loopback_exchange.faults import Fault, FaultKind
from tests.loopback_exchange.markets import LoopbackMarket
from tests.loopback_exchange.venue import LoopbackExchange

__all__ = ["apply_fault", "fault_help", "time_of"]

_TIME = r"\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?!\d))?Z?)?"
_TIMED = {FaultKind.SLOW, FaultKind.SLOW_BODY}
_CALLS = {kind.name.lower(): kind for kind in FaultKind if kind is not FaultKind.STATUS}
_Wart = Callable[[LoopbackMarket, list[str]], LoopbackMarket]


def time_of(text: str) -> int:
    """A date, an ISO time (UTC) or milliseconds, as ms UTC."""
    if text.isdigit():
        return int(text)
    return int(datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=UTC).timestamp() * 1000)


def _bars(more: list[str]) -> int:
    return int(more[1]) if len(more) > 1 else warts.GAP_BARS


def _healing(market: LoopbackMarket, more: list[str]) -> LoopbackMarket:
    asks = re.fullmatch(r"(\d+)asks", more[2])
    return warts.healing_gap(
        market,
        start_ms=time_of(more[0]),
        bars=_bars(more),
        heals_at_ms=None if asks else time_of(more[2]),
        heals_after_asks=int(asks[1]) if asks else None,
    )


_WARTS: dict[str, tuple[str, str, _Wart]] = {
    "gap": (
        "START[:BARS]",
        "bars that the venue never had, 223 unless told otherwise",
        lambda market, more: warts.gap(market, start_ms=time_of(more[0]), bars=_bars(more)),
    ),
    "healing_gap": (
        "START:BARS:HEALS",
        "the same until HEALS: a time, or a number of asks such as 2asks",
        _healing,
    ),
    "revised": (
        "SECONDS",
        "closed bars have other values for so long after their close",
        lambda market, more: warts.revised(market, for_ms=int(1000 * float(more[0]))),
    ),
    "delisted": (
        "TIME[:REMOVED]",
        "no more trading from TIME on, unknown from REMOVED on",
        lambda market, more: warts.delisted(
            market, at_ms=time_of(more[0]), removed_ms=time_of(more[1]) if len(more) > 1 else None
        ),
    ),
    "funding_switch": (
        "[START]",
        "settlements every 8, then 4, then 1 hours",
        lambda market, more: warts.switching_funding(market, start_ms=time_of(more[0]) if more else None),
    ),
    "funding_jitter": ("", "settlement stamps up to 40 ms late", lambda market, _: warts.jittered_funding(market)),
    "oi_off_grid": ("", "some open interest stamps are late", lambda market, _: warts.off_grid_interest(market)),
    "oi_zero": ("", "some open interest is exactly zero", lambda market, _: warts.zero_interest(market)),
    "oi_doubled": ("", "some slots hold two open interest stamps", lambda market, _: warts.doubled_interest(market)),
}


def apply_fault(exchange: LoopbackExchange, spelling: str) -> None:
    """Give the exchange this fault; ``ValueError`` says what is wrong with the spelling."""
    try:
        name, *more = re.findall(rf"{_TIME}|[^:]+", spelling)
        if name == "clock":
            exchange.says_offset_ms = int(1000 * float(more[0]))
            exchange.serves_offset_ms = exchange.says_offset_ms if more[1:] == ["serves"] else 0
        elif name in _WARTS:
            _spread(exchange, name, more)
        else:
            exchange.faults.append(_fault(name, more))
    except (IndexError, KeyError, ValueError) as error:
        raise ValueError(f"fault {spelling!r} is not understood ({error}): write it as\n{fault_help()}") from error


def fault_help() -> str:
    """A line for each fault."""
    lines = [("STATUS:PATH[:TIMES[:RETRY_AFTER]]", f"such as 429, 418, 503: {FaultKind.STATUS.value}")]
    for name, kind in _CALLS.items():
        lines.append((f"{name}:PATH{':SECONDS' if kind in _TIMED else ''}[:TIMES]", kind.value))
    lines += [(f"{name}:SYMBOL{':' if form else ''}{form}", told) for name, (form, told, _) in _WARTS.items()]
    lines.append(("clock:SECONDS[:serves]", "a wrong server clock; with serves it also decides what is served"))
    return "\n".join(f"  {form:42} {told}" for form, told in lines)


def _spread(exchange: LoopbackExchange, name: str, more: list[str]) -> None:
    for symbol in list(exchange.markets) if more[0] == "*" else [more[0]]:
        exchange.markets[symbol] = _WARTS[name][2](exchange.markets[symbol], more[1:])


def _fault(name: str, more: list[str]) -> Fault:
    path, _, symbol = more[0].partition("@")
    fault = Fault(path=path, symbol=symbol or None, status=int(name) if name.isdigit() else None)
    rest = more[1:]
    if fault.status is None:
        fault.kind = _CALLS[name]
        if fault.kind in _TIMED:
            fault.slow_s = float(rest.pop(0))
    times = rest[0] if rest else "1"
    if times.endswith("%"):
        fault.times, fault.probability = None, float(times[:-1]) / 100
    else:
        fault.times = None if times == "*" else int(times)
    if fault.status is not None and len(rest) > 1:
        fault.retry_after_s = float(rest[1])
    return fault
