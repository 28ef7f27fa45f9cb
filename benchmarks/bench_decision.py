"""How fast is a history decided by the serving decision, against deciding it bar by bar from Python?

Both run the same compiled rules and give the same answers; the ratio is what the batch entry saves a backtest. One JSON
line a case; ``floor_ratio`` is our time over the time to copy the probabilities once. Seeded.
"""

import json
import statistics
import time

import numpy as np

from registry.policy import DecisionPolicy
from serving.decision import decide_bar, decide_history
from serving.decision_state import new_state
from serving.market_facts import REGIMES, MarketFacts

BARS, SYMBOLS, MODELS, ROUNDS, PEER_BARS = 100_000, 10, 3, 5, 5_000


def timed(work) -> float:
    """Seconds of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    """One million decisions of three models on ten symbols."""
    rng = np.random.default_rng(7)
    probabilities = rng.dirichlet((6.0, 3.0, 3.0), size=(BARS, SYMBOLS, MODELS))
    policy, weights = DecisionPolicy(thresholds=(0.4, 0.4), horizon_bars=48), np.full(MODELS, 1 / MODELS)
    eligible, shape = np.ones((BARS, SYMBOLS), dtype=bool), (BARS, SYMBOLS)
    facts = MarketFacts(
        volatility=np.full(shape, 0.02),
        regime=rng.integers(0, len(REGIMES), shape).astype(np.int8),
        correlation=rng.uniform(-1, 1, shape),
    )
    exits = np.arange(BARS)[:, None, None] + rng.integers(1, 49, (*shape, 2))
    net = rng.normal(0, 0.01, exits.shape)

    def ours() -> object:
        return decide_history(
            policy,
            weights,
            first_index=0,
            probabilities=probabilities,
            eligible=eligible,
            facts=facts,
            exit_index=exits,
            net=net,
        )

    def bar_by_bar() -> None:
        state = new_state(SYMBOLS, policy)
        healthy = np.ones(MODELS, dtype=bool)
        for bar in range(PEER_BARS):
            decide_bar(
                policy,
                weights,
                state,
                bar_index=bar,
                probabilities=probabilities[bar],
                healthy=healthy,
                eligible=eligible[bar],
                facts=MarketFacts(
                    volatility=facts.volatility[bar], regime=facts.regime[bar], correlation=facts.correlation[bar]
                ),
            )

    ours()
    bar_by_bar()
    rounds = [(timed(ours), timed(bar_by_bar) * BARS / PEER_BARS, timed(probabilities.copy)) for _ in range(ROUNDS)]
    mine, peer, floor = (statistics.median(column) for column in zip(*rounds, strict=True))
    line = {"case": "decide_1m", "ours_s": mine, "per_s": BARS * SYMBOLS / mine, "peer": "bar by bar", "peer_s": peer}
    print(json.dumps({**line, "ratio": peer / mine, "floor_s": floor, "floor_ratio": mine / floor}))


if __name__ == "__main__":
    main()
