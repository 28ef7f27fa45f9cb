"""Is a result too good to be true?

Three numbers that a leak or a memory of the training rows drives up and that honest markets keep low. They are shares
of the log loss of class shares alone, so they mean the same whatever the classes: the out-of-fold skill; what the
registered models know of their own training rows beyond that; and the share of gain of the one feature that leads in
every window. The gates refuse above their limits: a human looks first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import Any

from learning.climatology import Climatology
from learning.metrics import log_loss
from learning.panel import Panel
from learning.training import TrainingResult
from market.candles import Floats
from registry.predictors import ensemble_mean, load_predictor, predict_all
from registry.sides import restrict_to_sides

__all__ = ["Plausibility", "leading_feature", "plausibility", "restored_plausibility"]

_MOST_ROWS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Plausibility:
    """``skill_share`` out of fold, ``seen_share`` on the final models' own training rows (1 is certainty, 0 nothing).

    ``overfit_gap`` is seen minus out of fold. ``importance_share`` is the least share of gain, over all windows, of
    ``importance_feature``, the feature for which that is largest.
    """

    skill_share: float
    seen_share: float
    overfit_gap: float
    importance_share: float
    importance_feature: str


def plausibility(result: TrainingResult, panel: Panel, *, names: Sequence[str]) -> Plausibility:
    """Measure one training; ``panel`` is the one it was given, ``names`` its features in order.

    At most 20,000 training rows, evenly spread, are predicted, from the bytes that are sealed.
    """
    scored = result.scored
    unseen = 1.0 - log_loss(scored.ensemble, scored.y) / log_loss(scored.climatology, scored.y)
    seen = _seen_share(result, panel, width=len(names))
    feature, share = leading_feature(result.importance)
    return Plausibility(
        skill_share=unseen,
        seen_share=seen,
        overfit_gap=seen - unseen,
        importance_share=share,
        importance_feature=names[feature],
    )


def leading_feature(importance: Floats) -> tuple[int, float]:
    """The feature with the largest least share of gain over all windows, and that share; ``(windows, F)``.

    Example:
        >>> import numpy as np
        >>> leading_feature(np.array([[0.6, 0.4], [0.1, 0.9]]))
        (1, 0.4)
    """
    least = importance.min(axis=0)
    return int(least.argmax()), float(least.max())


def restored_plausibility(stored: Mapping[str, Any] | None) -> Plausibility | None:
    """What was stored as JSON, where NaN had to become null; None for a training that did not measure it."""
    if stored is None:
        return None
    values: dict[str, Any] = {name: nan if value is None else value for name, value in stored.items()}
    return Plausibility(**values)


def _seen_share(result: TrainingResult, panel: Panel, *, width: int) -> float:
    rows = result.training_rows[:: -(-result.training_rows.size // _MOST_ROWS)]
    predictors = [load_predictor(part, result.scaler, width) for part in result.models]
    y, sides = panel.y[rows], panel.sides[rows]
    p = ensemble_mean(restrict_to_sides(predict_all(predictors, panel.X[rows]), sides), result.weights)
    return 1.0 - log_loss(p, y) / log_loss(Climatology.of(y, sides).forecast(sides), y)
