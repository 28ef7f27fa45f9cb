"""Every test starts from a clean, offline, single-threaded environment."""

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

_TESTS = Path(__file__).parent
_LONGEST_FIRST = ("e2e", "registry", "infra", "learning", "serving")


@pytest.hookimpl(tryfirst=True)  # the workers read the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep each folder's tests on one worker, where they share its servers, and begin with the longest folders."""

    def folder(item: pytest.Item) -> str:
        return item.path.relative_to(_TESTS).parts[0]

    def rank(item: pytest.Item) -> int:
        return _LONGEST_FIRST.index(folder(item)) if folder(item) in _LONGEST_FIRST else len(_LONGEST_FIRST)

    items.sort(key=rank)
    for item in items:
        item.add_marker(pytest.mark.xdist_group(folder(item)))


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No ``LOCKSTEP_`` setting of the developer's shell reaches a test."""
    for name in list(os.environ):
        if name.startswith("LOCKSTEP_") and name != "LOCKSTEP_TEST_DATA":
            monkeypatch.delenv(name)
