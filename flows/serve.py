"""How is a stretch of the past, or what has just closed, served? Through the worker, bar by bar."""

from prefect import flow

from tasks.artifacts import show_counts
from tasks.serving import replay_stretch, serve_latest

__all__ = ["serve_once", "serve_replay"]


@flow(name="serve-replay", flow_run_name="serve-replay")
def serve_replay(home: str, start_ms: int | None = None, end_ms: int | None = None) -> dict[str, object]:
    """Serve past bars as each was known then; the last stretch of the plan by default."""
    done = replay_stretch(home, start_ms=start_ms, end_ms=end_ms)
    show_counts("served", done, title="Served bars")
    return done


@flow(name="serve-once", flow_run_name="serve-once")
def serve_once(home: str, now_ms: int) -> dict[str, object]:
    """Serve every bar that closed since the last served one."""
    done = serve_latest(home, now_ms=now_ms)
    show_counts("served", done, title="Served bars")
    return done
