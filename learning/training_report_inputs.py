"""What does the page of one training show?

Plain frozen values: strings, numbers, booleans, None and tuples of them. None means unknown and is shown as a dash,
never as zero. Times are integer ms UTC; shares, returns and drawdowns are fractions; log losses and skill are nats.
"""

from dataclasses import dataclass, field

from learning.report_inputs import CalibrationCurve, EquityCurve, ScoreRow, Timing

__all__ = [
    "Difference",
    "Fact",
    "FeatureShare",
    "FoldLine",
    "Group",
    "GroupTable",
    "Range",
    "StrategyLine",
    "TrainingReport",
    "TrialLine",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """A number with its interval; all None where it cannot be had."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One line of what was trained on; ``code`` shows it as an identifier."""

    name: str
    value: str
    code: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyLine:
    """Scores of one strategy with the intervals of what it earned."""

    scores: ScoreRow
    net_return: Range = field(default_factory=Range)
    sharpe: Range = field(default_factory=Range)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The ensemble minus another strategy: skill in nats a bar, net return; positive is better."""

    name: str
    skill: Range
    net_return: Range


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureShare:
    """Gain share of one feature in the final fit and in each fold's, and in how many folds it was among the first."""

    name: str
    final: float
    folds: tuple[float, ...]
    among_first: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldLine:
    """One walk-forward window; scores are None where it only warmed up the combination."""

    number: int
    train_first_ms: int
    test_first_ms: int
    test_end_ms: int
    train_rows: int
    purged_rows: int
    test_rows: int
    rounds: str
    log_loss: float | None
    climatology_log_loss: float | None
    trades: int | None
    net_return: float | None
    observed: tuple[float, ...]
    predicted: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Rows and trades of one symbol, month or regime."""

    name: str
    rows: int
    log_loss: float | None
    climatology_log_loss: float | None
    trades: int
    net_return: float
    costs: float
    hit_rate: float | None
    profit_factor: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupTable:
    """Groups of one kind, and how they were told apart."""

    title: str
    note: str
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialLine:
    """One configuration of the ledger or of the tuning."""

    name: str
    state: str
    log_loss: float | None
    sharpe: float | None
    net_return: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingReport:
    """Everything on the page; empty tuples leave their section out.

    ``skill`` is the ensemble's against class shares; ``detectable_skill`` and ``detectable_sharpe`` the smallest ones
    this evaluation would have found with ``power``. ``stability`` is the mean rank correlation of the folds' feature
    importance with the final one's. ``steps`` count decisions by what held them; ``shares`` are those of HOLD, BUY and
    SELL by where they were counted. ``trials`` is the ledger's count for the data snapshot.
    """

    model_name: str
    bundle_hash: str
    timeframe: str
    period: str
    made_ms: int
    synthetic: bool
    skill: Range
    confidence: float
    block_bars: int
    blocks: int
    detectable_skill: float | None
    detectable_sharpe: float | None
    power: float
    trials: int
    deflated_sharpe: float | None
    overfitting: float | None
    facts: tuple[Fact, ...] = ()
    strategies: tuple[StrategyLine, ...] = ()
    differences: tuple[Difference, ...] = ()
    equity: tuple[EquityCurve, ...] = ()
    calibration: tuple[CalibrationCurve, ...] = ()
    calibration_slope: float | None = None
    importance: tuple[FeatureShare, ...] = ()
    stability: float | None = None
    shares: tuple[tuple[str, tuple[float, ...]], ...] = ()
    folds: tuple[FoldLine, ...] = ()
    breakdown: tuple[GroupTable, ...] = ()
    steps: tuple[tuple[str, int], ...] = ()
    trial_lines: tuple[TrialLine, ...] = ()
    timings: tuple[Timing, ...] = ()
