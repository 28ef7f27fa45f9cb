"""What would Evidently show about this drift?

The familiar interactive page for people. It decides nothing: its default limits fire on every window of autocorrelated
features, so triggers use ``learning.drift``. Importing this module is cheap; Evidently is imported when a page is made.
"""

import warnings

import numpy as np
from numpy.typing import NDArray

from learning.errors import DriftError

__all__ = ["evidently_html"]


def evidently_html(
    reference: NDArray[np.floating],
    current: NDArray[np.floating],
    *,
    names: tuple[str, ...],
    most_rows: int = 5000,
) -> str:
    """Evidently's data drift page (about 5 MB) for ``(n, C)`` and ``(m, C)`` rows of the same named columns.

    Both sides are thinned evenly to ``most_rows``; columns without a single value on either side are left out, as
    Evidently cannot show them. Raises ``DriftError`` when nothing is left to show.
    """
    if reference.ndim != 2 or current.ndim != 2 or not reference.shape[1] == current.shape[1] == len(names):
        raise DriftError(
            f"rows of shape {reference.shape} and {current.shape} for {len(names)} names",
            why="columns would be compared with the wrong ones",
            remedy="pass the columns of the bundle's contract in its order",
        )
    shown = [c for c in range(len(names)) if np.isfinite(reference[:, c]).any() and np.isfinite(current[:, c]).any()]
    if not shown:
        raise DriftError(
            f"{len(names)} columns without values on one side",
            why="there is nothing to compare",
            remedy="collect more bars first",
        )
    with warnings.catch_warnings():
        # Evidently and its server library announce their own futures on import; a constant column divides by zero.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.filterwarnings("ignore", message="invalid value encountered", category=RuntimeWarning)
        return _page(
            _thinned(reference, shown, most_rows), _thinned(current, shown, most_rows), [names[c] for c in shown]
        )


def _thinned(rows: NDArray[np.floating], columns: list[int], most_rows: int) -> NDArray[np.float64]:
    step = -(-rows.shape[0] // most_rows)
    out: NDArray[np.float64] = rows[::step, columns].astype(np.float64)
    return out


def _page(reference: NDArray[np.float64], current: NDArray[np.float64], names: list[str]) -> str:
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    definition = DataDefinition(numerical_columns=names)
    now, before = (
        Dataset.from_pandas(pd.DataFrame(rows, columns=names), data_definition=definition)
        for rows in (current, reference)
    )
    page: str = Report([DataDriftPreset()]).run(now, before).get_html_str(as_iframe=False)
    return page
