"""How is a run told that brought some of what was asked for, and not all?

As a failure that carries its result: what arrived is stored and stands in the result, and no schedule takes the run for
a good one.
"""

from collections.abc import Mapping
from typing import Any

from infra.errors import SourceError

__all__ = ["IncompleteError", "refuse_incomplete"]


class IncompleteError(SourceError):
    """Some requests failed; ``result`` says what was stored and what each failure was."""

    def __init__(self, result: Mapping[str, Any]) -> None:
        """Speak in the words of the first failure."""
        self.result = dict(result)
        said: Mapping[str, str] = result["incomplete"]
        super().__init__(said["what"], why=said["why"], remedy=said["remedy"])

    def __reduce__(self) -> tuple[object, ...]:
        """Survive pickling between processes."""
        return (IncompleteError, (self.result,))


def refuse_incomplete(result: Mapping[str, Any]) -> None:
    """Raise ``IncompleteError`` if the result tells of a failure."""
    if result.get("incomplete") is not None:
        raise IncompleteError(result)
