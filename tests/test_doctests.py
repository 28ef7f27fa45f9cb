"""Every example in the source does what it says."""

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

ROOMS = ("market", "features", "infra", "registry", "serving", "learning", "tasks", "flows", "cli")
_NOT_IMPORTED = {"registry.pyfunc_model", "infra.migrations.env"}
"""The first is run by MLflow and the second by Alembic, each in a place of its own."""


def module_names():
    """Every module of every room whose source holds an example."""
    for room in ROOMS:
        package = importlib.import_module(room)
        for found in pkgutil.walk_packages(package.__path__, prefix=f"{room}."):
            if found.name not in _NOT_IMPORTED and not found.name.startswith("infra.migrations.versions"):
                spec = importlib.util.find_spec(found.name)
                if ">>> " in Path(spec.origin).read_text("utf-8"):
                    yield found.name


NAMES = sorted(module_names())


@pytest.mark.parametrize("name", NAMES)
def test_examples(name):
    """With the exact results that are written there."""
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0


def test_there_are_examples_to_run():
    """A search that finds nothing would pass in silence."""
    assert len(NAMES) >= 10
