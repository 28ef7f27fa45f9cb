"""Every test starts from a clean, offline, single-threaded environment."""

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from xdist.scheduler import LoadScopeScheduling

_TESTS = Path(__file__).parent
_LONGEST_FIRST = ("e2e", "infra", "registry", "tasks", "learning", "serving")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest folders."""

    def rank(item: pytest.Item) -> int:
        folder = item.path.relative_to(_TESTS).parts[0]
        return _LONGEST_FIRST.index(folder) if folder in _LONGEST_FIRST else len(_LONGEST_FIRST)

    items.sort(key=rank)


class _FolderScheduling(LoadScopeScheduling):
    """Keep each folder's tests on one worker, where they share its servers."""

    def _split_scope(self, nodeid: str) -> str:
        return "/".join(nodeid.split("::", maxsplit=1)[0].split("/")[:2])


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> _FolderScheduling:
    """Tests are handed out folder by folder."""
    return _FolderScheduling(config, log)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No ``LOCKSTEP_`` setting of the developer's shell reaches a test."""
    for name in list(os.environ):
        if name.startswith("LOCKSTEP_") and name != "LOCKSTEP_TEST_DATA":
            monkeypatch.delenv(name)
