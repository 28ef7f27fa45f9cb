"""What is written down about one bar?

Plain values between the worker, which fills them, and the store, which writes them in one transaction. Times are ms
UTC; a bar is named by its open time. An exit names the bar it happened in.
"""

from dataclasses import dataclass, field

__all__ = ["BarRecord", "FeatureRow", "PaperExit", "PaperTrade", "PositionCheck", "PredictionRow", "SignalRow"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureRow:
    """The exact bytes predicted on: float32, little endian, contract order."""

    contract: str
    symbol: str
    bar_ms: int
    features: bytes
    reason: int
    known_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionRow:
    """What one bundle gave for one symbol; ``model_probabilities`` holds M x 3 numbers, ``confidence`` may be NaN."""

    model_name: str
    bundle_hash: str
    symbol: str
    bar_ms: int
    role: str
    run: str
    contract: str
    model_probabilities: tuple[float, ...]
    probabilities: tuple[float, float, float]
    votes: tuple[int, ...]
    action: int
    confidence: float
    size: float
    steps: str
    output_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalRow:
    """What was said to the outside, or why nothing was; ``steps`` is JSON text."""

    model_name: str
    symbol: str
    bar_ms: int
    state: str
    reason: str
    action: int
    confidence: float | None
    size: float | None
    bundle_hash: str | None
    version: int | None
    run: str
    steps: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperTrade:
    """A position one bundle took on paper; ``side`` is a ``market.barriers.Side``.

    ``book_size`` is what the book took, ``size`` what was said of it; ``correlation`` that with the reference market.
    """

    bundle_hash: str
    symbol: str
    bar_ms: int
    contract: str
    label_spec: str
    side: int
    size: float
    book_size: float
    correlation: float
    atr_fraction: float
    vol_ratio: float
    entry_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperExit:
    """How a paper trade ended; the three returns are None where it could not be resolved (``barrier`` 0).

    It ended in the bar ``exit_ms`` and was settled at the bar ``settled_ms``, later where data came late.
    """

    bundle_hash: str
    symbol: str
    bar_ms: int
    exit_ms: int
    settled_ms: int
    net: float | None
    gross: float | None
    funding: float | None
    barrier: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionCheck:
    """An open paper position looked at again: what the models say of it now, and where it stands.

    ``bar_ms`` is the bar it was decided at, ``at_ms`` the bar at which it is looked at. ``verdict`` is agrees, holds,
    opposes or unknown; ``probabilities`` are the ensemble's, None where the bar could not be predicted on; ``gross``
    the unrealised change of price by side, a fraction of the entry, before costs, None where a price is missing.
    """

    bundle_hash: str
    symbol: str
    bar_ms: int
    at_ms: int
    verdict: str
    probabilities: tuple[float, float, float] | None
    gross: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BarRecord:
    """Everything about one bar; written whole or not at all."""

    bar_ms: int
    features: tuple[FeatureRow, ...] = ()
    predictions: tuple[PredictionRow, ...] = ()
    signals: tuple[SignalRow, ...] = ()
    opened: tuple[PaperTrade, ...] = ()
    closed: tuple[PaperExit, ...] = ()
    checks: tuple[PositionCheck, ...] = ()
    detail: dict[str, object] = field(default_factory=dict)
