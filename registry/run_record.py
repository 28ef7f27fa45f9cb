"""What is logged about one training, before anybody knows where?

Plain values for ``registry.mlflow_store``: numbers of the training itself, numbers per fold, and one child for every
fold and every trial. Names may hold ``/``, which MLflow's page takes for groups.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

__all__ = ["ChildRun", "RunRecord", "RunState"]

RunState = Literal["FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildRun:
    """A fold or a trial of the training: what was chosen and what came of it; ``state`` is MLflow's run status."""

    name: str
    kind: Literal["fold", "trial"]
    params: Mapping[str, object] = field(default_factory=dict)
    metrics: Mapping[str, object] = field(default_factory=dict)
    state: RunState = "FINISHED"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One training. Nested ``params`` and ``metrics`` are flattened; a metric that is no finite number is left out.

    ``series`` are metrics by step; ``artifacts`` files by folder of the run, "" for its top; ``description`` Markdown;
    ``seconds`` how long the work took before it was logged.
    """

    params: Mapping[str, object] = field(default_factory=dict)
    metrics: Mapping[str, object] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    description: str = ""
    series: Mapping[str, Mapping[int, float | None]] = field(default_factory=dict)
    children: Sequence[ChildRun] = ()
    artifacts: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    seconds: float = 0.0
