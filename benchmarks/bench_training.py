"""What does it cost to fit every model of a walk-forward, against a loop that fits fold by fold?

Both fit LightGBM, XGBoost and logistic regression with the same numbers on the same windows, stop on the same rows and
predict the same test windows. The peer makes a new data set with edges of its own for every fold, one model after the
other, and lets each library use every core; ours bins once and fits whole models side by side, one thread each. Each
runs in a process of its own, in turn; memory is the peak above the interpreter with its libraries, the feature matrix
included. Features are Gaussian with a weak edge that moves over time, so that trees stop as early as they do on a
market. One JSON line a case. As in training by default every third bar is learnt from and every bar predicted;
``--every 1`` learns from all, which takes three times as long.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from features.events import EventRule
from learning.config import TrainingConfig
from learning.metrics import log_loss
from learning.panel import Panel
from registry.policy import DecisionPolicy

FEATURES, FOLDS, SYMBOLS, HORIZON = 60, 6, 20, 12
POLICY = DecisionPolicy(thresholds=(0.5, 0.5), horizon_bars=HORIZON)
NAMES = tuple(f"f{k}" for k in range(FEATURES))


def made_panel(rows: int, *, seed: int = 7) -> Panel:
    """``rows`` rows of ``SYMBOLS`` symbols whose labels end within the horizon."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((rows, FEATURES), dtype=np.float32)
    bar = np.arange(rows, dtype=np.int64) // SYMBOLS
    drift = np.sin(bar / bar[-1] * 9.0)
    edge = 0.10 * X[:, 0] + 0.05 * drift * X[:, 1] + 0.05 * X[:, 2] * X[:, 3]
    score = np.stack((np.full(rows, 0.3), edge, -edge), axis=1)
    y = (score + rng.gumbel(size=(rows, 3))).argmax(axis=1).astype(np.int8)
    nothing, sides = np.zeros(rows), np.zeros((rows, 2))
    return Panel(
        events=EventRule(),
        sides=np.ones((rows, 2), dtype=bool),
        symbols=tuple(f"S{k}" for k in range(SYMBOLS)),
        symbol_id=(np.arange(rows) % SYMBOLS).astype(np.int32),
        bar_index=bar,
        X=X,
        y=y,
        net=sides,
        gross=sides,
        funding=sides,
        exit_index=np.zeros((rows, 2), dtype=np.int64),
        barrier=np.zeros((rows, 2), dtype=np.int8),
        label_end=bar + rng.integers(1, HORIZON + 1, rows),
        atr_fraction=nothing,
        vol_ratio=nothing,
        volatility=nothing,
        regime=np.zeros(rows, dtype=np.int8),
        correlation=nothing,
        close=nothing,
        carry=nothing,
    )


def made_windows(panel, config, every):
    """The folds' windows as training makes them, and the rows each predicts."""
    from features.contract import FeatureContract
    from learning.fold_models import prepare_window
    from learning.walk_forward import WalkForward, walk_forward

    contract = FeatureContract(
        names=NAMES, dtype="float32", timeframe_ms=300_000, block_bars=2016, warmup_bars=1152, max_filled=12,
        fill_window_bars=288, reference_symbol="S0", kernel_hash="0" * 32, nan_allowed=(),
    )  # fmt: skip
    bars = int(panel.bar_index[-1]) + 1
    plan = WalkForward(folds=FOLDS, min_train_bars=bars // 7, min_test_bars=2 * HORIZON)
    sampled = panel.bar_index % every == 0
    folds = walk_forward(panel.bar_index, panel.label_end, trainable=sampled, end_index=bars, plan=plan)
    prepare = [
        prepare_window(panel, one.train_rows, predict=one.test_rows, contract=contract, config=config, name="window")
        for one in folds
    ]
    return contract, prepare


def ours(panel, windows, contract, config):
    """Raw predictions per window, ``(M, k, 3)``."""
    from learning.fold_models import fit_windows, one_blas_thread

    with one_blas_thread():
        found = fit_windows(panel, windows, contract=contract, config=config, on_model=lambda _done, _total: None)
    return [one.raw for one in found], [[model.rounds for model in one.fitted] for one in found]


def naive(panel, windows, _contract, config):
    """The same from a plain loop over folds and models."""
    import lightgbm as lgb
    import xgboost as xgb
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    raw, rounds = [], []
    for window in windows:
        X, y, weight = panel.X[window.rows], panel.y[window.rows], window.weights.weight
        early, late, test = window.early, window.late, panel.X[window.predict]
        params = {
            "objective": "multiclass", "num_class": 3, "learning_rate": config.learning_rate, "max_bin": 127,
            "num_leaves": config.lightgbm_leaves, "min_data_in_leaf": config.min_leaf_rows, "verbosity": -1,
            "feature_fraction": config.lightgbm_feature_fraction, "lambda_l2": config.lightgbm_l2, "seed": config.seed,
        }  # fmt: skip
        data = lgb.Dataset(X[early], label=y[early], weight=weight[early])
        later = lgb.Dataset(X[late], label=y[late], weight=weight[late], reference=data)
        stop = lgb.early_stopping(config.early_stopping_rounds, verbose=False)
        tree = lgb.train(params, data, config.lightgbm_trees, valid_sets=[later], callbacks=[stop])
        params = {
            "objective": "multi:softprob", "num_class": 3, "eta": config.learning_rate, "max_bin": 127,
            "max_depth": config.xgboost_depth, "min_child_weight": config.xgboost_min_child_weight,
            "colsample_bynode": config.xgboost_feature_fraction, "seed": config.seed, "eval_metric": "mlogloss",
        }  # fmt: skip
        first = xgb.QuantileDMatrix(X[early], label=y[early], weight=weight[early], max_bin=127)
        second = xgb.QuantileDMatrix(X[late], label=y[late], weight=weight[late], ref=first, max_bin=127)
        boosted = xgb.train(
            params, first, config.xgboost_trees, evals=[(second, "later")], verbose_eval=False,
            early_stopping_rounds=config.early_stopping_rounds,
        )  # fmt: skip
        scaler = StandardScaler().fit(X)
        line = LogisticRegression(C=config.logistic_c).fit(scaler.transform(X), y, sample_weight=weight)
        best = (0, boosted.best_iteration + 1)
        raw.append(
            np.stack(
                (
                    tree.predict(test),
                    boosted.predict(xgb.DMatrix(test), iteration_range=best),
                    line.predict_proba(scaler.transform(test)),
                )
            )
        )
        rounds.append([tree.best_iteration, best[1], 0])
    return raw, rounds


def memory_mb(what: str) -> float:
    """``VmRSS`` or ``VmHWM`` of this process."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) / 1024.0


def one_run(which: str, rows: int, every: int) -> dict[str, object]:
    """Seconds, peak memory and scores of one of the two, in this process."""
    import lightgbm  # noqa: F401 - imports are nobody's work
    import sklearn.linear_model
    import xgboost  # noqa: F401

    import learning.fold_models  # noqa: F401

    before = memory_mb("VmRSS")
    config = TrainingConfig(policy=POLICY, min_train_bars=1, threads=os.cpu_count() or 1)
    panel = made_panel(rows)
    contract, windows = made_windows(panel, config, every)
    sklearn.set_config(assume_finite=True)
    Path("/proc/self/clear_refs").write_text("5")  # from here on the peak is that of the fits
    began = time.perf_counter()
    raw, rounds = {"ours": ours, "naive": naive}[which](panel, windows, contract, config)
    spent, peak = time.perf_counter() - began, memory_mb("VmHWM")
    test = np.concatenate([one.predict for one in windows])
    models = np.concatenate(raw, axis=1)
    return {
        "seconds": spent,
        "peak_share": (peak - before) / (panel.X.nbytes / 2**20),
        "log_loss": [log_loss(p.astype(np.float64), panel.y[test]) for p in models],
        "rounds": rounds,
    }


def in_its_own_process(which: str, rows: int, every: int) -> dict[str, object]:
    """The same in a fresh process."""
    command = [sys.executable, __file__, "--only", which, "--rows", str(rows), "--every", str(every)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Ours and the naive loop in turn."""
    asked = argparse.ArgumentParser()
    asked.add_argument("--rows", type=int, default=1_000_000)
    asked.add_argument("--every", type=int, default=3)
    asked.add_argument("--rounds", type=int, default=1)
    asked.add_argument("--only", choices=("ours", "naive"))
    given = asked.parse_args()
    if given.only:
        print(json.dumps(one_run(given.only, given.rows, given.every)))
        return
    runs = [
        (in_its_own_process("ours", given.rows, given.every), in_its_own_process("naive", given.rows, given.every))
        for _ in range(given.rounds)
    ]
    mine, theirs = runs[0]
    ours_s, peer_s = (statistics.median(one[side]["seconds"] for one in runs) for side in (0, 1))
    print(
        json.dumps(
            {
                "case": "training.walk_forward_against_a_loop",
                "rows": given.rows,
                "trained_on_every": given.every,
                "features": FEATURES,
                "folds": FOLDS,
                "ours_s": round(ours_s, 2),
                "peer_s": round(peer_s, 2),
                "ratio": round(peer_s / ours_s, 2),
                "peak_share": round(mine["peak_share"], 2),
                "peer_peak_share": round(theirs["peak_share"], 2),
                "log_loss": [round(one, 5) for one in mine["log_loss"]],
                "peer_log_loss": [round(one, 5) for one in theirs["log_loss"]],
                "rounds": mine["rounds"],
                "peer_rounds": theirs["rounds"],
            }
        )
    )


if __name__ == "__main__":
    main()
