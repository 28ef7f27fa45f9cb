"""What does each feature mean?

One row a feature, in column order: the kernel's columns are made from this list. Notation: O, H, L, C, V of this bar;
C_k is k bars earlier; SMAn, STDn (sample) and SUMn over the last n bars; EMAn with weight 2/(n+1), begun at the
warm-up's first close; r = ln(C/C_1); TR = max(H-L, |H-C_1|, |L-C_1|); R is the reference market's close and
q = ln(R/R_1). ``lookback_bars`` counts the bars read, this one included; 0 marks a recursion (EMA, CUSUM), which reads
from the warm-up on. Every feature is free of price and volume units. Where a definition would divide zero by zero (a
flat or empty window) the formula gives the value.
"""

from dataclasses import dataclass
from math import inf

__all__ = ["FEATURES", "FeatureDefinition"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureDefinition:
    """One column: what it is, how far it looks back, and the closed range that its values keep."""

    name: str
    group: str
    formula: str
    lookback_bars: int
    unit: str
    low: float
    high: float
    source: str
    nan_allowed: bool


_RSI = "Wilder 1978, sec. VI, with simple means"
_ATR = "Wilder 1978, sec. III, with simple means"
_DMI = "Wilder 1978, sec. IV, with simple means"
_COMPOUND = "Campbell, Lo & MacKinlay 1997, sec. 1.4"
_AVERAGES = "Murphy 1999, ch. 9"
_RATES = "Murphy 1999, ch. 10"
_INTEREST = "after Murphy 1999, ch. 7"
_PERPETUAL = "He et al. 2022, perpetual futures; definition"
_BOLLINGER = "Bollinger 2001, with sample deviations"
_RV = "Andersen & Bollerslev 1998"
_IMBALANCE = "Chordia & Subrahmanyam 2004, order imbalance by volume"


def _group(
    group: str, *rows: tuple[str, str, int, str, float, float, str], nan_allowed: bool = False
) -> tuple[FeatureDefinition, ...]:
    return tuple(
        FeatureDefinition(
            name=name,
            group=group,
            formula=formula,
            lookback_bars=lookback,
            unit=unit,
            low=low,
            high=high,
            source=source,
            nan_allowed=nan_allowed,
        )
        for name, formula, lookback, unit, low, high, source in rows
    )


FEATURES: tuple[FeatureDefinition, ...] = (
    *_group(
        "price",
        ("returns", "C/C_1 - 1", 2, "fraction", -1, inf, _COMPOUND),
        ("log_returns", "r", 2, "log", -inf, inf, _COMPOUND),
        ("price_range", "(H-L)/C", 1, "fraction", 0, inf, "definition"),
        ("body_size", "|C-O|/C", 1, "fraction", 0, inf, "definition"),
        ("upper_wick", "(H-max(O,C))/C", 1, "fraction", 0, inf, "definition"),
        ("lower_wick", "(min(O,C)-L)/C", 1, "fraction", 0, 1, "definition"),
        ("relative_spread", "(H-L)/((H+L)/2)", 1, "fraction", 0, 2, "definition"),
    ),
    *_group(
        "momentum",
        ("return_5", "C/C_5 - 1", 6, "fraction", -1, inf, _COMPOUND),
        ("return_12", "C/C_12 - 1", 13, "fraction", -1, inf, _COMPOUND),
        ("return_48", "C/C_48 - 1", 49, "fraction", -1, inf, _COMPOUND),
        ("return_144", "C/C_144 - 1", 145, "fraction", -1, inf, _COMPOUND),
        ("return_288", "C/C_288 - 1", 289, "fraction", -1, inf, _COMPOUND),
        ("momentum_5", "(C-C_5)/C", 6, "fraction", -inf, 1, _RATES),
        ("momentum_10", "(C-C_10)/C", 11, "fraction", -inf, 1, _RATES),
        ("momentum_20", "(C-C_20)/C", 21, "fraction", -inf, 1, _RATES),
        ("acceleration", "((C-C_5)-(C_1-C_6))/C", 7, "fraction", -inf, inf, "definition (change of momentum_5)"),
        ("roc", "100 (C-C_10)/C_10", 11, "percent", -100, inf, _RATES),
        ("rsi", "100 SUM14(up)/(SUM14(up)+SUM14(down)); flat: 50", 15, "0..100", 0, 100.001, _RSI),
        ("macd", "(EMA12-EMA26)/C", 0, "fraction", -inf, inf, "Appel 1979, over the close"),
        ("macd_signal", "EMA9(EMA12-EMA26)/C", 0, "fraction", -inf, inf, "Appel 1979, over the close"),
        ("macd_hist", "macd - macd_signal", 0, "fraction", -inf, inf, "Appel 1979, over the close"),
        ("stoch_k", "100 (C-min14 L)/(max14 H-min14 L); flat: 50", 14, "0..100", 0, 100.001, "Lane 1984"),
        ("stoch_d", "SMA3(stoch_k)", 16, "0..100", 0, 100.001, "Lane 1984"),
    ),
    *_group(
        "trend",
        ("ema_9_dist", "(C-EMA9)/C", 0, "fraction", -inf, 1, _AVERAGES),
        ("ema_21_dist", "(C-EMA21)/C", 0, "fraction", -inf, 1, _AVERAGES),
        ("ema_50_dist", "(C-EMA50)/C", 0, "fraction", -inf, 1, _AVERAGES),
        ("ema_200_dist", "(C-EMA200)/C", 0, "fraction", -inf, 1, _AVERAGES),
        ("ema_9_21_diff", "(EMA9-EMA21)/C", 0, "fraction", -inf, inf, _AVERAGES),
        ("ema_9_21_above", "1 if EMA9 > EMA21 else 0", 0, "0 or 1", 0, 1, _AVERAGES),
        ("price_above_ema_50", "1 if C > EMA50 else 0", 0, "0 or 1", 0, 1, _AVERAGES),
        ("sma_20_dist", "(C-SMA20(C))/C", 20, "fraction", -inf, 1, _AVERAGES),
        ("sma_50_dist", "(C-SMA50(C))/C", 50, "fraction", -inf, 1, _AVERAGES),
        ("ma_10_20_diff", "(SMA10(C)-SMA20(C))/C", 20, "fraction", -inf, inf, _AVERAGES),
        ("adx", "SMA14(100 |+DI - -DI|/(+DI + -DI)); no movement: 0", 28, "0..100", 0, 100.001, _DMI),
        ("plus_di", "100 SUM14(+DM)/SUM14(TR), +DM = max(H-H_1,0) if > L_1-L; flat: 0", 15, "0..100", 0, 100.001, _DMI),
        (
            "minus_di",
            "100 SUM14(-DM)/SUM14(TR), -DM = max(L_1-L,0) if > H-H_1; flat: 0",
            15,
            "0..100",
            0,
            100.001,
            _DMI,
        ),
        ("efficiency_ratio_48", "|C-C_48|/SUM48|C-C_1|; flat: 0", 49, "0..1", 0, 1, "Kaufman 1995"),
        (
            "trend_regime",
            "1 if adx > 25, C > EMA50, C/C_10 - 1 > sqrt(10) STD288(r); -1 mirrored; else 0; left for one held 3 bars",
            0,
            "-1, 0 or 1",
            -1,
            1,
            "Wilder 1978, sec. IV; the bounds are ours",
        ),
    ),
    *_group(
        "volatility",
        ("bb_upper_dist", "(SMA20(C)+2 STD20(C)-C)/C", 20, "fraction", -inf, inf, _BOLLINGER),
        ("bb_lower_dist", "(C-SMA20(C)+2 STD20(C))/C", 20, "fraction", -inf, inf, _BOLLINGER),
        ("bb_width", "4 STD20(C)/SMA20(C)", 20, "fraction", 0, inf, _BOLLINGER),
        ("bb_position", "(C-SMA20(C)+2 STD20(C))/(4 STD20(C)); flat: 0.5", 20, "band", -0.5623, 1.5623, _BOLLINGER),
        ("price_volatility_10", "population STD10(C)/SMA10(C)", 10, "fraction", 0, 3, "definition"),
        ("atr_pct", "SMA14(TR)/C", 15, "fraction", 0, inf, _ATR),
        ("atr_ratio", "SMA14(TR)/SMA288(TR); flat: 1", 289, "ratio", 0, 20.58, "definition"),
        ("volatility", "STD24(C/C_1 - 1) sqrt(bars a year)", 25, "a year", 0, inf, _RV),
        ("realized_vol_12", "STD12(r)", 13, "a bar", 0, inf, _RV),
        ("realized_vol_48", "STD48(r)", 49, "a bar", 0, inf, _RV),
        ("realized_vol_144", "STD144(r)", 145, "a bar", 0, inf, _RV),
        ("realized_vol_288", "STD288(r)", 289, "a bar", 0, inf, _RV),
        ("realized_vol_576", "STD576(r)", 577, "a bar", 0, inf, _RV),
        ("vol_ratio_12_288", "realized_vol_12/realized_vol_288; flat: 1", 289, "ratio", 0, 5.2, "definition"),
        (
            "garman_klass_48",
            "sqrt(SMA48(ln(H/L)^2/2 - (2 ln 2 - 1) ln(C/O)^2))",
            48,
            "a bar",
            0,
            inf,
            "Garman & Klass 1980, estimator 5",
        ),
        ("parkinson_288", "sqrt(SMA288(ln(H/L)^2)/(4 ln 2))", 288, "a bar", 0, inf, "Parkinson 1980"),
        (
            "downside_share_48",
            "SUM48(min(r,0)^2)/SUM48(r^2); flat: 0.5",
            49,
            "0..1",
            0,
            1.00001,
            "Barndorff-Nielsen et al. 2008",
        ),
        ("range_position_288", "(C-min288 L)/(max288 H-min288 L); flat: 0.5", 288, "0..1", 0, 1, "definition"),
        ("drawdown_288", "C/max288 H - 1", 288, "fraction", -1, 0, "definition"),
        (
            "wild_regime",
            "1 if atr_ratio > 2 else 0; left for one held 3 bars",
            0,
            "0 or 1",
            0,
            1,
            "definition",
        ),
        (
            "cusum_event",
            "1 where max(0, u+r) > 2 STD48(r), -1 where max(0, d-r) > it, else 0; u, d: those sums, 0 after an event",
            0,
            "-1, 0 or 1",
            -1,
            1,
            "Lopez de Prado 2018, sec. 2.5.2.1, scaled by volatility",
        ),
    ),
    *_group(
        "volume",
        ("volume_ratio", "V/SMA20(V); no volume: 0", 20, "ratio", 0, 20.001, "definition"),
        ("volume_trend", "SMA20(V)/SMA288(V); no volume: 0", 288, "ratio", 0, 14.41, "definition"),
        (
            "volume_zscore_288",
            "(V-SMA288(V))/population STD288(V); constant: 0",
            288,
            "deviations",
            -17,
            17,
            "definition",
        ),
        (
            "obv",
            "SUM20(sign(C-C_1) V)/SUM20(V); no volume: 0",
            21,
            "-1..1",
            -1.00001,
            1.00001,
            "Granville 1963, over a window",
        ),
        ("obv_ema", "EMA20(obv)", 0, "-1..1", -1.00001, 1.00001, "Granville 1963, over a window"),
        (
            "vpt",
            "SUM20((C/C_1 - 1) V)/SUM20(V); no volume: 0",
            21,
            "fraction",
            -1,
            inf,
            "definition (price-volume trend over a window)",
        ),
        (
            "vwap_288_dist",
            "(C-SUM288(V (H+L+C)/3)/SUM288(V))/C; no volume: 0",
            288,
            "fraction",
            -inf,
            1,
            "Berkowitz, Logue & Noser 1988",
        ),
        (
            "illiquidity_ratio",
            "(SUM12|r|/SUM12(V))/(SUM288|r|/SUM288(V)); none: 1",
            289,
            "ratio",
            0,
            inf,
            "Amihud 2002, eq. 1, over its own mean",
        ),
    ),
    *_group(
        "pattern",
        ("is_doji", "1 if 10 |C-O| <= H-L else 0", 1, "0 or 1", 0, 1, "Nison 1991, ch. 8; the bound is ours"),
        (
            "is_hammer",
            "1 if 0 < |C-O|, lower wick > 2 |C-O| and upper wick <= |C-O| else 0",
            1,
            "0 or 1",
            0,
            1,
            "Nison 1991, ch. 4; the bounds are ours",
        ),
        (
            "is_engulfing",
            "sign(C-O) if |C-O| > 1.5 |C_1-O_1| and not of its sign, else 0",
            2,
            "-1, 0 or 1",
            -1,
            1,
            "Nison 1991, ch. 4, by size of the bodies",
        ),
        ("gap_up", "1 if L > H_1 else 0", 2, "0 or 1", 0, 1, "Nison 1991, ch. 7 (windows)"),
        ("gap_down", "1 if H < L_1 else 0", 2, "0 or 1", 0, 1, "Nison 1991, ch. 7 (windows)"),
    ),
    *_group(
        "time",
        ("day_sin", "sin(2 pi x), x = share of the UTC day gone at the close", 1, "-1..1", -1, 1, "definition"),
        ("day_cos", "cos(2 pi x), x = share of the UTC day gone at the close", 1, "-1..1", -1, 1, "definition"),
        (
            "week_sin",
            "sin(2 pi x), x = share of the week from Monday gone at the close",
            1,
            "-1..1",
            -1,
            1,
            "definition",
        ),
        (
            "week_cos",
            "cos(2 pi x), x = share of the week from Monday gone at the close",
            1,
            "-1..1",
            -1,
            1,
            "definition",
        ),
    ),
    *_group(
        "funding",
        (
            "funding_rate",
            "latest settled rate f; unknown for over half of 576 bars: NaN",
            576,
            "a settlement",
            -0.1,
            0.1,
            _PERPETUAL,
        ),
        ("funding_annualised", "f 8760/interval in hours", 576, "a year", -876, 876, _PERPETUAL),
        (
            "funding_zscore_576",
            "(f-mean)/population deviation, known bars of 576, f in 1e-8; constant: 0",
            576,
            "deviations",
            -24,
            24,
            "definition",
        ),
        ("funding_change_576", "f - mean, known bars of 576", 576, "a settlement", -0.2, 0.2, "definition"),
        (
            "funding_interval_change",
            "interval/mean interval - 1, known bars of 576; the venue changed it: not 0",
            576,
            "fraction",
            -1,
            480,
            "definition",
        ),
        ("hours_to_funding", "hours from the close to the next settlement", 576, "hours", 0, 8, "definition"),
    ),
    *_group(
        "reference",
        ("ref_return_1", "R/R_1 - 1", 2, "fraction", -1, inf, _COMPOUND),
        ("ref_return_12", "R/R_12 - 1", 13, "fraction", -1, inf, _COMPOUND),
        ("ref_return_288", "R/R_288 - 1", 289, "fraction", -1, inf, _COMPOUND),
        ("ref_realized_vol_288", "STD288(q)", 289, "a bar", 0, inf, _RV),
        (
            "ref_beta_288",
            "COV288(r,q)/VAR288(q); flat reference: 0",
            289,
            "ratio",
            -inf,
            inf,
            "Sharpe 1963, single-index model",
        ),
        (
            "ref_corr_288",
            "COV288(r,q)/(STD288(r) STD288(q)); either flat: 0",
            289,
            "-1..1",
            -1,
            1,
            "Pearson correlation; definition",
        ),
        (
            "relative_strength_12",
            "return_12 - ref_return_12",
            13,
            "fraction",
            -inf,
            inf,
            "after Levy 1967, as a difference",
        ),
        (
            "relative_strength_288",
            "return_288 - ref_return_288",
            289,
            "fraction",
            -inf,
            inf,
            "after Levy 1967, as a difference",
        ),
    ),
    *_group(
        "open interest",
        ("oi_change_12", "I/I_12 - 1, I = open interest known at the close", 13, "fraction", -1, inf, _INTEREST),
        ("oi_change_288", "I/I_288 - 1", 289, "fraction", -1, inf, _INTEREST),
        (
            "oi_zscore_576",
            "(I-mean)/population deviation, known bars of 576; under 1e-5 of the mean: 0; under 288 known: NaN",
            576,
            "deviations",
            -24.1,
            24.1,
            "definition",
        ),
        ("oi_price_divergence_12", "-sign(return_12) oi_change_12", 13, "fraction", -inf, inf, _INTEREST),
        nan_allowed=True,
    ),
    *_group(
        "basis",
        ("basis", "C/M - 1, M = mark price, both at the mark's last known close", 1, "fraction", -1, inf, _PERPETUAL),
        (
            "basis_zscore_288",
            "(basis-mean)/population deviation, known bars of 288; under 1e-5 of the mean: 0; under 144 known: NaN",
            288,
            "deviations",
            -17,
            17,
            "definition",
        ),
        nan_allowed=True,
    ),
    *_group(
        "order flow",
        ("taker_share", "b = volume bought by takers/V; no volume: NaN", 1, "0..1", 0, 1, "definition"),
        (
            "taker_imbalance_12",
            "SUM12((2b-1) V)/SUM12(V), known bars; under 6 known: NaN",
            12,
            "-1..1",
            -1.00001,
            1.00001,
            _IMBALANCE,
        ),
        (
            "taker_imbalance_48",
            "SUM48((2b-1) V)/SUM48(V), known bars; under 24 known: NaN",
            48,
            "-1..1",
            -1.00001,
            1.00001,
            _IMBALANCE,
        ),
        nan_allowed=True,
    ),
)
