"""How does a model come to be? Features, walk-forward, sealed bundle, registered challenger."""

from collections.abc import Mapping

from prefect import flow

from tasks.artifacts import show_table
from tasks.training import train_and_register

__all__ = ["train"]


@flow(name="train", flow_run_name="train")
def train(home: str) -> dict[str, object]:
    """Train on the home's training stretch, once per data and settings."""
    run = train_and_register(home)
    evaluation = run["evaluation"]
    if isinstance(evaluation, Mapping):
        rows = [{"strategy": name, **scores} for name, scores in evaluation["strategies"].items()]
        show_table("walk-forward", rows, title="Walk-forward scores beside baselines, out of fold, after costs")
    return run
