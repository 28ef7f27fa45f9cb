"""What does each request answer with, field by field?

Frozen models that refuse unknown fields, so an answer that no longer fits its description is an error here and not at
the reader. Every ``*_ms`` is UTC milliseconds; a value that is not known is null, never zero.
"""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from serving.signal_feed import Signal

__all__ = [
    "Condition",
    "ErrorAnswer",
    "HaltAnswer",
    "HealthAnswer",
    "Model",
    "ModelsAnswer",
    "ReadyAnswer",
    "RetrainAnswer",
    "SignalsAnswer",
    "StatusAnswer",
]


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ErrorAnswer(_Answer):
    """Every refusal."""

    what: str = Field(description="What happened")
    why: str = Field(description="Why it matters")
    remedy: str = Field(description="What to do")


class HealthAnswer(_Answer):
    """Whether this process can do what it is for: load the champion with every check, and reproduce its golden bars."""

    healthy: bool
    reason: str = Field(description="ok, or a reason code of docs/fail-closed.md")
    what: str | None = Field(description="What is wrong; null when healthy")
    why: str | None
    remedy: str | None
    version: int | None = Field(description="The champion's registered version")
    bundle_hash: str | None
    golden_digest: str | None = Field(description="SHA-256 over the probabilities computed here for the golden bars")


class Condition(_Answer):
    """One thing that must hold before signals can be relied on."""

    name: Literal["database", "worker", "champion", "halt", "data"]
    ok: bool
    detail: str = Field(description="What was found, in words")


class ReadyAnswer(_Answer):
    """Whether signals are being given now; every condition is listed, also those that hold."""

    ready: bool
    conditions: tuple[Condition, ...]


class _Served(_Answer):
    version: int
    bundle_hash: str
    since: str
    synthetic: bool | None


class _Champion(_Served):
    train_end_ms: int | None


class _Freshness(_Answer):
    fresh: bool
    watermark_ms: int | None
    age_s: float | None
    max_age_s: float
    oldest_symbol: str | None
    stale: tuple[str, ...]


class _Beat(_Answer):
    at: str
    detail: dict[str, Any]


class StatusAnswer(_Answer):
    """What ``lockstep status`` reads: champion, state and reason, ages, counts and last verdicts."""

    model_name: str
    champion: _Champion | None
    challenger: _Served | None
    state: Literal["FULL", "LAST_GOOD", "FLAT", "HALT"]
    reason: str = Field(description="ok, or a reason code of docs/fail-closed.md")
    halted: bool
    last_bar_ms: int | None
    last_bar_age_s: float | None
    last_bar_reasons: dict[str, int]
    lake_last_bar_ms: int | None
    freshness: dict[str, _Freshness]
    symbols: tuple[str, ...]
    synthetic: bool
    open_paper_trades: int
    counts: dict[str, int]
    registry: dict[str, Any] | None = Field(description="What the last look at MLflow found; null before the first")
    drift: dict[str, Any] | None
    parity: dict[str, Any] | None
    heartbeats: dict[str, _Beat]


class SignalsAnswer(_Answer):
    """One page of signals, oldest first."""

    signals: tuple[Signal, ...]
    next_after: int | None = Field(description="Ask again with after= this; null where this page was the last")


class CardNote(_Answer):
    """One decision card about a model."""

    id: int
    verdict: str
    reason: str
    at: datetime


class Model(_Answer):
    """One registered bundle."""

    version: int
    bundle_hash: str
    role: Literal["champion", "challenger", "none"]
    contract: str = Field(description="Fingerprint of its feature contract")
    label_spec: str = Field(description="Fingerprint of its label rules")
    synthetic: bool = Field(description="Trained on an invented market")
    train_end_ms: int
    registered_at: datetime
    cards: tuple[CardNote, ...] = Field(description="Decision cards about it, newest first, at most 20")


class ModelsAnswer(_Answer):
    """Registered bundles, newest first, at most 200."""

    model_name: str
    champion: str | None = Field(description="Hash of the bundle that serves, also where it is not listed")
    models: tuple[Model, ...]


class HaltAnswer(_Answer):
    """How the halt switch stands after the request."""

    halted: bool
    changed: bool = Field(description="False where it stood so already: then who, when and why are the earlier ones")
    why: str | None = Field(description="Null where nobody ever threw the switch")
    who: str | None
    at: datetime | None


class RetrainAnswer(_Answer):
    """The training that was started, or the one that was under way already."""

    run_id: str
    started: bool
    detail: str
