"""What became of the 49 features of the audited systems, and where do ours differ from TA-Lib's?

The audits found one list of 49 names with three implementations. A name lives on only where its definition is free of
units, of where history starts, and of the future. ``docs/features.md`` shows both tables; tests hold them to the
definitions and to TA-Lib.
"""

from dataclasses import dataclass

__all__ = ["TALIB_DIFFERENCES", "UNIFIED", "Fate", "TalibDifference"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """One of the 49: kept, redefined under its name, or dropped for ``now``, features that carry what it told."""

    name: str
    fate: str
    now: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TalibDifference:
    """Features that are not what the TA-Lib function of that name gives, and why."""

    features: tuple[str, ...]
    function: str
    why: str


_SAME = "same formula; the warm-up's rows are invalid instead of filled from the future"
_UNITS = "carried the price's unit, so two markets could not be compared; now over the close"
_FROM_START = "a running total depends on where history starts and carries the volume's unit; now a share of 20 bars"


def _kept(why: str, *names: str) -> tuple[Fate, ...]:
    return tuple(Fate(name=name, fate="kept", now=(name,), why=why) for name in names)


def _redefined(why: str, *names: str) -> tuple[Fate, ...]:
    return tuple(Fate(name=name, fate="redefined", now=(name,), why=why) for name in names)


def _dropped(name: str, *now: str, unit: str = "price") -> tuple[Fate, ...]:
    return (Fate(name=name, fate="dropped", now=now, why=f"carried the {unit}'s unit; told by {', '.join(now)}"),)


UNIFIED: tuple[Fate, ...] = (
    *_kept(_SAME, "returns", "log_returns"),
    *_kept("same formula", "price_range", "body_size", "upper_wick", "lower_wick"),
    *_kept("same formula without its epsilon; a flat window is 50, once 0, which read as oversold", "rsi"),
    *_redefined(_UNITS, "macd", "macd_signal", "macd_hist"),
    *_kept("same formula without its epsilon; a flat window is 50, once 0", "stoch_k", "stoch_d"),
    *_kept("same formula without its epsilon", "roc"),
    *_dropped("ema_9", "ema_9_dist"),
    *_kept("same formula; the average begins at the warm-up's first bar", "ema_9_dist"),
    *_dropped("ema_21", "ema_21_dist"),
    *_kept("same formula; the average begins at the warm-up's first bar", "ema_21_dist"),
    *_dropped("ema_50", "ema_50_dist"),
    *_kept("same formula; the average begins at the warm-up's first bar", "ema_50_dist"),
    *_dropped("ema_200", "ema_200_dist"),
    *_redefined("depended on where history starts; now begun at the warm-up's first bar", "ema_200_dist"),
    *_dropped("sma_20", "sma_20_dist"),
    *_dropped("sma_50", "sma_50_dist"),
    *_kept("same formula without its epsilon; no movement is 0", "adx", "plus_di", "minus_di"),
    *_dropped("bb_middle", "sma_20_dist"),
    *_dropped("bb_upper", "bb_upper_dist"),
    *_dropped("bb_lower", "bb_lower_dist"),
    *_kept(_SAME, "bb_width"),
    *_kept("same formula without its epsilon; a flat window is 0.5", "bb_position"),
    *_dropped("atr", "atr_pct"),
    *_kept(_SAME, "atr_pct"),
    *_redefined("was scaled by 252 days a year; now by the bars of a year (105,120 at 5m)", "volatility"),
    *_dropped("volume_sma", "volume_trend", "volume_ratio", unit="volume"),
    *_kept("same formula without its epsilon; no volume is 0", "volume_ratio"),
    *_redefined(_FROM_START, "obv", "obv_ema", "vpt"),
    *_kept("same formula without its epsilon; exactly a tenth counts", "is_doji"),
    *_redefined("ignored the upper wick; now at most the body", "is_hammer"),
    *_redefined("had no direction; now the body's sign, and only against the bar before", "is_engulfing"),
    *_kept("same formula", "gap_up", "gap_down"),
    *_redefined(_UNITS, "momentum_5", "momentum_10", "momentum_20", "acceleration"),
    *_kept("same formula without its epsilon", "relative_spread"),
)

_SMOOTHED = "TA-Lib smooths by Wilder's recursion, which never forgets; ours is the mean of 14 bars"
_CANDLES = "TA-Lib compares with the mean body or range of earlier bars; ours reads the bar itself"

TALIB_DIFFERENCES: tuple[TalibDifference, ...] = (
    TalibDifference(features=("rsi",), function="RSI", why=_SMOOTHED),
    TalibDifference(features=("atr_pct", "atr_ratio"), function="ATR", why=_SMOOTHED),
    TalibDifference(features=("plus_di",), function="PLUS_DI", why=_SMOOTHED),
    TalibDifference(features=("minus_di",), function="MINUS_DI", why=_SMOOTHED),
    TalibDifference(features=("adx",), function="ADX", why=f"{_SMOOTHED}, and so is the mean of DX"),
    TalibDifference(
        features=("ema_9_dist", "ema_21_dist", "ema_50_dist", "ema_200_dist"),
        function="EMA",
        why="TA-Lib begins at the mean of the first n bars of history; ours at the first close of the warm-up: "
        "equal once the beginning is forgotten",
    ),
    TalibDifference(
        features=("bb_upper_dist", "bb_lower_dist", "bb_width", "bb_position"),
        function="BBANDS",
        why="TA-Lib takes the population deviation; ours is the sample's: its bands at 2 sqrt(20/19) are equal",
    ),
    TalibDifference(
        features=("realized_vol_12", "volatility"),
        function="STDDEV",
        why="population deviation, as above; and TA-Lib calls small variances zero, so low-priced coins lose theirs",
    ),
    TalibDifference(
        features=("ref_beta_288",), function="BETA", why="TA-Lib takes simple returns, ours are logarithms"
    ),
    TalibDifference(
        features=("obv",), function="OBV", why="TA-Lib's total begins with history; its change over 20 bars is equal"
    ),
    TalibDifference(features=("is_doji",), function="CDLDOJI", why=_CANDLES),
    TalibDifference(features=("is_hammer",), function="CDLHAMMER", why=_CANDLES),
    TalibDifference(
        features=("is_engulfing",),
        function="CDLENGULFING",
        why="TA-Lib asks that the body covers the one before; ours that it is half as large again, of the other sign",
    ),
)
