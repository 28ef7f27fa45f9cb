"""What do the statistics of one decision cost on 100,000 paired rows (target: 2 s)?

The floor is one pass over the rows: both log losses and their mean, by NumPy. Ours adds the mean of every bar, a block
bootstrap of 2,000 resamples for log loss, Brier score and net return, and two e-processes. One JSON line.
"""

import json
import time

import numpy as np

from learning.metrics import log_loss_rows
from learning.paired_gains import paired_gains
from learning.shadow import paired_evidence

ROWS, SYMBOLS, HORIZON, TARGET_S = 100_000, 10, 48, 2.0


def main() -> None:
    """Both, best of three."""
    rng = np.random.default_rng(1)
    ours, theirs = (rng.dirichlet((3, 2, 2), ROWS) for _ in range(2))
    y = rng.integers(0, 3, ROWS)
    bars = np.arange(ROWS) // SYMBOLS
    nets = rng.normal(0, 0.01, (2, ROWS))
    common = {"challenger": ours, "reference": theirs, "y": y, "bar_index": bars, "horizon_bars": HORIZON, "seed": 1}

    def gates() -> None:
        paired_evidence(**common)
        paired_gains(**common, challenger_net=nets[0], reference_net=nets[1], alpha=0.05)

    def floor() -> None:
        (log_loss_rows(theirs, y) - log_loss_rows(ours, y)).mean()

    gates()
    spent, least = (min(_seconds(work) for _ in range(3)) for work in (gates, floor))
    print(
        json.dumps(
            {
                "case": "gates.paired_statistics",
                "rows": ROWS,
                "seconds": round(spent, 3),
                "target_s": TARGET_S,
                "floor_s": round(least, 4),
                "times_floor": round(spent / least, 1),
            }
        )
    )


def _seconds(work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
