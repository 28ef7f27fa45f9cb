"""How does the command speak to people and to machines?

Progress and remarks go to standard error; results go to standard output, as text, or with ``--json`` as one object.
A refusal is one line that says what, why and what to do, with exit code 1.
"""

import json
import math
import sys
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from market.errors import LockstepError

__all__ = ["err", "out", "print_json", "print_refusal", "refused_by_system", "table"]

_PIPED_WIDTH = 140
# Tables written to a file or a pipe are not squeezed into eighty columns.
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _PIPED_WIDTH)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def print_json(value: object) -> None:
    """Write one JSON object to standard output; NaN and infinities become null, as JSON has neither."""
    sys.stdout.write(json.dumps(_finite(value), indent=2, sort_keys=False, default=str) + "\n")
    sys.stdout.flush()


def print_refusal(error: LockstepError, *, as_json: bool) -> None:
    """Tell why a command refused, in one line or as ``{"error": {...}}``."""
    if as_json:
        print_json({"error": {"what": error.what, "why": error.why, "remedy": error.remedy}})
    err.print(f"[bold red]refused[/] {_plain(str(error))}")


def refused_by_system(error: OSError) -> LockstepError:
    """What the operating system refused (disk full, no permission) and no room below has put into words."""
    where = f" at {error.filename}" if error.filename else ""
    return LockstepError(
        f"{error.strerror or error}{where}",
        why="this step could not be finished; what earlier steps stored is whole",
        remedy="free space or correct the permissions, then run the same command again",
    )


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """A plain table for people; numbers are right-aligned by the caller's formatting."""
    made = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for name in columns:
        made.add_column(name)
    for row in rows:
        made.add_row(*(_plain(str(cell)) for cell in row))
    return made


def _plain(text: str) -> str:
    return text.replace("[", "\\[")


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if hasattr(value, "item"):
        return _finite(value.item())
    return value
