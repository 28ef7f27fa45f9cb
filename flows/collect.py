"""How does market data arrive in the lake?

From an exchange, from files, or from the synthetic market; then its coverage is measured.
"""

from prefect import flow

from tasks.artifacts import show_table
from tasks.collecting import backfill_files, backfill_synthetic, measure
from tasks.exchange import backfill_exchange, collect_newest

__all__ = ["backfill_from_exchange", "backfill_from_files", "backfill_from_synthetic", "collect"]


@flow(name="collect", flow_run_name="collect")
def collect(home: str, symbols: list[str], now_ms: int) -> dict[str, object]:
    """Bring what closed since the last time from the exchange into the lake."""
    done = collect_newest(home, symbols=symbols, now_ms=now_ms)
    coverage = measure(home, symbols=symbols)
    show_table("coverage", coverage, title="Coverage of the lake")
    return {**done, "coverage": coverage}


@flow(name="backfill", flow_run_name="backfill")
def backfill_from_exchange(home: str, symbols: list[str], start_ms: int, end_ms: int) -> dict[str, object]:
    """Bring history from the exchange into the lake; an interrupted backfill continues."""
    done = backfill_exchange(home, symbols=symbols, start_ms=start_ms, end_ms=end_ms)
    coverage = measure(home, symbols=symbols)
    show_table("coverage", coverage, title="Coverage of the lake")
    return {**done, "coverage": coverage}


@flow(name="backfill-files", flow_run_name="backfill-files")
def backfill_from_files(
    home: str, folder: str, symbols: list[str], start_ms: int | None = None, end_ms: int | None = None
) -> dict[str, object]:
    """Bring candle files into the lake; safe to run twice."""
    done = backfill_files(home, folder, symbols=symbols, start_ms=start_ms, end_ms=end_ms)
    coverage = measure(home, symbols=symbols)
    show_table("coverage", coverage, title="Coverage of the lake")
    return {**done, "coverage": coverage}


@flow(name="backfill-synthetic", flow_run_name="backfill-synthetic")
def backfill_from_synthetic(home: str, symbols: list[str], days: int, seed: int = 7) -> dict[str, object]:
    """Bring the seeded synthetic market into the lake; its rows are tagged synthetic."""
    done = backfill_synthetic(home, symbols=symbols, days=days, seed=seed)
    coverage = measure(home, symbols=symbols)
    show_table("coverage", coverage, title="Coverage of the lake")
    return {**done, "coverage": coverage}
