"""Every setting is read somewhere: a flag that nothing reads is a promise nobody keeps."""

import ast
from pathlib import Path

import pytest

from infra.settings import setting_fields

_ROOT = Path(__file__).resolve().parents[2]
_ROOMS = ("features", "infra", "registry", "serving", "learning", "tasks", "flows", "cli")


def _name(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _reads() -> tuple[set[str], set[str], set[str]]:
    """What the source says: every ``a.b``, groups taken as a whole (``g = settings.gates``), every attribute name."""
    pairs, whole, names = set(), set(), set()
    for path in (path for room in _ROOMS for path in (_ROOT / room).rglob("*.py")):
        if path.name.startswith("settings"):
            continue
        attributes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)]
        continued = {id(node.value) for node in attributes if node.attr != "model_dump"}
        for node in attributes:
            names.add(node.attr)
            pairs.add(f"{_name(node.value)}.{node.attr}")
            if _name(node.value) == "settings" and id(node) not in continued:
                whole.add(node.attr)
    return pairs, whole, names


_PAIRS, _WHOLE, _NAMES = _reads()


def _is_read(dotted: str) -> bool:
    group, _, leaf = dotted.partition(".")
    return dotted in _PAIRS or f"settings.{dotted}" in _PAIRS or (group in _WHOLE and leaf in _NAMES)


@pytest.mark.parametrize("dotted", [dotted for dotted, _ in setting_fields()])
def test_it_is_read(dotted):
    """The source outside the settings files reads this setting."""
    assert _is_read(dotted)


def test_the_search_can_fail():
    """A setting that does not exist is found to be unread."""
    assert not _is_read("training.no_such_setting")
