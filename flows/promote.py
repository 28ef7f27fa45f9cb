"""How is a champion chosen? Shadow replay on unseen bars, gates, decision card."""

from prefect import flow

from tasks.artifacts import show_card, show_counts
from tasks.deciding import decide
from tasks.shadowing import shadow_replay

__all__ = ["promote", "shadow"]


@flow(name="shadow", flow_run_name="shadow")
def shadow(home: str) -> dict[str, object]:
    """Replay challenger and champion over the stretch after training, through the worker's own code."""
    done = shadow_replay(home)
    show_counts("shadow", done, title="Shadow replay")
    return done


@flow(name="promote", flow_run_name="promote")
def promote(home: str, dry_run: bool = False, who: str = "lockstep promote", force_why: str = "") -> dict[str, object]:
    """Judge the challenger by its gates; promote it or say why not.

    Args:
        home: The home directory.
        dry_run: Judge and show, change nothing.
        who: Who asks; kept with the deployment.
        force_why: Why the challenger is promoted past failed gates of statistics; empty lets the gates decide.
    """
    decision = decide(home, dry_run=dry_run, who=who, force_why=force_why)
    show_card("decision-card", decision)
    return decision
