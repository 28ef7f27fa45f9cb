"""How would pandas, polars, and TA-Lib with NumPy compute the same features?

Each as a careful script of its kind writes them, over whole histories and without anchoring, fills or reasons, to
float32. Where a peer lacks a feature it computes less than we do.
"""

import numpy as np
import pandas as pd

from features import BarInputs
from features.inputs import Column
from market.timeframe import Timeframe


def pandas_features(inputs: BarInputs, timeframe: Timeframe) -> pd.DataFrame:
    """Most of our features, as a careful pandas script writes them."""
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
    f["volatility"] = ret.rolling(24).std() * np.sqrt(timeframe.bars_per_year)
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
    f["ema_9_21_above"], f["price_above_ema_50"] = e[9] > e[21], c > e[50]
    mean_10, std_10 = c.rolling(10).mean(), c.rolling(10).std(ddof=0)
    f |= {"ma_10_20_diff": (mean_10 - mean) / c, "price_volatility_10": std_10 / mean_10}
    f |= {"bb_upper_dist": (mean + 2 * std - c) / c, "bb_lower_dist": (c - mean + 2 * std) / c}
    f["efficiency_ratio_48"] = (c - c.shift(48)).abs() / change.abs().rolling(48).sum()
    f["vol_ratio_12_288"] = f["realized_vol_12"] / f["realized_vol_288"]
    hl, co = np.log(h / l), np.log(c / o)
    f["garman_klass_48"] = np.sqrt((0.5 * hl**2 - (2 * np.log(2) - 1) * co**2).rolling(48).mean())
    f["downside_share_48"] = (r.clip(upper=0) ** 2).rolling(48).sum() / (r**2).rolling(48).sum()
    low_288, high_288 = l.rolling(288).min(), h.rolling(288).max()
    f["range_position_288"] = (c - low_288) / (high_288 - low_288)
    f["obv_ema"] = f["obv"].ewm(span=20, adjust=False).mean()
    usual = r.abs().rolling(288).sum() * v.rolling(12).sum()
    f["illiquidity_ratio"] = r.abs().rolling(12).sum() * v.rolling(288).sum() / usual
    body = c - o
    f |= {"is_doji": 10 * body.abs() <= h - l, "gap_up": l > h.shift(), "gap_down": h < l.shift()}
    f["is_hammer"] = (bottom - l > 2 * body.abs()) & (body != 0) & (h - top <= body.abs())
    f["is_engulfing"] = np.sign(body).where((body.abs() > 1.5 * body.shift().abs()) & (body * body.shift() <= 0), 0)
    f["funding_rate"], f["hours_to_funding"] = x.funding_rate, x.hours_to_funding
    f["funding_annualised"] = x.funding_rate * 8760 / x.funding_interval_h
    known = x.funding_rate.rolling(576)
    f["funding_zscore_576"] = (x.funding_rate - known.mean()) / known.std(ddof=0)
    f["funding_change_576"] = x.funding_rate - known.mean()
    f |= {f"ref_return_{k}": x.ref_close.pct_change(k) for k in (1, 12, 288)}
    f["ref_realized_vol_288"] = q.rolling(288).std()
    f |= {f"relative_strength_{k}": c.pct_change(k) - f[f"ref_return_{k}"] for k in (12, 288)}
    f["oi_change_288"] = x.open_interest.pct_change(288)
    interest = x.open_interest.rolling(576)
    f["oi_zscore_576"] = (x.open_interest - interest.mean()) / interest.std(ddof=0)
    f["oi_price_divergence_12"] = -np.sign(c - c.shift(12)) * x.open_interest.pct_change(12)
    f |= {"basis": x.basis, "taker_share": x.taker_share}
    f["basis_zscore_288"] = (x.basis - x.basis.rolling(288).mean()) / x.basis.rolling(288).std(ddof=0)
    flow = (2 * x.taker_share - 1) * v
    f |= {f"taker_imbalance_{k}": flow.rolling(k).sum() / v.rolling(k).sum() for k in (12, 48)}
    f |= {"drawdown_288": c / high_288 - 1, "oi_change_12": x.open_interest.pct_change(12)}
    return pd.DataFrame(f).astype("float32")


def polars_features(inputs: BarInputs, timeframe: Timeframe) -> object:
    """65 features in one lazy query, on all of polars' threads."""
    import polars as pl

    values = inputs.values  # noqa: PD011 - not a pandas frame
    frame = pl.DataFrame({column.name.lower(): values[:, column] for column in Column})
    o, h, l, c, v = (pl.col(name) for name in ("open", "high", "low", "close", "volume"))  # noqa: E741
    oi, ref, share = pl.col("open_interest"), pl.col("ref_close"), pl.col("taker_share")
    c1, change = c.shift(), c.diff()
    tr = pl.max_horizontal(h - l, (h - c1).abs(), (l - c1).abs())
    base = frame.lazy().with_columns(
        r=(c / c1).log(), ret=c / c1 - 1, q=(ref / ref.shift()).log(), tr=tr, up=change.clip(lower_bound=0),
        down=(-change).clip(lower_bound=0), hl=(h / l).log(), co=(c / o).log(), signed=change.sign() * v,
        typical=(h + l + c) / 3 * v, flow=(2 * share - 1) * v,
        **{f"e{n}": c.ewm_mean(span=n, adjust=False) for n in (9, 12, 21, 26, 50, 200)},
    )  # fmt: skip
    r, ret, q, e = pl.col("r"), pl.col("ret"), pl.col("q"), {n: pl.col(f"e{n}") for n in (9, 12, 21, 26, 50, 200)}
    macd, atr = e[12] - e[26], pl.col("tr").rolling_mean(14)
    signal = macd.ewm_mean(span=9, adjust=False)
    low, high, mean, std = l.rolling_min(14), h.rolling_max(14), c.rolling_mean(20), c.rolling_std(20)
    stoch = 100 * (c - low) / (high - low)
    up, down = pl.col("up").rolling_sum(14), pl.col("down").rolling_sum(14)
    v20, v288 = v.rolling_mean(20), v.rolling_mean(288)
    top, bottom = pl.max_horizontal(o, c), pl.min_horizontal(o, c)
    rate = pl.col("funding_rate")
    f = {
        "returns": ret, "log_returns": r, "price_range": (h - l) / c, "body_size": (c - o).abs() / c,
        "upper_wick": (h - top) / c, "lower_wick": (bottom - l) / c, "relative_spread": 2 * (h - l) / (h + l),
        **{f"return_{k}": c / c.shift(k) - 1 for k in (5, 12, 48, 144, 288)},
        **{f"momentum_{k}": (c - c.shift(k)) / c for k in (5, 10, 20)},
        "roc": 100 * (c / c.shift(10) - 1), "acceleration": (c - c.shift(5)).diff() / c, "rsi": 100 * up / (up + down),
        "macd": macd / c, "macd_signal": signal / c, "macd_hist": (macd - signal) / c,
        "stoch_k": stoch, "stoch_d": stoch.rolling_mean(3),
        **{f"ema_{n}_dist": (c - e[n]) / c for n in (9, 21, 50, 200)}, "ema_9_21_diff": (e[9] - e[21]) / c,
        "sma_20_dist": (c - mean) / c, "sma_50_dist": (c - c.rolling_mean(50)) / c, "bb_width": 4 * std / mean,
        "bb_position": (c - mean + 2 * std) / (4 * std), "atr_pct": atr / c,
        "atr_ratio": atr / pl.col("tr").rolling_mean(288),
        **{f"realized_vol_{k}": r.rolling_std(k) for k in (12, 48, 144, 288, 576)},
        "volatility": ret.rolling_std(24) * float(np.sqrt(timeframe.bars_per_year)),
        "parkinson_288": ((pl.col("hl") ** 2).rolling_mean(288) / (4 * np.log(2))).sqrt(),
        "garman_klass_48": (0.5 * pl.col("hl") ** 2 - 0.386 * pl.col("co") ** 2).rolling_mean(48).sqrt(),
        "efficiency_ratio_48": (c - c.shift(48)).abs() / change.abs().rolling_sum(48),
        "volume_ratio": v / v20, "volume_trend": v20 / v288, "volume_zscore_288": (v - v288) / v.rolling_std(288),
        "obv": pl.col("signed").rolling_sum(20) / (20 * v20), "vpt": (ret * v).rolling_sum(20) / (20 * v20),
        "vwap_288_dist": (c - pl.col("typical").rolling_sum(288) / (288 * v288)) / c,
        "drawdown_288": c / h.rolling_max(288) - 1,
        **{f"ref_return_{k}": ref / ref.shift(k) - 1 for k in (1, 12, 288)}, "ref_realized_vol_288": q.rolling_std(288),
        "ref_corr_288": pl.rolling_corr(r, q, window_size=288),
        "ref_beta_288": pl.rolling_cov(r, q, window_size=288) / q.rolling_var(288),
        "oi_change_12": oi / oi.shift(12) - 1, "oi_change_288": oi / oi.shift(288) - 1,
        "funding_zscore_576": (rate - rate.rolling_mean(576)) / rate.rolling_std(576),
        **{f"taker_imbalance_{k}": pl.col("flow").rolling_sum(k) / v.rolling_sum(k) for k in (12, 48)},
    }  # fmt: skip
    return base.select(**{name: expression.cast(pl.Float32) for name, expression in f.items()}).collect()


def talib_features(inputs: BarInputs, timeframe: Timeframe) -> np.ndarray:
    """62 features by TA-Lib's C functions, NumPy for the rest."""
    import talib as ta

    columns = np.ascontiguousarray(inputs.values.T)  # noqa: PD011 - not a pandas frame
    o, h, l, c, v = columns[:5]  # noqa: E741
    ref, oi, rate = columns[[Column.REF_CLOSE, Column.OPEN_INTEREST, Column.FUNDING_RATE]]
    f: list[np.ndarray] = []
    ret = ta.ROCP(c, 1)
    r, q = np.log1p(ret), np.log1p(ta.ROCP(ref, 1))
    r[0] = q[0] = 0.0
    ret[0] = 0.0
    top, bottom = np.maximum(o, c), np.minimum(o, c)
    f += [ret, r, (h - l) / c, np.abs(c - o) / c, (h - top) / c, (bottom - l) / c, 2 * (h - l) / (h + l)]
    f += [ta.ROCP(c, k) for k in (5, 12, 48, 144, 288)] + [ta.MOM(c, k) / c for k in (5, 10, 20)] + [ta.ROC(c, 10)]
    mom = ta.MOM(c, 5)
    f += [np.diff(mom, prepend=np.nan) / c, ta.RSI(c, 14)]
    f += [x / c for x in ta.MACD(c, 12, 26, 9)] + list(ta.STOCHF(h, l, c, 14, 3))
    e = {n: ta.EMA(c, n) for n in (9, 21, 50, 200)}
    f += [(c - e[n]) / c for n in e] + [(e[9] - e[21]) / c, ta.ADX(h, l, c, 14), ta.PLUS_DI(h, l, c, 14)]
    f += [ta.MINUS_DI(h, l, c, 14), (c - ta.SMA(c, 50)) / c]
    upper, middle, lower = ta.BBANDS(c, 20)
    f += [(c - middle) / c, (upper - c) / c, (c - lower) / c, (upper - lower) / middle, (c - lower) / (upper - lower)]
    tr = ta.TRANGE(h, l, c)
    tr[0] = 0.0
    atr = ta.SMA(tr, 14)
    f += [atr / c, atr / ta.SMA(tr, 288), ta.STDDEV(ret, 24) * np.sqrt(timeframe.bars_per_year)]
    f += [ta.STDDEV(r, k) for k in (12, 48, 144, 288, 576)]
    hl, co = np.log(h / l), np.log(c / o)
    f += [np.sqrt(ta.SMA(hl * hl, 288) / (4 * np.log(2))), np.sqrt(ta.SMA(0.5 * hl * hl - 0.386 * co * co, 48))]
    f += [np.abs(ta.MOM(c, 48)) / ta.SUM(np.abs(np.diff(c, prepend=c[0])), 48), c / ta.MAX(h, 288) - 1]
    v20, v288 = ta.SMA(v, 20), ta.SMA(v, 288)
    f += [v / v20, v20 / v288, (v - v288) / ta.STDDEV(v, 288), ta.SUM(np.sign(r) * v, 20) / (20 * v20)]
    f += [ta.SUM(ret * v, 20) / (20 * v20), (c - ta.SUM((h + l + c) / 3 * v, 288) / (288 * v288)) / c]
    f += [ta.ROCP(ref, k) for k in (1, 12, 288)] + [ta.STDDEV(q, 288), ta.CORREL(r, q, 288), ta.BETA(q, r, 288)]
    f += [ta.ROCP(oi, 12), ta.ROCP(oi, 288), (rate - ta.SMA(rate, 576)) / ta.STDDEV(rate, 576)]
    return np.column_stack(f).astype(np.float32)
