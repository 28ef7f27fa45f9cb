"""Which venue do the bars of a symbol come from?

One history has one venue: prices, funding and open interest of two venues differ, and a model trained on both would be
judged on a market that never was. Files say where they lay and not which venue they came from, so an exchange may carry
them on: that they are files of the same venue is for the user to know.
"""

from collections.abc import Sequence

from sqlalchemy import select

from infra.bootstrap import App
from infra.sources.protocol import Kind
from infra.tables import fetched_windows
from market.errors import LockstepError
from market.timeframe import Timeframe

__all__ = ["FILES_PREFIX", "refuse_other_venues"]

FILES_PREFIX = "files:"


def refuse_other_venues(app: App, symbols: Sequence[str], timeframe: Timeframe, *, venue: str) -> None:
    """Raise ``LockstepError`` if the lake holds bars of one of these symbols from another venue."""
    answered = _answered_by(app, symbols, timeframe)
    held = set(app.lake.symbols(timeframe))
    for symbol in symbols:
        others = answered.get(symbol, set()) - {venue}
        # The lake is opened only where it can hold something else: at the first contact, or once another has answered.
        if symbol in held and (venue not in answered.get(symbol, ()) or any(_is_venue(name) for name in others)):
            found = [name for name in app.lake.sources(symbol, timeframe) if name != venue and _is_venue(name)]
            if found:
                raise _mixed(symbol, found[0], venue)


def _answered_by(app: App, symbols: Sequence[str], timeframe: Timeframe) -> dict[str, set[str]]:
    """Who ever answered for the candles of each symbol."""
    columns = fetched_windows.c
    asked = select(columns.symbol, columns.source).where(
        columns.kind == str(Kind.CANDLES), columns.timeframe == timeframe.name, columns.symbol.in_(symbols)
    )
    found: dict[str, set[str]] = {}
    with app.engine.connect() as connection:
        for symbol, source in connection.execute(asked):
            found.setdefault(symbol, set()).add(source)
    return found


def _is_venue(source: str) -> bool:
    return not source.startswith(FILES_PREFIX)


def _mixed(symbol: str, held: str, venue: str) -> LockstepError:
    return LockstepError(
        f"{symbol} holds bars of {held}, and these would be of {venue}",
        why="two venues are two markets: their prices in one history are a market that never was",
        remedy=f"go on with --exchange {held} (LOCKSTEP_DATA__EXCHANGE={held}), or use another --home for {venue}",
    )
