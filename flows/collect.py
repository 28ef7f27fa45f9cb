"""How does market data arrive? From files, or from the synthetic market, into the lake; then coverage is measured."""

from prefect import flow

from tasks.artifacts import show_table
from tasks.collecting import backfill_files, backfill_synthetic, measure

__all__ = ["backfill_from_files", "backfill_from_synthetic"]


@flow(name="backfill-files")
def backfill_from_files(
    home: str, folder: str, symbols: list[str], start_ms: int | None = None, end_ms: int | None = None
) -> dict[str, object]:
    """Bring candle files into the lake; safe to run twice."""
    done = backfill_files(home, folder, symbols=symbols, start_ms=start_ms, end_ms=end_ms)
    coverage = measure(home, symbols=symbols)
    show_table("coverage", coverage, title="Coverage of the lake")
    return {**done, "coverage": coverage}


@flow(name="backfill-synthetic")
def backfill_from_synthetic(home: str, symbols: list[str], days: int, seed: int = 7) -> dict[str, object]:
    """Bring the seeded synthetic market into the lake; its rows are tagged synthetic."""
    done = backfill_synthetic(home, symbols=symbols, days=days, seed=seed)
    coverage = measure(home, symbols=symbols)
    show_table("coverage", coverage, title="Coverage of the lake")
    return {**done, "coverage": coverage}
