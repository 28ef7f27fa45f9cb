"""Which markets belong to the universe: today by the venue, on past days by the lake?"""

from typing import Any

from prefect import flow

from tasks.artifacts import show_table
from tasks.universe import build_universe, refresh_universe

__all__ = ["build", "refresh"]


@flow(name="universe-refresh", flow_run_name="universe-refresh")
def refresh(home: str, now_ms: int | None = None) -> dict[str, Any]:
    """Decide the universe of today from the venue, once a day; a failure leaves the last one as it is.

    Args:
        home: Folder of the installation.
        now_ms: The moment whose day is decided, ms UTC; none takes this machine's clock.
    """
    found = refresh_universe(home, now_ms=now_ms)
    rows = [{"symbol": name, "change": "entered"} for name in found["entered"]]
    rows += [{"symbol": name, "change": f"left: {why}"} for name, why in found["left"].items()]
    show_table("universe", rows, title=f"Universe of {found['day']}")
    return found


@flow(name="universe-build", flow_run_name="universe-build")
def build(home: str, start_ms: int, end_ms: int | None = None) -> dict[str, Any]:
    """Decide the universe of past days from the lake; days that were decided before stay as they are.

    Args:
        home: Folder of the installation.
        start_ms: The first day begins at or after it, ms UTC.
        end_ms: The last day begins before it, ms UTC; none goes as far as the lake holds.
    """
    found = build_universe(home, start_ms=start_ms, end_ms=end_ms)
    show_table("universe", found["changes"], title="Entries and exits")
    return found
