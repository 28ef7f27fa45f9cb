"""How does Binance's USD-M futures API answer the public calls that the real ccxt client makes?

Times are inclusive on both ends, prices are text, errors are HTTP 400 with a code. With a start the oldest rows of the
window come, without one the newest. Open interest is kept for 30 days.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from infra.open_interest import OpenInterestStamps
from market.basis import MarkStamps
from market.candles import Candles, Floats, Ints
from market.errors import MarketError
from market.symbols import ccxt_symbol
from market.timeframe import DAY_MS, HOUR_MS, Timeframe
from tests.loopback_exchange.limits import Refusal
from tests.loopback_exchange.markets import LoopbackMarket, day_before, happened, taker_buys
from tests.loopback_exchange.texts import Rows, rows_of, ticks
from tests.loopback_exchange.venue import LoopbackExchange, Reply

__all__ = ["ROUTES", "admit", "conflicting", "refused"]

_FOREVER_MS = 4133404800000  # the delivery date of a perpetual that is not being delisted
_NOTICE_MS = 7 * DAY_MS  # a delisting is announced so long before
_KEPT_MS = 30 * DAY_MS
_ORDERS = {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200}
Query = Mapping[str, str]


class _WrongError(Exception):
    """The call is refused with this code and message."""


def admit(exchange: LoopbackExchange, path: str, query: Query) -> Refusal | None:
    """Count what the call costs, as the venue does."""
    kind = {"openInterestHist": "open_interest", "fundingRate": "funding"}.get(path.rsplit("/", 1)[-1])
    return exchange.binance_limits.use(_weight(path, query), kind)


def refused(exchange: LoopbackExchange, refusal: Refusal, code: int | None = None) -> Reply:
    """The answer to a call beyond the limits, or to one that a fault strikes."""
    until = exchange.says_ms + int(1000 * refusal.wait_s)
    if refusal.status == 418:
        told = f"Way too many requests; IP(127.0.0.1) banned until {until}. Please use the websocket for live updates."
    elif refusal.status == 429:
        told = f"Too many requests; current limit is {exchange.binance_limits.weight} requests per minute."
    else:
        told = "An unknown error occurred while processing the request."
    body = {"code": code or (-1003 if refusal.status in {418, 429} else -1000), "msg": told}
    return Reply.of(body, status=refusal.status)


def conflicting(row: Any) -> Any:
    """The same moment with other values."""
    if isinstance(row, list) and row[5] == "0":
        return [*row[:4], repr(float(row[4]) + 1.0), *row[5:]]
    if isinstance(row, list):
        low = float(row[3])
        return [row[0], row[1], row[2], row[3], repr(low), repr(float(row[5]) + 1.0), *row[6:]]
    name = "fundingRate" if "fundingRate" in row else "sumOpenInterest"
    return row | {name: repr(float(row[name]) + 0.001)}


def _answered(handler: Callable[[LoopbackExchange, Query], Reply]) -> Callable[[LoopbackExchange, Query], Reply]:
    def answer(exchange: LoopbackExchange, query: Query) -> Reply:
        try:
            return handler(exchange, query)
        except _WrongError as wrong:
            code, told = wrong.args
            return Reply.of({"code": code, "msg": told}, status=400)

    return answer


def _time(exchange: LoopbackExchange, _: Query) -> Reply:
    return Reply.of({"serverTime": exchange.says_ms})


def _exchange_info(exchange: LoopbackExchange, _: Query) -> Reply:
    listed = exchange.known_markets().items()
    return Reply.of(
        {
            "timezone": "UTC",
            "serverTime": exchange.says_ms,
            "futuresType": "U_MARGINED",
            "rateLimits": [exchange.binance_limits.announced, _ORDERS],
            "exchangeFilters": [],
            "assets": [],
            "symbols": [_listing(symbol, market, exchange.serves_ms) for symbol, market in listed],
        }
    )


def _listing(symbol: str, market: LoopbackMarket, now_ms: int) -> dict[str, object]:
    base, rest = ccxt_symbol(symbol).split("/")
    quote = rest.split(":")[0]
    end = market.delisted_ms
    tick, digits = ticks(market.candles.close)
    return {
        "symbol": symbol,
        "pair": symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": end if end is not None and now_ms >= end - _NOTICE_MS else _FOREVER_MS,
        "onboardDate": market.onboard_ms,
        "status": "TRADING" if market.trading(now_ms) else "SETTLING",
        "baseAsset": base,
        "quoteAsset": quote,
        "marginAsset": quote,
        "pricePrecision": digits,
        "quantityPrecision": 3,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000", "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "1000", "stepSize": "0.001"},
            {"filterType": "MIN_NOTIONAL", "notional": "5"},
        ],
        "orderTypes": ["LIMIT", "MARKET"],
        "timeInForce": ["GTC"],
    }


def _klines(exchange: LoopbackExchange, query: Query) -> Reply:
    market = _market(exchange, query)
    candles = _bars(exchange, market, query.get("interval"))
    start, end, limit = _window(query, default=500, most=1500)
    picked = exchange.pick(market, candles, start_ms=start, end_ms=end, limit=limit, oldest=start is not None)
    rows: Rows = exchange.texts.get(market, f"binance {candles.timeframe.name}", lambda: _kline_rows(candles))
    others = {row: _kline(candles, row, share) for row, share in picked.shares.items()}
    return Reply(head=b"[", rows=rows.join(picked.rows, others), tail=b"]")


def _bars(exchange: LoopbackExchange, market: LoopbackMarket, interval: str | None) -> Candles:
    try:
        candles = exchange.candles(market, Timeframe.parse(interval or ""))
    except MarketError:
        candles = None
    if candles is None:
        raise _WrongError(-1120, "Invalid interval.")
    return candles


def _kline_rows(candles: Candles) -> Rows:
    """The twelve fields; those no archive here has are what a bar's volume and middle price make likely."""
    columns = (candles.open, candles.high, candles.low, candles.close, candles.volume)
    return _kline_texts(candles.open_time, candles.timeframe, *columns)


def _kline_texts(times: Ints, timeframe: Timeframe, o: Floats, h: Floats, l: Floats, c: Floats, v: Floats) -> Rows:  # noqa: E741
    turnover = np.round(v * (h + l) / 2, 4)
    trades = np.ceil(np.sqrt(v)).astype(np.int64)
    start = ("[", times, ',"', o, '","', h, '","', l, '","', c, '","', v, '",')
    rest = (times + timeframe.ms - 1, ',"', turnover, '",', trades, ',"', taker_buys(h, l, c, v), '","')
    rest += (turnover / 2, '","0"]')
    return rows_of(*start, *rest)


def _kline(candles: Candles, row: int, share: float) -> bytes:
    values = (np.array([value]) for value in happened(candles, row, share))
    one = _kline_texts(candles.open_time[row : row + 1], candles.timeframe, *values)
    return one.join(np.array([0]), {})


def _marks(exchange: LoopbackExchange, query: Query) -> Reply:
    market = _market(exchange, query)
    start, end, limit = _window(query, default=500, most=1500)
    if query.get("interval") != "1h":
        raise _WrongError(-1120, "Invalid interval.")
    stamps = market.mark
    if stamps is None:
        return Reply(head=b"[", rows=b"", tail=b"]")
    rows: Rows = exchange.texts.get(market, "binance marks", lambda: _mark_texts(stamps.time, stamps.price))
    picked, forming = exchange.pick_marks(market, start_ms=start, end_ms=end, limit=limit, oldest=start is not None)
    others = {} if forming is None else {forming: _forming_mark(stamps, forming)}
    return Reply(head=b"[", rows=rows.join(picked, others), tail=b"]")


def _mark_texts(times: Ints, price: Floats) -> Rows:
    """Twelve fields as those of klines; there is no volume, and the venue counts ticks where klines have trades."""
    prices = ('"', price, '","', price, '","', price, '","', price, '",')
    return rows_of("[", times - HOUR_MS, ",", *prices, '"0",', times - 1, ',"0",3600,"0","0","0"]')


def _forming_mark(stamps: MarkStamps, row: int) -> bytes:
    """Another price than the final one."""
    now = _mark_texts(stamps.time[row : row + 1], np.round(stamps.price[row : row + 1] * 1.01, 8))
    return now.join(np.array([0]), {})


def _funding(exchange: LoopbackExchange, query: Query) -> Reply:
    market = _market(exchange, query)
    start, end, limit = _window(query, default=100, most=1000)
    stamps = market.funding
    if stamps is None:
        return Reply(head=b"[", rows=b"", tail=b"]")
    name = f'{{"symbol":"{query["symbol"]}","fundingTime":'
    rows: Rows = exchange.texts.get(
        market,
        "binance funding",
        lambda: rows_of(name, stamps.time, ',"fundingRate":"', stamps.rate, '","markPrice":""}'),
    )
    picked = exchange.pick_stamps(
        market, stamps.time, start_ms=start, end_ms=end, limit=limit, oldest=start is not None
    )
    return Reply(head=b"[", rows=rows.join(picked, {}), tail=b"]")


def _open_interest(exchange: LoopbackExchange, query: Query) -> Reply:
    market = _market(exchange, query)
    start, end, limit = _window(query, default=30, most=500)
    oldest = exchange.serves_ms - _KEPT_MS
    if start is not None and start < oldest:
        raise _WrongError(-1130, "parameter 'startTime' is invalid.")
    held = market.open_interest
    try:
        period = Timeframe.parse(query.get("period", ""))
    except MarketError:
        raise _WrongError(-1130, "parameter 'period' is invalid.") from None
    if held is None:
        return Reply(head=b"[", rows=b"", tail=b"]")
    rows: Rows = exchange.texts.get(
        market, "binance open interest", lambda: _interest_rows(query["symbol"], market.candles, held)
    )
    since = oldest if start is None else start
    picked = exchange.pick_stamps(
        market, held.time, start_ms=since, end_ms=end, limit=limit, oldest=start is not None, period=period
    )
    return Reply(head=b"[", rows=rows.join(picked, {}), tail=b"]")


def _interest_rows(symbol: str, candles: Candles, held: OpenInterestStamps) -> Rows:
    at = np.clip(np.searchsorted(candles.open_time, held.time, side="right") - 1, 0, None)
    value = held.value * candles.close[at] if len(candles) else held.value
    name = f'{{"symbol":"{symbol}","sumOpenInterest":"'
    worth = '","sumOpenInterestValue":"'
    return rows_of(name, held.value, worth, np.round(value, 4), '","timestamp":', held.time, "}")


def _ticker(exchange: LoopbackExchange, query: Query) -> Reply:
    if "symbol" in query:
        return Reply.of(_day(query["symbol"], _market(exchange, query), exchange))
    return Reply.of([_day(symbol, market, exchange) for symbol, market in exchange.known_markets().items()])


def _day(symbol: str, market: LoopbackMarket, exchange: LoopbackExchange) -> dict[str, object]:
    day = day_before(market, exchange.serves_ms)
    change = day.close - day.open
    return {
        "symbol": symbol,
        "priceChange": repr(round(change, 8)),
        "priceChangePercent": f"{100 * change / day.open if day.open else 0:.3f}",
        "weightedAvgPrice": repr(round(day.turnover / day.volume if day.volume else day.close, 8)),
        "lastPrice": repr(day.close),
        "lastQty": "1",
        "openPrice": repr(day.open),
        "highPrice": repr(day.high),
        "lowPrice": repr(day.low),
        "volume": repr(round(day.volume, 8)),
        "quoteVolume": repr(round(day.turnover, 4)),
        "openTime": day.end_ms - DAY_MS,
        "closeTime": day.end_ms,
        "firstId": 0,
        "lastId": day.trades,
        "count": day.trades,
    }


def _market(exchange: LoopbackExchange, query: Query) -> LoopbackMarket:
    if "symbol" not in query:
        raise _WrongError(-1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
    market = exchange.market(query["symbol"])
    if market is None:
        raise _WrongError(-1121, "Invalid symbol.")
    return market


def _window(query: Query, *, default: int, most: int) -> tuple[int | None, int | None, int]:
    """Start, end and limit as asked; what the venue refuses is refused."""
    try:
        start, end = (int(query[name]) if name in query else None for name in ("startTime", "endTime"))
        limit = int(query.get("limit", default))
    except ValueError:
        raise _WrongError(-1102, "A mandatory parameter was not sent, was empty/null, or malformed.") from None
    if start is not None and end is not None and start > end:
        raise _WrongError(-1023, "Start time is greater than end time.")
    if not 1 <= limit <= most:
        raise _WrongError(-1130, "parameter 'limit' is invalid.")
    return start, end, limit


def _weight(path: str, query: Query) -> int:
    if path.endswith(("/klines", "/markPriceKlines")):
        limit = int(query.get("limit", 500)) if query.get("limit", "500").isdigit() else 500
        return 1 if limit < 100 else 2 if limit < 500 else 5 if limit <= 1000 else 10
    return 40 if path.endswith("/ticker/24hr") and "symbol" not in query else 1


ROUTES: dict[str, Callable[[LoopbackExchange, Query], Reply]] = {
    path: _answered(handler)
    for path, handler in {
        "/fapi/v1/time": _time,
        "/fapi/v1/exchangeInfo": _exchange_info,
        "/fapi/v1/klines": _klines,
        "/fapi/v1/markPriceKlines": _marks,
        "/fapi/v1/fundingRate": _funding,
        "/fapi/v1/ticker/24hr": _ticker,
        "/futures/data/openInterestHist": _open_interest,
    }.items()
}
