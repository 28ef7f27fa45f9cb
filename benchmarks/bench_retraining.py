"""Ten markets, 91 days, a new LightGBM of 300 x 31 every week on the last 30 days: how long does that take?

The job that a widely used trading framework was measured on: 99 s on this class of machine for ten pairs, 62 features,
one model a pair and week, without purging, calibration or evaluation. Here one pooled model a week learns from all ten
markets and 97 features, every split is purged, and calibration, thresholds, trades after costs and baselines are
included. Twice: with early stopping, as trained by default, and with all 300 rounds fitted, which for three classes are
900 trees where the peer's model has 300. Real bars where ``LOCKSTEP_TEST_DATA`` names them, else random walks of the
same size. One JSON line a case.
"""

import json
import os
import sys
import time
from dataclasses import replace

import numpy as np

from features.batch import compute_many
from features.contract import FeatureSpec, running_contract
from learning.config import TrainingConfig
from learning.panel import SymbolHistory, build_panel
from learning.training import train
from market.barriers import BarrierSpec, PricePath, price_path
from market.funding import FundingStamps, funding_on_grid
from market.timeframe import Timeframe
from registry.policy import DecisionPolicy
from tests.features import histories as made
from tests.real_data import real_data_dir

PEER_S = 99.0
DAYS, WEEKS, SYMBOLS = 95, 9, 10  # four days of warm-up, 30 of training, nine weeks of judging
FIVE = Timeframe.parse("5m")
CONTRACT = running_contract(FeatureSpec(timeframe=FIVE, reference_symbol="BTCUSDT"))
SPEC = BarrierSpec()


def real_markets():
    """Kernel inputs and price paths of ten real perpetuals."""
    folder, start = "marketlab_um", "2025-07-20"
    root = real_data_dir() / folder
    names = [path.stem for path in sorted((root / "candles_5m").iterdir())][: SYMBOLS + 1]
    for name in names:
        inputs = made.real_inputs(folder, name, start=start, days=DAYS)
        if inputs.values.shape[0] < DAYS * 288:
            continue
        grid = made.real_grid(folder, name, start=start, days=DAYS)
        stamps = made.pq.read_table(root / "funding" / f"{name}.parquet")
        funding = FundingStamps(
            symbol=name,
            time=stamps["timestamp"].to_numpy().astype("datetime64[ms]").astype(np.int64),
            rate=stamps["funding_rate"].to_numpy().copy(),
        )
        paid = funding_on_grid(funding, timeframe=FIVE, first_index=grid.first_index, n=len(grid))
        yield inputs, price_path(grid, paid)


def made_markets():
    """Random walks of the same size, with funding every eight hours."""
    n = DAYS * 288
    for seed in range(SYMBOLS):
        bars = made.random_bars(n, seed=seed)
        inputs = made.inputs_of(bars, first_index=made.ANCHOR, symbol=f"MADE{seed}USDT")
        o, h, l, c = (bars[:, k].copy() for k in range(4))  # noqa: E741
        paid = np.where(np.arange(n) % 96 == 0, 1e-4, 0.0)
        every = np.ones(n, dtype=bool)
        yield (
            inputs,
            PricePath(
                first_index=made.ANCHOR,
                open=o,
                high=h,
                low=l,
                close=c,
                real=every,
                funding_paid=paid,
                funding_known=every,
            ),
        )


def main() -> None:
    """Features, labels, training and evaluation of the whole job."""
    real = "LOCKSTEP_TEST_DATA" in os.environ
    markets = list(real_markets() if real else made_markets())[:SYMBOLS]
    policy = DecisionPolicy(thresholds=(1.0, 1.0), horizon_bars=SPEC.horizon_bars, min_healthy=1)
    base = TrainingConfig(
        policy=policy,
        models=("lightgbm",),
        mode="rolling",
        min_train_bars=30 * 288,
        folds=WEEKS,
        lightgbm_trees=300,
        lightgbm_leaves=31,
    )
    end = markets[0][0].end_index
    for case, config in (("early_stopping", base), ("all_300_rounds", replace(base, early_stopping_rounds=300))):
        began = time.perf_counter()
        blocks = compute_many([inputs for inputs, _ in markets], CONTRACT, threads=os.cpu_count() or 1)
        panel = build_panel(
            [
                SymbolHistory(symbol=inputs.symbol, features=block, path=path)
                for (inputs, path), block in zip(markets, blocks, strict=True)
            ],
            contract=CONTRACT,
            spec=SPEC,
        )
        data_s = time.perf_counter() - began
        result = train(panel, CONTRACT, SPEC, config, train_end_index=end)
        spent = time.perf_counter() - began
        folds = result.evaluation["folds"]
        line = {
            "case": f"retraining.{case}",
            "data": "real" if real else "random walks",
            "rows": len(panel),
            "features": len(CONTRACT.names),
            "models": len(folds) + 1,
            "ours_s": round(spent, 1),
            "features_and_labels_s": round(data_s, 2),
            "fit_s": round(result.timings["fit"], 1),
            "peer": "FreqAI, as measured",
            "peer_s": PEER_S,
            "ratio": round(PEER_S / spent, 2),
            "log_loss": result.evaluation["strategies"]["ensemble"]["log_loss"],
            "climatology_log_loss": result.evaluation["strategies"]["climatology"]["log_loss"],
        }
        sys.stdout.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
