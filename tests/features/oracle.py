"""What should each feature be, computed slowly and from its definition alone?

Plain NumPy over the bars that end at one row. ``bars`` begins where the kernel's state begins (the warm-up's first
bar), because EMAs start there. Reads nothing of the kernel.
"""
# ruff: noqa: E741 - o, h, l, c, v are the field's names, as in the definitions

import numpy as np

BEGUN = 1152 - 577 + 1  # where windows begin, counted from the warm-up's first bar
O, H, L, C, V, REAL, REF, RATE, INTERVAL, HOURS, OI, BASIS, TAKER = range(13)


def ema(x, span):
    """Recursive mean with weight 2/(span+1), begun at the first value."""
    value, weight = x[0], 2.0 / (span + 1.0)
    for item in x[1:]:
        value = weight * item + (1.0 - weight) * value
    return value


def ema_path(x, span):
    """Every value of ``ema``."""
    path, weight = [x[0]], 2.0 / (span + 1.0)
    for item in x[1:]:
        path.append(weight * item + (1.0 - weight) * path[-1])
    return np.array(path)


def over(a, b, otherwise):
    """Give a / b, or what the definition says for b = 0."""
    return a / b if b != 0 else otherwise


def before(x):
    """The series one bar earlier; the first bar is its own predecessor."""
    return np.concatenate((x[:1], x[:-1]))


def held(ref):
    """The reference at its last known close."""
    known = np.where(ref > 0, np.arange(ref.size), -1)
    last = np.maximum.accumulate(known)
    return np.where(last >= 0, ref[np.maximum(last, 0)], np.nan)


def row(bars, *, close_ms, bars_per_year):
    """All features of the last bar as a dict of floats."""
    o, h, l, c, v = bars[:, O], bars[:, H], bars[:, L], bars[:, C], bars[:, V]
    c1, h1, l1 = before(c), before(h), before(l)
    return {
        **price(o, h, l, c),
        **momentum(h, l, c, c1),
        **trend(h, l, c, c1, h1, l1),
        **volatility(o, h, l, c, c1, bars_per_year),
        **regimes(h, l, c, c1, h1, l1),
        **volume(h, l, c, c1, v),
        **patterns(o, h, l, c),
        **clock(close_ms),
        **funding(bars),
        **reference(c, c1, held(bars[:, REF])),
        **open_interest(c, np.where(bars[:, OI] > 0, bars[:, OI], np.nan)),
        **basis(bars[:, BASIS]),
        **taker(bars[:, TAKER], v),
    }


def price(o, h, l, c):
    return {
        "returns": c[-1] / c[-2] - 1,
        "log_returns": np.log(c[-1] / c[-2]),
        "price_range": (h[-1] - l[-1]) / c[-1],
        "body_size": abs(c[-1] - o[-1]) / c[-1],
        "upper_wick": (h[-1] - max(o[-1], c[-1])) / c[-1],
        "lower_wick": (min(o[-1], c[-1]) - l[-1]) / c[-1],
        "relative_spread": (h[-1] - l[-1]) / ((h[-1] + l[-1]) / 2),
    }


def momentum(h, l, c, c1):
    out = {f"return_{k}": c[-1] / c[-1 - k] - 1 for k in (5, 12, 48, 144, 288)}
    out |= {f"momentum_{k}": (c[-1] - c[-1 - k]) / c[-1] for k in (5, 10, 20)}
    out["acceleration"] = ((c[-1] - c[-6]) - (c[-2] - c[-7])) / c[-1]
    out["roc"] = 100 * (c[-1] - c[-11]) / c[-11]
    change = (c - c1)[-14:]
    up, down = change[change > 0].sum(), -change[change < 0].sum()
    out["rsi"] = over(100 * up, up + down, 50.0)
    line = ema_path(c, 12) - ema_path(c, 26)
    signal = ema(line, 9)
    out["macd"], out["macd_signal"], out["macd_hist"] = line[-1] / c[-1], signal / c[-1], (line[-1] - signal) / c[-1]
    k = []
    for end in (c.size, c.size - 1, c.size - 2):
        low, high = l[end - 14 : end].min(), h[end - 14 : end].max()
        k.append(over(100 * (c[end - 1] - low), high - low, 50.0))
    out["stoch_k"], out["stoch_d"] = k[0], sum(k) / 3
    return out


def directional(h, l, c1, h1, l1, end):
    """+DI, -DI and DX of the bar before ``end``."""
    at = slice(end - 14, end)
    up, down = (h - h1)[at], (l1 - l)[at]
    tr = np.max([(h - l)[at], np.abs(h - c1)[at], np.abs(l - c1)[at]], axis=0).sum()
    plus = over(100 * up[(up > down) & (up > 0)].sum(), tr, 0.0)
    minus = over(100 * down[(down > up) & (down > 0)].sum(), tr, 0.0)
    return plus, minus, over(100 * abs(plus - minus), plus + minus, 0.0)


def trend(h, l, c, c1, h1, l1):
    e = {span: ema(c, span) for span in (9, 21, 50, 200)}
    out = {f"ema_{span}_dist": (c[-1] - e[span]) / c[-1] for span in e}
    out["ema_9_21_diff"] = (e[9] - e[21]) / c[-1]
    out["ema_9_21_above"], out["price_above_ema_50"] = float(e[9] > e[21]), float(c[-1] > e[50])
    out["sma_20_dist"] = (c[-1] - c[-20:].mean()) / c[-1]
    out["sma_50_dist"] = (c[-1] - c[-50:].mean()) / c[-1]
    out["ma_10_20_diff"] = (c[-10:].mean() - c[-20:].mean()) / c[-1]
    out["plus_di"], out["minus_di"], _ = directional(h, l, c1, h1, l1, c.size)
    out["adx"] = np.mean([directional(h, l, c1, h1, l1, c.size - k)[2] for k in range(14)])
    out["efficiency_ratio_48"] = over(abs(c[-1] - c[-49]), np.abs(c - c1)[-48:].sum(), 0.0)
    return out


def volatility(o, h, l, c, c1, bars_per_year):
    mean, std = c[-20:].mean(), np.std(c[-20:], ddof=1)
    tr = np.max([h - l, np.abs(h - c1), np.abs(l - c1)], axis=0)
    r, hl, co = np.log(c / c1), np.log(h / l), np.log(c / o)
    high, low = h[-288:].max(), l[-288:].min()
    out = {f"realized_vol_{k}": np.std(r[-k:], ddof=1) for k in (12, 48, 144, 288, 576)}
    return out | {
        "bb_upper_dist": (mean + 2 * std - c[-1]) / c[-1],
        "bb_lower_dist": (c[-1] - (mean - 2 * std)) / c[-1],
        "bb_width": 4 * std / mean,
        "bb_position": 0.5 if np.ptp(c[-20:]) == 0 else (c[-1] - (mean - 2 * std)) / (4 * std),
        "price_volatility_10": np.std(c[-10:]) / c[-10:].mean(),
        "atr_pct": tr[-14:].mean() / c[-1],
        "atr_ratio": over(tr[-14:].mean(), tr[-288:].mean(), 1.0),
        "volatility": np.std((c / c1 - 1)[-24:], ddof=1) * np.sqrt(bars_per_year),
        "vol_ratio_12_288": over(out["realized_vol_12"], out["realized_vol_288"], 1.0),
        "garman_klass_48": np.sqrt(np.mean(0.5 * hl[-48:] ** 2 - (2 * np.log(2) - 1) * co[-48:] ** 2)),
        "parkinson_288": np.sqrt(np.mean(hl[-288:] ** 2) / (4 * np.log(2))),
        "downside_share_48": over((np.minimum(r, 0)[-48:] ** 2).sum(), (r[-48:] ** 2).sum(), 0.5),
        "range_position_288": over(c[-1] - low, high - low, 0.5),
        "drawdown_288": c[-1] / high - 1,
        "cusum_event": cusum(r),
    }


def regimes(h, l, c, c1, h1, l1):
    """The last bar's settled regimes; windows begin empty, and the tenth close back counts from there."""
    seen = np.arange(c.size) >= BEGUN
    tr = np.max([h - l, np.abs(h - c1), np.abs(l - c1)], axis=0)
    up, down = h - h1, l1 - l
    moves = [np.where((up > down) & (up > 0), up, 0.0), np.where((down > up) & (down > 0), down, 0.0), tr]
    plus, minus, tr_14 = (last_sums(np.where(seen, x, 0.0), 14) for x in moves)
    plus, minus = (np.divide(100 * x, tr_14, out=np.zeros_like(x), where=tr_14 > 0) for x in (plus, minus))
    both = plus + minus
    dx = np.divide(100 * np.abs(plus - minus), both, out=np.zeros_like(both), where=both > 0)
    adx, tr_288 = last_sums(dx, 14) / 14, last_sums(np.where(seen, tr, 0.0), 288)
    r = np.where(seen, np.log(c / c1), 0.0)
    vol = np.sqrt(np.maximum(last_sums(r * r, 288) - last_sums(r, 288) ** 2 / 288, 0.0) / 287)
    ema_50, c_10 = ema_path(c, 50), np.concatenate((np.zeros(10), c[:-10]))
    c_10[np.arange(c.size) - 10 < BEGUN - 1] = 0.0
    far = np.sqrt(10) * vol * c_10
    trend = (c > ema_50) & (c - c_10 > far), (c < ema_50) & (c - c_10 < -far)
    trend = np.where(adx > 25, trend[0].astype(float) - trend[1], 0.0)
    wild = np.array([over(a / 14, b / 288, 1.0) for a, b in zip(tr_14, tr_288, strict=True)]) > 2
    return {"trend_regime": settled(trend[BEGUN:]), "wild_regime": settled(wild[BEGUN:].astype(float))}


def last_sums(x, bars):
    """Sum of the last bars at every bar; what is before the first counts 0."""
    return np.convolve(x, np.ones(bars))[: x.size]


def settled(raw):
    """The regime after the last bar: begun at 0, left only for one that was seen three times in a row."""
    regime = 0.0
    for k in range(2, raw.size):
        if raw[k] == raw[k - 1] == raw[k - 2]:
            regime = raw[k]
    return regime


def cusum(r):
    """The last bar's event of the CUSUM filter over two deviations, begun where the windows begin."""
    rise = fall = event = 0.0
    for i in range(BEGUN, r.size):
        limit = 2 * np.std(np.concatenate((np.zeros(48), r[BEGUN : i + 1]))[-48:], ddof=1)
        rise, fall = max(rise + r[i], 0.0), max(fall - r[i], 0.0)
        event = 1.0 if rise > limit else -1.0 if fall > limit else 0.0
        rise, fall = (0.0 if rise > limit else rise), (0.0 if fall > limit else fall)
    return event


def volume(h, l, c, c1, v):
    r, typical = np.log(c / c1), (h + l + c) / 3
    signed, mean = np.sign(c - c1) * v, v[-288:].mean()
    flow = [over(signed[max(k - 20, 0) : k].sum(), v[max(k - 20, 0) : k].sum(), 0.0) for k in range(1, c.size + 1)]
    constant = np.ptp(v[-288:]) == 0
    vwap = over((typical * v)[-288:].sum(), v[-288:].sum(), c[-1])
    usual = np.abs(r[-288:]).sum() * v[-12:].sum()
    return {
        "volume_ratio": over(v[-1], v[-20:].mean(), 0.0),
        "volume_trend": over(v[-20:].mean(), mean, 0.0),
        "volume_zscore_288": 0.0 if constant else (v[-1] - mean) / np.std(v[-288:]),
        "obv": flow[-1],
        "obv_ema": ema([0.0, *flow], 20),
        "vpt": over(((c / c1 - 1) * v)[-20:].sum(), v[-20:].sum(), 0.0),
        "vwap_288_dist": (c[-1] - vwap) / c[-1],
        "illiquidity_ratio": over(np.abs(r[-12:]).sum() * v[-288:].sum(), usual, 1.0),
    }


def patterns(o, h, l, c):
    body, previous = c[-1] - o[-1], c[-2] - o[-2]
    upper, lower = h[-1] - max(o[-1], c[-1]), min(o[-1], c[-1]) - l[-1]
    engulfing = abs(body) > 1.5 * abs(previous) and np.sign(body) != np.sign(previous)
    return {
        "is_doji": float(10 * abs(body) <= h[-1] - l[-1]),
        "is_hammer": float(0 < abs(body) < lower / 2 and upper <= abs(body)),
        "is_engulfing": np.sign(body) if engulfing else 0.0,
        "gap_up": float(l[-1] > h[-2]),
        "gap_down": float(h[-1] < l[-2]),
    }


def clock(close_ms):
    when = np.datetime64(int(close_ms), "ms").astype(object)
    seconds = when.hour * 3600 + when.minute * 60 + when.second + when.microsecond / 1e6
    day, week = 2 * np.pi * seconds / 86400, 2 * np.pi * (when.weekday() * 86400 + seconds) / (7 * 86400)
    return {"day_sin": np.sin(day), "day_cos": np.cos(day), "week_sin": np.sin(week), "week_cos": np.cos(week)}


def funding(bars):
    known = np.isfinite(bars[-576:, [RATE, INTERVAL, HOURS]]).all(axis=1)
    rate, interval, hours = bars[-1, [RATE, INTERVAL, HOURS]]
    rates, intervals = np.rint(bars[-576:, RATE][known] * 1e8), bars[-576:, INTERVAL][known]
    enough = known[-1] and known.sum() >= 288
    out = {
        "funding_rate": rate,
        "funding_annualised": rate * 8760 / interval,
        "funding_zscore_576": 0.0 if not enough or np.ptp(rates) == 0 else (rates[-1] - rates.mean()) / np.std(rates),
        "funding_change_576": (rates[-1] - rates.mean()) / 1e8 if enough else np.nan,
        "funding_interval_change": interval / intervals.mean() - 1 if enough else np.nan,
        "hours_to_funding": hours,
    }
    return out if enough else dict.fromkeys(out, np.nan)


def reference(c, c1, ref):
    r, q = np.log(c / c1)[-288:], np.nan_to_num(np.log(ref / before(ref)))[-288:]
    out = {f"ref_return_{k}": ref[-1] / ref[-1 - k] - 1 for k in (1, 12, 288)}
    cov = ((r - r.mean()) * (q - q.mean())).sum() / 287
    out["ref_realized_vol_288"] = np.std(q, ddof=1)
    out["ref_beta_288"] = over(cov, np.var(q, ddof=1), 0.0)
    out["ref_corr_288"] = over(cov, np.std(q, ddof=1) * np.std(r, ddof=1), 0.0)
    for k in (12, 288):
        out[f"relative_strength_{k}"] = c[-1] / c[-1 - k] - 1 - out[f"ref_return_{k}"]
    return out


def open_interest(c, oi):
    change = oi[-1] / oi[-13] - 1
    return {
        "oi_change_12": change,
        "oi_change_288": oi[-1] / oi[-289] - 1,
        "oi_zscore_576": zscore(oi[-576:]),
        "oi_price_divergence_12": -np.sign(c[-1] - c[-13]) * change,
    }


def zscore(x):
    """Population deviations of the last value from the mean of the known ones; half of them must be known."""
    known = x[np.isfinite(x)]
    if np.isnan(x[-1]) or known.size < x.size / 2:
        return np.nan
    return (x[-1] - known.mean()) / np.std(known) if np.std(known) > 1e-5 * abs(known.mean()) else 0.0


def basis(b):
    return {"basis": b[-1], "basis_zscore_288": zscore(b[-288:])}


def taker(share, v):
    out = {"taker_share": share[-1]}
    for n in (12, 48):
        known = np.isfinite(share[-n:])
        bought = (share[-n:] * v[-n:])[known].sum()
        total = v[-n:][known].sum()
        out[f"taker_imbalance_{n}"] = over(2 * bought - total, total, 0.0) if known.sum() >= n / 2 else np.nan
    return out
