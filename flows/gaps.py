"""Which bars are missing, and can the venue still bring them?

Every open gap is asked for; then what is left is looked at.
"""

from typing import Any

from prefect import flow

from tasks.artifacts import show_counts, show_table
from tasks.gaps import heal_gaps, look_at_gaps
from tasks.incomplete import refuse_incomplete

__all__ = ["gaps"]


@flow(name="gaps", flow_run_name="gaps")
def gaps(home: str, symbols: list[str] | None = None) -> dict[str, Any]:
    """Ask the venue for the gaps of these symbols, or of all the lake holds, and tell what is left of them.

    Args:
        home: Folder of the installation.
        symbols: Markets, as BTCUSDT or BTC/USDT:USDT; none takes all that the lake holds.
    """
    healed = heal_gaps(home, symbols=symbols or ())
    left = look_at_gaps(home, symbols=symbols or ())
    show_counts("healed", healed, title="Healing of gaps")
    show_table("coverage", left["symbols"], title="Coverage of the lake")
    found = {**left, "healed": healed, "incomplete": healed["incomplete"]}
    refuse_incomplete(found)
    return found
