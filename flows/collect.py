"""How does market data arrive in the lake?

What closed since the last time from the exchange, history from the exchange or from files, or the synthetic market.
Each is safe to run twice, and continues where it was interrupted.
"""

from datetime import datetime
from typing import Any

from prefect import flow

from tasks.artifacts import show_table
from tasks.collecting import backfill_files, backfill_synthetic
from tasks.coverage import measure
from tasks.exchange import backfill_exchange, collect_newest
from tasks.incomplete import refuse_incomplete
from tasks.moments import milliseconds

__all__ = ["backfill", "backfill_from_synthetic", "collect"]

_COVERAGE = "Coverage of the lake"


@flow(name="collect", flow_run_name="collect")
def collect(home: str, symbols: list[str] | None = None) -> dict[str, Any]:
    """Bring what is due from the exchange into the lake: bars, settlements, open interest, mark prices.

    Args:
        home: Folder of the installation.
        symbols: Markets, as BTCUSDT or BTC/USDT:USDT; none takes those the home follows.
    """
    found = collect_newest(home, symbols=symbols)
    show_table("coverage", found["coverage"], title=_COVERAGE)
    refuse_incomplete(found)
    return found


@flow(name="backfill", flow_run_name="backfill")
def backfill(
    home: str,
    symbols: list[str] | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    exchange: str | None = None,
    files: str | None = None,
) -> dict[str, Any]:
    """Bring history into the lake, from an exchange or from files; what was answered for earlier is not asked again.

    Args:
        home: Folder of the installation.
        symbols: Markets, as BTCUSDT or BTC/USDT:USDT; an exchange needs them, none takes all that the files hold.
        since: First UTC moment; an exchange needs it, none takes all that the files hold.
        until: UTC moment to stop before; none takes all there is.
        exchange: Venue to ask, binanceusdm or bybit; none takes the one of the settings. One history has one venue.
        files: Folder or file with candles; it takes the place of an exchange.
    """
    start_ms, end_ms = (None if moment is None else milliseconds(moment) for moment in (since, until))
    if files is None:
        found = backfill_exchange(home, symbols=symbols, start_ms=start_ms, end_ms=end_ms, exchange=exchange)
    else:
        found = backfill_files(home, files, symbols=symbols, start_ms=start_ms, end_ms=end_ms)
    coverage = measure(home, symbols=found["symbols"])
    show_table("coverage", coverage, title=_COVERAGE)
    refuse_incomplete({**found, "coverage": coverage})
    return {**found, "coverage": coverage}


@flow(name="backfill-synthetic", flow_run_name="backfill-synthetic")
def backfill_from_synthetic(home: str, symbols: list[str], days: int, seed: int = 7) -> dict[str, Any]:
    """Bring the seeded synthetic market into the lake; its rows are tagged synthetic."""
    found = backfill_synthetic(home, symbols=symbols, days=days, seed=seed)
    coverage = measure(home, symbols=symbols)
    show_table("coverage", coverage, title=_COVERAGE)
    return {**found, "coverage": coverage}
