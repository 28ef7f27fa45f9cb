"""What does a command need before it can do anything?

The one place where settings, the database and the lake are opened together. Everything above receives an ``App``;
nothing else reads the environment or opens a store.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from infra.database import open_database
from infra.lake import Lake
from infra.lake_database_lock import DatabaseLocks
from infra.settings import Settings, load_settings
from infra.versions import check_versions

__all__ = ["App", "open_app"]


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """The open stores of one home."""

    settings: Settings
    engine: Engine
    lake: Lake


@contextmanager
def open_app(
    home: Path | str | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, object] | None = None,
) -> Iterator[App]:
    """Check the installed versions, read the settings, open PostgreSQL (migrated, probed) and the lake.

    ``overrides`` win over every other source of settings: what a person asked for this one time.
    """
    check_versions()
    settings = load_settings(
        None if home is None else Path(home), environ=os.environ if environ is None else environ, overrides=overrides
    )
    with open_database(settings) as engine:
        lake = Lake(
            settings.data.lake_url or settings.home / "lake",
            settle_delay_ms=settings.data.settle_delay_s * 1000,
            locks=DatabaseLocks(engine),
        )
        yield App(settings=settings, engine=engine, lake=lake)
