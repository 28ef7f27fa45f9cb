"""Does the champion deserve to serve, and could it be taken back?"""

from prefect import flow

from tasks.artifacts import show_counts, show_table
from tasks.champion_watch import watch_champion
from tasks.drill import rollback_drill

__all__ = ["drill", "watch"]


@flow(name="watch", flow_run_name="watch")
def watch(home: str) -> dict[str, object]:
    """Check the champion for harm, parity and degraded bars by stored rows; roll back, or halt, where one fires.

    Args:
        home: Folder that holds everything of one installation.
    """
    done = watch_champion(home)
    checks = done["checks"]
    if isinstance(checks, list):
        shown = [{name: one[name] for name in ("name", "verdict", "reason")} for one in checks]
        show_table("champion-checks", shown, title=f"Champion: {done['verdict']}, action: {done['action'] or 'none'}")
    return done


@flow(name="drill", flow_run_name="drill")
def drill(home: str) -> dict[str, object]:
    """Roll back and forward in a scratch home, with the bundles of this one.

    Args:
        home: Folder that holds everything of one installation.
    """
    done = rollback_drill(home)
    steps = done["steps_s"]
    if isinstance(steps, dict):
        show_counts("rollback-drill", steps, title="Rollback drill: seconds a step")
    return done
