"""Which pages in ``docs/`` are generated, and do they still say what the code does?

``make docs`` writes them; a test fails when one differs from what its generator says.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from cli.reference import command_pages
from features.docs import render_table
from infra.settings_table import settings_table
from serving.states import fail_closed_page

__all__ = ["GENERATED", "main"]

GENERATED: dict[str, Callable[[], str]] = {
    "cli.md": command_pages,
    "fail-closed.md": fail_closed_page,
    "features.md": render_table,
    "settings.md": settings_table,
}


def main() -> None:
    """Write every generated page."""
    folder = Path(__file__).resolve().parents[1] / "docs"
    for name, make in GENERATED.items():
        (folder / name).write_text(make(), encoding="utf-8")
        sys.stdout.write(f"docs/{name}\n")


if __name__ == "__main__":
    main()
