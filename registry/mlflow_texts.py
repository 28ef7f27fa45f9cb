"""What do MLflow's pages say about an experiment and a registered model as a whole?"""

__all__ = ["about_experiment", "about_model"]


def about_experiment(model_name: str) -> str:
    """Markdown above the list of runs."""
    return (
        f"Trainings of **{model_name}**, one run each; beneath it its walk-forward folds and tuning trials.\n\n"
        "- `oof/...` is the ensemble on bars that no model had seen, after fees, slippage and funding; `model/...` "
        "each model alone; `baseline/...` what doing something simpler would have given.\n"
        "- `fold/...` holds one value a fold (step = fold).\n"
        "- `time_s/...` is where the time went.\n"
        "- Files: `reports/` the page of the training, `evaluation/` every trade and every out-of-fold prediction, "
        "`model/` the sealed bundle.\n\n"
        "Scores of folds are no promise: what decides a promotion are the gates and the shadow test "
        "(`lockstep promote`), and their decision cards."
    )


def about_model(model_name: str) -> str:
    """Markdown above the list of versions."""
    return (
        f"Sealed bundles of **{model_name}**: features contract, models, calibration, thresholds and policy as one "
        "unit, without pickles.\n\n"
        "`champion` serves, `challenger` is being judged, `previous` is what a rollback returns to. Aliases show what "
        "Lockstep decided; `lockstep promote` and `lockstep rollback` move them with a decision card.\n\n"
        "Each version's description is its model card, with the decisions about it at the end; the tag `bundle_hash` "
        "is what is verified before it is loaded."
    )
