"""How fast are feature rows, against pandas and against writing the array?

One JSON line a case. Peers run interleaved with ours in one process, medians of ``ROUNDS``; a ratio above 1 means that
ours is faster, ``floor_ratio`` is our time over the time to write the same float32 array. Synthetic bars, seeded.
"""

import json
import os
import statistics
import time

import numpy as np
import pandas as pd

from features import BarInputs, FeatureSpec, FeatureStream, compute_features, compute_many, running_contract
from features.inputs import Column
from market.timeframe import Timeframe

FIVE = Timeframe.parse("5m")
SYMBOLS, BARS, ROUNDS = int(os.environ.get("BENCH_SYMBOLS", "8")), 25_920, 5
ANCHOR = 2016 * 2900


def market(seed: int) -> BarInputs:
    """Ninety days of complete 5m inputs."""
    rng = np.random.default_rng(seed)
    values = np.empty((BARS, len(Column)))
    close = 100 * np.exp(np.cumsum(rng.normal(0, 1e-3, BARS)))
    open_ = np.concatenate((close[:1], close[:-1]))
    values[:, Column.OPEN], values[:, Column.CLOSE] = open_, close
    values[:, Column.HIGH] = np.maximum(open_, close) * (1 + 1e-3 * rng.random(BARS))
    values[:, Column.LOW] = np.minimum(open_, close) * (1 - 1e-3 * rng.random(BARS))
    values[:, Column.VOLUME], values[:, Column.REAL] = rng.lognormal(3, 1, BARS), 1.0
    values[:, Column.REF_CLOSE] = 3e4 * np.exp(np.cumsum(rng.normal(0, 1e-3, BARS)))
    values[:, Column.FUNDING_RATE] = np.repeat(rng.normal(1e-4, 1e-5, BARS // 96), 96)
    values[:, Column.FUNDING_INTERVAL_H], values[:, Column.HOURS_TO_FUNDING] = 8.0, 4.0
    values[:, Column.OPEN_INTEREST] = 1e6 * np.exp(np.cumsum(rng.normal(0, 1e-3, BARS)))
    values[:, Column.BASIS], values[:, Column.TAKER_SHARE] = rng.normal(0, 1e-4, BARS), rng.random(BARS)
    return BarInputs(symbol=f"S{seed}", timeframe=FIVE, first_index=ANCHOR, values=values)


def pandas_features(inputs: BarInputs) -> pd.DataFrame:
    """54 of our features, as a careful pandas script writes them."""
    x = pd.DataFrame(inputs.values, columns=[column.name.lower() for column in Column])
    o, h, l, c, v = x.open, x.high, x.low, x.close, x.volume  # noqa: E741
    c1, r, ret = c.shift(), np.log(c / c.shift()), c.pct_change()
    f = {"returns": ret, "log_returns": r, "price_range": (h - l) / c, "body_size": (c - o).abs() / c}
    top, bottom = np.maximum(o, c), np.minimum(o, c)
    f |= {"upper_wick": (h - top) / c, "lower_wick": (bottom - l) / c, "relative_spread": 2 * (h - l) / (h + l)}
    f |= {f"return_{k}": c.pct_change(k) for k in (5, 12, 48, 144, 288)}
    f |= {f"momentum_{k}": (c - c.shift(k)) / c for k in (5, 10, 20)}
    f |= {"roc": 100 * c.pct_change(10), "acceleration": (c - c.shift(5)).diff() / c}
    change = c.diff()
    up, down = change.clip(lower=0).rolling(14).sum(), (-change).clip(lower=0).rolling(14).sum()
    f["rsi"] = 100 * up / (up + down)
    e = {n: c.ewm(span=n, adjust=False).mean() for n in (9, 12, 21, 26, 50, 200)}
    macd = e[12] - e[26]
    signal = macd.ewm(span=9, adjust=False).mean()
    f |= {"macd": macd / c, "macd_signal": signal / c, "macd_hist": (macd - signal) / c}
    f |= {f"ema_{n}_dist": (c - e[n]) / c for n in (9, 21, 50, 200)} | {"ema_9_21_diff": (e[9] - e[21]) / c}
    low, high = l.rolling(14).min(), h.rolling(14).max()
    f["stoch_k"] = 100 * (c - low) / (high - low)
    f["stoch_d"] = f["stoch_k"].rolling(3).mean()
    mean, std = c.rolling(20).mean(), c.rolling(20).std()
    f |= {"sma_20_dist": (c - mean) / c, "sma_50_dist": (c - c.rolling(50).mean()) / c, "bb_width": 4 * std / mean}
    f["bb_position"] = (c - mean + 2 * std) / (4 * std)
    tr = np.maximum(np.maximum(h - l, (h - c1).abs()), (l - c1).abs())
    atr = tr.rolling(14).mean()
    f |= {"atr_pct": atr / c, "atr_ratio": atr / tr.rolling(288).mean()}
    plus_dm, minus_dm = h.diff(), -l.diff()
    plus = plus_dm.where((plus_dm > minus_dm) & (plus_dm > 0), 0.0).rolling(14).sum() / (14 * atr) * 100
    minus = minus_dm.where((minus_dm > plus_dm) & (minus_dm > 0), 0.0).rolling(14).sum() / (14 * atr) * 100
    f |= {"plus_di": plus, "minus_di": minus, "adx": (100 * (plus - minus).abs() / (plus + minus)).rolling(14).mean()}
    f |= {f"realized_vol_{k}": r.rolling(k).std() for k in (12, 48, 144, 288, 576)}
    f["volatility"] = ret.rolling(24).std() * np.sqrt(FIVE.bars_per_year)
    f["parkinson_288"] = np.sqrt((np.log(h / l) ** 2).rolling(288).mean() / (4 * np.log(2)))
    v20, v288 = v.rolling(20).mean(), v.rolling(288).mean()
    f |= {
        "volume_ratio": v / v20,
        "volume_trend": v20 / v288,
        "volume_zscore_288": (v - v288) / v.rolling(288).std(ddof=0),
    }
    f["obv"] = (np.sign(change) * v).rolling(20).sum() / v.rolling(20).sum()
    f["vpt"] = (ret * v).rolling(20).sum() / v.rolling(20).sum()
    f["vwap_288_dist"] = (c - ((h + l + c) / 3 * v).rolling(288).sum() / v.rolling(288).sum()) / c
    q = np.log(x.ref_close / x.ref_close.shift())
    f |= {"ref_beta_288": r.rolling(288).cov(q) / q.rolling(288).var(), "ref_corr_288": r.rolling(288).corr(q)}
    f |= {"drawdown_288": c / h.rolling(288).max() - 1, "oi_change_12": x.open_interest.pct_change(12)}
    return pd.DataFrame(f).astype("float32")


def timed(work) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def medians(*works) -> list[float]:
    """Median seconds of each, run in turn."""
    rounds = [[timed(work) for work in works] for _ in range(ROUNDS)]
    return [statistics.median(column) for column in zip(*rounds, strict=True)]


def report(case: str, **numbers: float) -> None:
    print(json.dumps({"case": case, **{name: float(f"{value:.4g}") for name, value in numbers.items()}}), flush=True)


def main() -> None:
    contract = running_contract(FeatureSpec(timeframe=FIVE, reference_symbol="BTCUSDT"))
    markets = [market(seed) for seed in range(SYMBOLS)]
    begin = time.perf_counter()
    compute_features(markets[0], contract, end_index=ANCHOR + 1)
    report("features.first_call", ours_s=time.perf_counter() - begin)
    rows, width = SYMBOLS * BARS, len(contract.names)
    threads = os.cpu_count() or 1

    day = markets[0].end_index - FIVE.bars_per_day
    ours, many, tail, peer, floor = medians(
        lambda: [compute_features(one, contract) for one in markets],
        lambda: compute_many(markets, contract, threads=threads),
        lambda: [compute_features(one, contract, start_index=day) for one in markets],
        lambda: [pandas_features(one) for one in markets],
        lambda: np.ones((rows, width), dtype=np.float32),
    )
    common = pandas_features(markets[0])
    values = compute_features(markets[0], contract).values  # noqa: PD011 - not a pandas frame
    apart = [
        np.nanmax(np.abs(values[1300:, contract.index_of(name)] - common[name].to_numpy()[1300:])) for name in common
    ]
    report(
        "features.batch_one_thread",
        rows=rows,
        ours_features=width,
        peer_features=common.shape[1],
        ours_s=ours,
        peer_s=peer,
        ratio=peer / ours,
        ratio_per_feature=(peer / common.shape[1]) / (ours / width),
        ours_rows_a_second=rows / ours,
        floor_s=floor,
        floor_ratio=ours / floor,
        largest_difference=float(np.max(apart)),
    )
    report("features.batch_all_threads", threads=threads, ours_s=many, floor_s=floor, floor_ratio=many / floor)
    report("features.rebuild_one_day_of_90", ours_s=tail, share_of_full=tail / ours)

    stream = FeatureStream(contract, markets[0].symbol)
    bars = markets[0].values  # noqa: PD011 - not a pandas frame
    stream.warm(BarInputs(symbol="S0", timeframe=FIVE, first_index=ANCHOR, values=bars[:3168]))
    spent = [timed(lambda k=k: stream.advance(ANCHOR + k, bars[k])) for k in range(3168, BARS)]
    report("features.stream_one_bar", p50_us=1e6 * np.percentile(spent, 50), p99_us=1e6 * np.percentile(spent, 99))
    report("features.stream_new_block", ms=1e3 * max(spent[4032 - 3168 :: 2016]))


if __name__ == "__main__":
    main()
