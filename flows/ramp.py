"""How much capital may the champion use?"""

from prefect import flow

from tasks.artifacts import show_table
from tasks.ramp import check_ramp

__all__ = ["ramp"]


@flow(name="ramp", flow_run_name="ramp")
def ramp(home: str) -> dict[str, object]:
    """Judge the champion's stage of capital by stored rows; promote, demote or wait.

    Args:
        home: Folder that holds everything of one installation.
    """
    done = check_ramp(home)
    gates = done["gates"]
    if isinstance(gates, list) and gates:
        shown = [{name: one[name] for name in ("name", "passed", "detail")} for one in gates]
        show_table("capital-ramp", shown, title=f"Capital: {done['stage']}, {done['reason']}")
    return done
