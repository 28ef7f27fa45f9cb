"""How are features binned once for every window and every trial?

Histogram trees read features as bin numbers. Bin edges are part of what a model knows, so they come from rows of the
first training window alone, before its early-stopping slice and purged like it: no later value can move an edge, and
all windows and trials share them. Edges are set on at most 50,000 of those rows, evenly spaced, unweighted.

LightGBM bins every row that is ever used once, one byte a value, and a window is a subset of that. XGBoost cannot take
a subset of binned rows, so each window is binned again with the first window's edges, which saves it the search for
edges of its own. Both read the feature matrix in blocks: no copy of it is ever made.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from market.candles import Floats, Ints

__all__ = ["MAX_BIN", "BinnedPanel", "FitData", "Sample", "row_blocks"]

MAX_BIN = 127
_EDGE_ROWS = 50_000
_BLOCK = 32_768
_LIGHTGBM_BINS = {
    "max_bin": MAX_BIN,
    "bin_construct_sample_cnt": 2 * _EDGE_ROWS,
    "feature_pre_filter": False,
    "force_col_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FitData:
    """What models are fitted from; plain arrays, so that another process can be given them.

    ``X (N, F) float32`` (an array or a memory map of one), ``y (N,)`` class 0..2 or -1, ``names (F,)``;
    ``dense_columns`` are never missing. ``rows`` are the ascending rows any fit or early stop will use, ``edge_rows``
    those whose values set the bin edges.
    """

    X: NDArray[np.float32]
    y: NDArray[np.int8]
    names: tuple[str, ...]
    dense_columns: Ints
    rows: Ints
    edge_rows: Ints


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """Rows to fit on or to stop on: ascending ``rows (n,)`` of the data, ``weight (n,) float64``, mean about 1.

    ``class_weight (3,)`` is what ``weight`` holds of class balance, for the model to undo in its probabilities.
    """

    rows: Ints
    weight: Floats
    class_weight: Floats = field(default_factory=lambda: np.ones(3))


@dataclass(frozen=True, slots=True, eq=False)
class BinnedPanel:
    """``data`` and its bins, each library's built when its first model asks; safe to share between threads.

    Sent to another process it carries the data only, and bins there again.
    """

    data: FitData
    _built: dict[str, Any] = field(default_factory=dict, init=False, repr=False)
    _locks: dict[str, Any] = field(
        default_factory=lambda: {"lightgbm": Lock(), "xgboost": Lock()}, init=False, repr=False
    )

    def __reduce__(self) -> tuple[type["BinnedPanel"], tuple[FitData]]:
        """Travel as the data alone."""
        return BinnedPanel, (self.data,)

    def lightgbm(self, sample: Sample) -> Any:
        """``lightgbm.Dataset`` of these rows: a subset of the one that was binned, with labels and weights."""
        whole = self._once("lightgbm", _lightgbm_whole)
        rows = self.data.rows
        at = np.searchsorted(rows, sample.rows)
        if sample.rows.size and not np.array_equal(rows[np.minimum(at, rows.size - 1)], sample.rows):
            raise ValueError("a sample holds rows that were not named when the panel was binned")
        part = whole.subset([])
        part.used_indices = at.astype(np.int32)  # as an array: a list of them would outweigh the bins
        with self._locks["lightgbm"]:
            part.construct()
        part.set_label(self.data.y[sample.rows])
        part.set_weight(sample.weight)
        return part

    def xgboost(self, sample: Sample, later: Sample) -> tuple[Any, Any]:
        """``xgboost.QuantileDMatrix`` of both with the first window's edges; ``later`` may judge ``sample``'s fit."""
        edges = self._once("xgboost", _xgboost_edges)
        fit = _xgboost_matrix(self.data, sample.rows, sample.weight, ref=edges)
        return fit, _xgboost_matrix(self.data, later.rows, later.weight, ref=fit)

    def _once(self, name: str, build: Callable[[FitData], Any]) -> Any:
        with self._locks[name]:
            if name not in self._built:
                self._built[name] = build(self.data)
            return self._built[name]


def row_blocks(X: NDArray[np.float32], rows: Ints, size: int = _BLOCK) -> Iterator[NDArray[np.float32]]:
    """``X[rows]`` block by block; a block of neighbouring rows is a view."""
    for at in range(0, rows.size, size):
        yield _block(X, rows[at : at + size])


def _block(X: NDArray[np.float32], rows: Ints) -> NDArray[np.float32]:
    if rows.size and int(rows[-1]) - int(rows[0]) == rows.size - 1:
        return X[int(rows[0]) : int(rows[-1]) + 1]
    return X[rows]


def _edge_sample(data: FitData) -> Ints:
    rows = data.edge_rows
    if rows.size <= _EDGE_ROWS:
        return rows
    return rows[np.linspace(0, rows.size - 1, _EDGE_ROWS).astype(np.int64)]


def _lightgbm_whole(data: FitData) -> Any:
    import lightgbm as lgb

    class _Blocks(lgb.Sequence):
        batch_size = _BLOCK

        def __len__(self) -> int:
            return int(data.rows.size)

        def __getitem__(self, at: Any) -> NDArray[np.float32]:
            return _block(data.X, data.rows[at])

    # A column that may be missing is binned with a place for missing, whether or not the first window needed one.
    known = data.X[_edge_sample(data)]
    missing = np.full((1, known.shape[1]), np.nan, dtype=np.float32)
    missing[0, data.dense_columns] = known[-1, data.dense_columns]
    names = list(data.names)
    edges = lgb.Dataset(
        np.concatenate((known, missing)), label=np.zeros(len(known) + 1), feature_name=names, params=_LIGHTGBM_BINS
    )
    whole = lgb.Dataset(_Blocks(), label=data.y[data.rows], reference=edges, feature_name=names, params=_LIGHTGBM_BINS)
    return whole.construct()


def _xgboost_edges(data: FitData) -> Any:
    rows = _edge_sample(data)
    return _xgboost_matrix(data, rows, np.ones(rows.size), ref=None)


def _xgboost_matrix(data: FitData, rows: Ints, weight: Floats, *, ref: Any) -> Any:
    import xgboost as xgb

    class _Blocks(xgb.DataIter):
        def __init__(self) -> None:
            super().__init__()
            self.at = 0

        def next(self, input_data: Callable[..., None]) -> bool:
            if self.at >= rows.size:
                return False
            part = slice(self.at, self.at + _BLOCK)
            input_data(data=_block(data.X, rows[part]), label=data.y[rows[part]], weight=weight[part])
            self.at += _BLOCK
            return True

        def reset(self) -> None:
            self.at = 0

    return xgb.QuantileDMatrix(_Blocks(), ref=ref, max_bin=MAX_BIN, nthread=1)
