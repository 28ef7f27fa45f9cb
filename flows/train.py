"""How does a model come to be? Features, walk-forward, sealed bundle, registered challenger."""

from collections.abc import Mapping

from prefect import flow

from tasks.artifacts import show_table
from tasks.training import train_and_register
from tasks.training_choice import Mode, chosen_settings

__all__ = ["train"]


@flow(name="train", flow_run_name="train")
def train(
    home: str,
    symbols: list[str] | None = None,
    days: int | None = None,
    mode: Mode | None = None,
    trials: int | None = None,
    minutes: float | None = None,
) -> dict[str, object]:
    """Train on the home's training stretch, once per data and settings.

    Args:
        home: Folder that holds everything of one installation.
        symbols: Markets to train on, in any spelling; none takes those of the settings.
        days: Newest days before the shadow stretch to train on; none takes the settings'.
        mode: direction or meta (the primary rule names the side); none takes the settings'.
        trials: Tuning trials a kind of model, inside the first training window; none takes the settings'.
        minutes: Most minutes to tune; none takes the settings'.
    """
    chosen = chosen_settings(symbols=symbols, days=days, mode=mode, trials=trials, minutes=minutes)
    run = train_and_register(home, chosen)
    evaluation = run["evaluation"]
    if isinstance(evaluation, Mapping):
        rows = [{"strategy": name, **scores} for name, scores in evaluation["strategies"].items()]
        show_table("walk-forward", rows, title="Walk-forward scores beside baselines, out of fold, after costs")
    return run
