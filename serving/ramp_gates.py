"""What must a stage of capital show, and what ends it at once?

Gates over the evidence of one window; None is a number that could not be measured, and fails no gate but passes none.
``breach_to`` names the stage to which a missed gate demotes at once, whatever the clock says; a gate without one
counts when the stage's time is over.
"""

from dataclasses import dataclass

from infra.settings_ramp import RampSettings

__all__ = ["Evidence", "RampGate", "capital_gates", "observe_gates", "paper_gates"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is stored of the champion since its clock began; None means that it could not be measured.

    ``restarted_ms`` is when the worker was back after its last unplanned silence (None: there was none);
    ``beating`` whether it shows itself now. ``consensus`` is the mean share of votes behind the leading side,
    ``confidence`` the mean confidence. ``profit`` is the sum of what was said (fraction of equity), ``drawdown`` the
    largest fall below the highest equity, ``daily_drawdown`` the largest within a UTC day. ``stop_share`` and
    ``buy_share`` are shares of closed trades. ``trips`` counts bars on which a breaker kept everything back,
    ``fired`` names checks of the champion that fired.
    """

    bundle_hash: str
    deployment: int
    synthetic: bool | None
    bars: int
    missing_bars: int | None = None
    beating: bool | None = None
    restarted_ms: int | None = None
    feature_errors: int | None = None
    load_failures: int | None = None
    predictions: int = 0
    consensus: float | None = None
    confidence: float | None = None
    trades: int = 0
    unresolved: int = 0
    profit: float | None = None
    drawdown: float | None = None
    daily_drawdown: float | None = None
    stop_share: float | None = None
    buy_share: float | None = None
    trips: int | None = None
    fired: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RampGate:
    """One question, the number, whether it passed (None: not known), and where a miss leads at once, if anywhere."""

    name: str
    measured: float | None
    passed: bool | None
    detail: str
    breach_to: str | None = None


def observe_gates(e: Evidence, s: RampSettings) -> tuple[RampGate, ...]:
    """The watch of the first hour: nothing breaks, the models agree and are sure, no bar is missing."""
    return (
        _none("feature errors", e.feature_errors),
        _none("load failures", e.load_failures),
        _above("consensus", _known(e.consensus, e.predictions, s.min_predictions), s.observe_consensus),
        _above("confidence", _known(e.confidence, e.predictions, s.min_predictions), s.observe_confidence),
        *_steady(e),
    )


def paper_gates(e: Evidence, s: RampSettings) -> tuple[RampGate, ...]:
    """Trading on paper: it earns, falls little, is seldom stopped, takes both sides, and nothing breaks."""
    return (
        _none("feature errors", e.feature_errors, breach_to="observe"),
        _none("load failures", e.load_failures, breach_to="observe"),
        _above("profit", _known(e.profit, e.trades, s.min_trades), 0.0),
        _below("daily drawdown", e.daily_drawdown, s.paper_daily_drawdown, breach_to="observe"),
        _below("stop hits", _known(e.stop_share, e.trades, s.min_trades), s.paper_stop_share),
        _between("share of buys", _known(e.buy_share, e.trades, s.min_trades), s.paper_side_share),
        _none("unresolved trades", e.unresolved),
        *_steady(e),
    )


def capital_gates(e: Evidence, s: RampSettings) -> tuple[RampGate, ...]:
    """With capital: it earns, falls little, the models agree, no breaker trips, nothing breaks."""
    return (
        _none("feature errors", e.feature_errors, breach_to="observe"),
        _none("load failures", e.load_failures, breach_to="observe"),
        _none("breaker trips", e.trips, breach_to="paper"),
        _none("checks that fired", len(e.fired), breach_to="paper", names=e.fired),
        _below("drawdown", e.drawdown, s.capital_drawdown, breach_to="paper"),
        _above("profit", _known(e.profit, e.trades, s.min_trades), 0.0),
        _above("consensus", _known(e.consensus, e.predictions, s.min_predictions), s.capital_consensus),
        _none("unresolved trades", e.unresolved),
        *_steady(e),
    )


def _steady(e: Evidence) -> tuple[RampGate, ...]:
    """Every bar was served, and the worker shows itself now."""
    beats = "the worker shows itself" if e.beating else "no sign of the worker now"
    return (
        _none("missing bars", e.missing_bars),
        RampGate(name="worker", measured=None, passed=True if e.beating else None, detail=beats),
    )


def _known(value: float | None, rows: int, least: int) -> float | None:
    """The value where enough rows stand behind it."""
    return value if rows >= least else None


def _none(name: str, count: int | None, *, breach_to: str | None = None, names: tuple[str, ...] = ()) -> RampGate:
    told = f"{name}: {'unknown' if count is None else count}{' (' + ', '.join(names) + ')' if names else ''}, limit 0"
    passed = None if count is None else count == 0
    return RampGate(name=name, measured=count, passed=passed, detail=told, breach_to=breach_to)


def _above(name: str, value: float | None, limit: float) -> RampGate:
    passed = None if value is None else value > limit
    return RampGate(name=name, measured=value, passed=passed, detail=f"{name} {_told(value)}, above {limit:g}")


def _below(name: str, value: float | None, limit: float, *, breach_to: str | None = None) -> RampGate:
    passed = None if value is None else value < limit
    told = f"{name} {_told(value)}, below {limit:g}"
    return RampGate(name=name, measured=value, passed=passed, detail=told, breach_to=breach_to)


def _between(name: str, value: float | None, least: float) -> RampGate:
    passed = None if value is None else least <= value <= 1.0 - least
    told = f"{name} {_told(value)}, between {least:g} and {1.0 - least:g}"
    return RampGate(name=name, measured=value, passed=passed, detail=told)


def _told(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4f}"
