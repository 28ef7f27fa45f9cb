"""What does the report of one lifecycle show?

Plain frozen values that survive JSON: strings, numbers, booleans, None and tuples of them. None means unknown and
is shown as a dash, never as zero. Times are integer ms UTC; shares, returns and drawdowns are fractions.
"""

from dataclasses import dataclass
from typing import Literal

__all__ = [
    "CalibrationCurve",
    "CoverageRow",
    "DriftRow",
    "EquityCurve",
    "GateRow",
    "Parity",
    "Place",
    "ReportInputs",
    "ScoreRow",
    "SignalRow",
    "Timing",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageRow:
    """History of one symbol: first and last bar open, bars present, bars missing, share present."""

    symbol: str
    kind: str
    first_ms: int
    last_ms: int
    rows: int
    missing: int
    coverage: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """Rows served against rows recomputed in batch; ``first_mismatch`` in words, empty when there is none."""

    rows: int
    identical: int
    first_mismatch: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRow:
    """Walk-forward result of a model, the ensemble or a baseline after costs; ``log_loss`` in nats, Sharpe a year."""

    name: str
    role: Literal["model", "ensemble", "baseline"]
    log_loss: float | None = None
    brier: float | None = None
    trades: int | None = None
    hit_rate: float | None = None
    profit_factor: float | None = None
    sharpe: float | None = None
    max_drawdown: float | None = None
    total_return: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRow:
    """One gate as decided: the fields of ``registry.cards.Gate`` without its evidence."""

    name: str
    measured: float | None
    threshold: float | None
    comparison: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EquityCurve:
    """Equity (1 at the start) at ``time_ms``; both of the same length. At most three curves are drawn."""

    name: str
    time_ms: tuple[int, ...]
    equity: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationCurve:
    """Mean predicted probability and observed frequency per bin of one class."""

    name: str
    predicted: tuple[float, ...]
    observed: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftRow:
    """One column of a drift check."""

    name: str
    verdict: str
    psi: float
    psi_threshold: float | None
    ks: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalRow:
    """One served bar of one symbol with its reason; ``action`` HOLD, BUY or SELL."""

    time_ms: int
    symbol: str
    action: str
    confidence: float | None
    size: float | None
    state: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long one step took."""

    step: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where to look next: a command to type or an address to open, shown as text."""

    label: str
    where: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportInputs:
    """Everything on the page; empty tuples leave their section out.

    ``title`` names the page; ``verdict`` is promote or refuse and ``reason`` one sentence; ``model_name``, ``version``,
    ``bundle_hash`` and ``champion_hash`` say what was decided on; ``timeframe`` like ``5m``;
    ``made_ms`` when the page was made; ``synthetic`` puts a banner on top; ``profile`` is the gate profile.
    ``drift_verdict`` and ``drift_reason`` summarise ``drift``, of which the columns nearest their limits are drawn.
    """

    title: str
    model_name: str
    version: int | None
    bundle_hash: str
    champion_hash: str | None
    verdict: Literal["promote", "refuse"]
    reason: str
    synthetic: bool
    timeframe: str
    profile: str
    made_ms: int
    coverage: tuple[CoverageRow, ...] = ()
    parity: Parity | None = None
    scores: tuple[ScoreRow, ...] = ()
    gates: tuple[GateRow, ...] = ()
    equity: tuple[EquityCurve, ...] = ()
    calibration: tuple[CalibrationCurve, ...] = ()
    drift_verdict: str = "UNKNOWN"
    drift_reason: str = ""
    drift: tuple[DriftRow, ...] = ()
    signals: tuple[SignalRow, ...] = ()
    timings: tuple[Timing, ...] = ()
    places: tuple[Place, ...] = ()
