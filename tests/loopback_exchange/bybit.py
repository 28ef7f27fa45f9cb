"""How does Bybit's v5 API answer the public calls of linear perpetuals that the real ccxt client makes?

Newest rows first, all values text, errors as HTTP 200 with a retCode. Where the window holds more rows than the limit,
the newest come (candles with a start alone: the oldest); open interest goes on with a cursor. A symbol that is not
traded is not listed.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from market.basis import MarkStamps
from market.candles import Candles, Floats, Ints
from market.errors import MarketError
from market.symbols import ccxt_symbol
from market.timeframe import HOUR_MS, Timeframe
from tests.loopback_exchange.limits import Refusal
from tests.loopback_exchange.markets import LoopbackMarket, day_before, happened
from tests.loopback_exchange.texts import Rows, rows_of, ticks
from tests.loopback_exchange.venue import LoopbackExchange, Reply

__all__ = ["ROUTES", "admit", "conflicting", "refused"]

Query = Mapping[str, str]
_MARK_FIELDS = 5
_PERIODS = ("5min", "15min", "30min", "1h", "4h", "1d")


class _WrongError(Exception):
    """The call is refused with this message."""


def admit(exchange: LoopbackExchange, path: str, query: Query) -> Refusal | None:
    """Count the call."""
    return exchange.bybit_limits.use()


def refused(exchange: LoopbackExchange, refusal: Refusal, code: int | None = None) -> Reply:
    """The answer to a call beyond the limits, or to one that a fault strikes."""
    headers = exchange.bybit_limits.headers(exchange.says_ms, refusal)
    if refusal.status == 403:
        return Reply(head=b"403, access too frequent", status=403, content_type="text/plain", headers=headers)
    limited = refusal.status in {200, 429}
    body = _envelope(
        exchange, code or (10006 if limited else 10016), "Too many visits!" if limited else "Server error."
    )
    return Reply.of(body | {"result": {}}, status=refusal.status, headers=headers)


def conflicting(row: Any) -> Any:
    """The same moment with other values."""
    if isinstance(row, list):
        if len(row) <= _MARK_FIELDS:
            return [*row[:4], repr(float(row[4]) + 1.0)]
        return [*row[:4], row[3], repr(float(row[5]) + 1.0), *row[6:]]
    name = "fundingRate" if "fundingRate" in row else "openInterest"
    return row | {name: repr(float(row[name]) + 0.001)}


def _answered(handler: Callable[[LoopbackExchange, Query], Reply]) -> Callable[[LoopbackExchange, Query], Reply]:
    def answer(exchange: LoopbackExchange, query: Query) -> Reply:
        told = "params error: Category Invalid"
        try:
            if handler is _time or query.get("category") == "linear":
                return handler(exchange, query)
        except _WrongError as wrong:
            told = str(wrong)
        return Reply.of(_envelope(exchange, 10001, told) | {"result": {}})

    return answer


def _envelope(exchange: LoopbackExchange, code: int = 0, told: str = "OK") -> dict[str, Any]:
    return {"retCode": code, "retMsg": told, "result": None, "retExtInfo": {}, "time": exchange.says_ms}


def _rows(exchange: LoopbackExchange, rows: bytes, result: str) -> Reply:
    """A result with a list; ``result`` is the JSON of its other fields, without braces."""
    head = f'{{"retCode":0,"retMsg":"OK","result":{{{result},"list":['
    tail = f']}},"retExtInfo":{{}},"time":{exchange.says_ms}}}'
    return Reply(head=head.encode(), rows=rows, tail=tail.encode())


def _time(exchange: LoopbackExchange, _: Query) -> Reply:
    now = exchange.says_ms
    return Reply.of(_envelope(exchange) | {"result": {"timeSecond": str(now // 1000), "timeNano": f"{now}000000"}})


def _instruments(exchange: LoopbackExchange, query: Query) -> Reply:
    _, _, limit = _window(query, "startTime", "endTime", default=500, most=1000)
    traded = [name for name, market in exchange.known_markets().items() if market.trading(exchange.serves_ms)]
    names = sorted(traded) if query.get("status", "Trading") == "Trading" else []
    if "symbol" in query:
        names = [name for name in names if name == query["symbol"]]
    first = int(query.get("cursor") or 0)
    page = [_listing(name, exchange.markets[name]) for name in names[first : first + limit]]
    following = str(first + limit) if first + limit < len(names) else ""
    return Reply.of(_envelope(exchange) | {"result": {"category": "linear", "list": page, "nextPageCursor": following}})


def _listing(symbol: str, market: LoopbackMarket) -> dict[str, object]:
    base, rest = ccxt_symbol(symbol).split("/")
    tick, digits = ticks(market.candles.close)
    gaps = np.diff(market.funding.time[-2:]) if market.funding is not None else np.empty(0)
    return {
        "symbol": symbol,
        "contractType": "LinearPerpetual",
        "status": "Trading",
        "baseCoin": base,
        "quoteCoin": rest.split(":")[0],
        "launchTime": str(market.onboard_ms),
        "deliveryTime": str(market.delisted_ms or 0),
        "deliveryFeeRate": "",
        "priceScale": str(digits),
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
        "priceFilter": {"minPrice": tick, "maxPrice": "1000000", "tickSize": tick},
        "lotSizeFilter": {"maxOrderQty": "1000", "minOrderQty": "0.001", "qtyStep": "0.001", "minNotionalValue": "5"},
        "unifiedMarginTrade": True,
        "fundingInterval": int(gaps[0] // 60_000) if gaps.size else 8 * HOUR_MS // 60_000,
        "settleCoin": rest.split(":")[1],
    }


def _klines(exchange: LoopbackExchange, query: Query) -> Reply:
    market = _market(exchange, query)
    candles = exchange.candles(market, _interval(query.get("interval", "")))
    if candles is None:
        raise _WrongError("params error: Interval Invalid")
    start, end, limit = _window(query, "start", "end", default=200, most=1000)
    if start is not None:
        start = start // candles.timeframe.ms * candles.timeframe.ms  # the bar that contains the start comes too
    oldest = start is not None and end is None
    picked = exchange.pick(market, candles, start_ms=start, end_ms=end, limit=limit, oldest=oldest)
    rows: Rows = exchange.texts.get(market, f"bybit {candles.timeframe.name}", lambda: _kline_rows(candles))
    others = {len(candles) - 1 - row: _kline(candles, row, share) for row, share in picked.shares.items()}
    return _rows(
        exchange,
        rows.join(len(candles) - 1 - picked.rows[::-1], others),
        f'"symbol":"{query["symbol"]}","category":"linear"',
    )


def _kline_rows(candles: Candles) -> Rows:
    columns = (candles.open, candles.high, candles.low, candles.close, candles.volume)
    return _kline_texts(candles.open_time, *columns)


def _kline_texts(times: Ints, o: Floats, h: Floats, l: Floats, c: Floats, v: Floats) -> Rows:  # noqa: E741
    turnover = np.round(v * (h + l) / 2, 4)
    parts = ('["', times, '","', o, '","', h, '","', l, '","', c, '","', v, '","', turnover, '"]')
    return rows_of(*parts, newest_first=True)


def _kline(candles: Candles, row: int, share: float) -> bytes:
    values = (np.array([value]) for value in happened(candles, row, share))
    return _kline_texts(candles.open_time[row : row + 1], *values).join(np.array([0]), {})


def _marks(exchange: LoopbackExchange, query: Query) -> Reply:
    market = _market(exchange, query)
    start, end, limit = _window(query, "start", "end", default=200, most=1000)
    if query.get("interval") != "60":
        raise _WrongError("params error: Interval Invalid")
    stamps, result = market.mark, f'"symbol":"{query["symbol"]}","category":"linear"'
    if stamps is None:
        return _rows(exchange, b"", result)
    if start is not None:
        start = start // HOUR_MS * HOUR_MS  # the bar that contains the start comes too
    oldest = start is not None and end is None
    picked, forming = exchange.pick_marks(market, start_ms=start, end_ms=end, limit=limit, oldest=oldest)
    last = stamps.time.size - 1
    rows: Rows = exchange.texts.get(market, "bybit marks", lambda: _mark_texts(stamps.time, stamps.price))
    others = {} if forming is None else {last - forming: _forming_mark(stamps, forming)}
    return _rows(exchange, rows.join(last - picked[::-1], others), result)


def _mark_texts(times: Ints, price: Floats) -> Rows:
    parts = ('["', times - HOUR_MS, '","', price, '","', price, '","', price, '","', price, '"]')
    return rows_of(*parts, newest_first=True)


def _forming_mark(stamps: MarkStamps, row: int) -> bytes:
    """Another price than the final one."""
    now = _mark_texts(stamps.time[row : row + 1], np.round(stamps.price[row : row + 1] * 1.01, 8))
    return now.join(np.array([0]), {})


def _funding(exchange: LoopbackExchange, query: Query) -> Reply:
    market = _market(exchange, query)
    start, end, limit = _window(query, "startTime", "endTime", default=200, most=200)
    if start is not None and end is None:
        raise _WrongError("params error: EndTime Invalid")
    stamps, result = market.funding, '"category":"linear"'
    if stamps is None:
        return _rows(exchange, b"", result)
    name = f'{{"symbol":"{query["symbol"]}","fundingRate":"'
    rows: Rows = exchange.texts.get(
        market,
        "bybit funding",
        lambda: rows_of(name, stamps.rate, '","fundingRateTimestamp":"', stamps.time, '"}', newest_first=True),
    )
    picked = exchange.pick_stamps(market, stamps.time, start_ms=start, end_ms=end, limit=limit, oldest=False)
    return _rows(exchange, rows.join(stamps.time.size - 1 - picked[::-1], {}), result)


def _open_interest(exchange: LoopbackExchange, query: Query) -> Reply:
    market = _market(exchange, query)
    start, end, limit = _window(query, "startTime", "endTime", default=50, most=200)
    if query.get("intervalTime") not in _PERIODS:
        raise _WrongError("params error: IntervalTime Invalid")
    period = Timeframe.parse(query["intervalTime"].removesuffix("in"))
    held, result = market.open_interest, f'"symbol":"{query["symbol"]}","category":"linear","nextPageCursor":'
    if held is None:
        return _rows(exchange, b"", f'{result}""')
    # The venue walks back from the end; a start alone is ignored, and the cursor is the first row not yet given.
    since = start if end is not None else None
    picked = exchange.pick_stamps(
        market, held.time, start_ms=since, end_ms=end, limit=held.time.size, oldest=False, period=period
    )
    if query.get("cursor"):
        picked = picked[picked <= int(query["cursor"])]
    page = picked[max(picked.size - limit, 0) :]
    following = str(int(picked[-limit - 1])) if picked.size > limit else ""
    rows: Rows = exchange.texts.get(
        market,
        "bybit open interest",
        lambda: rows_of('{"openInterest":"', held.value, '","timestamp":"', held.time, '"}', newest_first=True),
    )
    return _rows(exchange, rows.join(held.time.size - 1 - page[::-1], {}), f'{result}"{following}"')


def _tickers(exchange: LoopbackExchange, query: Query) -> Reply:
    known = exchange.known_markets() if "symbol" not in query else {query["symbol"]: _market(exchange, query)}
    traded = {name: market for name, market in known.items() if market.trading(exchange.serves_ms)}
    days = [_day(name, market, exchange) for name, market in traded.items()]
    return Reply.of(_envelope(exchange) | {"result": {"category": "linear", "list": days}})


def _day(symbol: str, market: LoopbackMarket, exchange: LoopbackExchange) -> dict[str, str]:
    day, now = day_before(market, exchange.serves_ms), exchange.serves_ms
    held, stamps = market.open_interest, market.funding
    last_held = int(np.searchsorted(held.time, now, side="right")) - 1 if held is not None else -1
    last_paid = int(np.searchsorted(stamps.time, now, side="right")) - 1 if stamps is not None else -1
    interest = float(held.value[last_held]) if held is not None and last_held >= 0 else 0.0
    rate = float(stamps.rate[last_paid]) if stamps is not None and last_paid >= 0 else 0.0
    price = repr(day.close)
    return {
        "symbol": symbol,
        "lastPrice": price,
        "indexPrice": price,
        "markPrice": price,
        "prevPrice24h": repr(day.open),
        "price24hPcnt": f"{day.close / day.open - 1 if day.open else 0:.6f}",
        "highPrice24h": repr(day.high),
        "lowPrice24h": repr(day.low),
        "prevPrice1h": price,
        "openInterest": repr(interest),
        "openInterestValue": repr(round(interest * day.close, 4)),
        "turnover24h": repr(round(day.turnover, 4)),
        "volume24h": repr(round(day.volume, 8)),
        "fundingRate": repr(rate),
        "nextFundingTime": str((now // (8 * HOUR_MS) + 1) * 8 * HOUR_MS),
        "deliveryTime": "0",
        "bid1Price": price,
        "bid1Size": "1",
        "ask1Price": price,
        "ask1Size": "1",
    }


def _market(exchange: LoopbackExchange, query: Query) -> LoopbackMarket:
    market = exchange.market(query.get("symbol"))
    if market is None:
        raise _WrongError("params error: Symbol Invalid")
    return market


def _interval(name: str) -> Timeframe:
    try:
        return Timeframe.parse(f"{name}m" if name.isdigit() else name.replace("D", "1d"))
    except MarketError:
        raise _WrongError("params error: Interval Invalid") from None


def _window(query: Query, first: str, last: str, *, default: int, most: int) -> tuple[int | None, int | None, int]:
    """Start, end and limit as asked; what the venue refuses is refused."""
    try:
        start, end = (int(query[name]) if name in query else None for name in (first, last))
        limit = int(query.get("limit", default))
    except ValueError:
        raise _WrongError("params error: not a number") from None
    if start is not None and end is not None and start > end:
        raise _WrongError(f"params error: {first} is after {last}")
    if not 1 <= limit <= most:
        raise _WrongError(f"params error: limit must be 1 to {most}")
    return start, end, limit


ROUTES: dict[str, Callable[[LoopbackExchange, Query], Reply]] = {
    path: _answered(handler)
    for path, handler in {
        "/v5/market/time": _time,
        "/v5/market/instruments-info": _instruments,
        "/v5/market/kline": _klines,
        "/v5/market/mark-price-kline": _marks,
        "/v5/market/funding/history": _funding,
        "/v5/market/open-interest": _open_interest,
        "/v5/market/tickers": _tickers,
    }.items()
}
