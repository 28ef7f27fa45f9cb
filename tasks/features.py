"""How are features computed for everything in the lake, and how are single rows looked at?"""

import math
from collections.abc import Sequence

from prefect import task
from prefect.cache_policies import NO_CACHE

from features.batch import compute_features
from features.definitions import FEATURES
from features.reasons import describe
from infra.bootstrap import App, open_app
from market.timeframe import as_utc
from tasks.histories import BlockCounts, load_histories, load_inputs
from tasks.stores import block_cache
from tasks.windows import current_window

__all__ = ["build", "newest_rows"]


@task(cache_policy=NO_CACHE)
def build(home: str, *, symbols: Sequence[str]) -> dict[str, object]:
    """Compute all features of the symbols in use (or of those named); returns counts."""
    with open_app(home) as app:
        window = current_window(app)
        counts = BlockCounts()
        histories = load_histories(
            app.lake,
            tuple(symbols) or window.symbols,
            window.contract,
            first_index=window.stretches.first,
            end_index=window.stretches.serve_end,
            cache=block_cache(app),
            counts=counts,
        )
        return {
            "symbols": [one.symbol for one in histories],
            "features": len(window.contract.names),
            "contract": window.contract.fingerprint,
            "rows": sum(int(one.features.reason.size) for one in histories),
            "valid_rows": sum(int((one.features.reason == 0).sum()) for one in histories),
            "blocks_computed": counts.computed,
            "blocks_cached": counts.cached,
        }


def newest_rows(app: App, symbol: str, *, last: int) -> dict[str, object]:
    """The newest feature rows of one symbol with the formula of each feature; None stands for a missing value."""
    window = current_window(app)
    end = window.stretches.serve_end
    (inputs,) = load_inputs(app.lake, (symbol,), window.contract, first_index=end - last, end_index=end)
    start = max(end - last, inputs.first_index)
    block = compute_features(inputs, window.contract, start_index=start, end_index=inputs.end_index)
    rows = []
    for k in range(block.reason.size):
        values = {
            name: float(value) if math.isfinite(value) else None
            for name, value in zip(window.contract.names, block.values[k], strict=True)
        }
        bar = as_utc(window.timeframe.open_time(block.first_index + k))
        reason = int(block.reason[k])
        rows.append({"bar": bar, "reason": describe(reason) if reason else "", "values": values})
    return {
        "symbol": symbol,
        "contract": window.contract.fingerprint,
        "formulas": {one.name: one.formula for one in FEATURES},
        "rows": rows,
    }
