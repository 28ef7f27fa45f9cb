"""How are the features of everything in the lake computed? Block by block; finished blocks are kept."""

from prefect import flow

from tasks.artifacts import show_counts
from tasks.features import build

__all__ = ["build_features"]


@flow(name="features", flow_run_name="features")
def build_features(home: str, symbols: list[str] | None = None) -> dict[str, object]:
    """Compute all features; safe to run twice."""
    done = build(home, symbols=symbols or [])
    show_counts("features", done, title="Feature build")
    return done
