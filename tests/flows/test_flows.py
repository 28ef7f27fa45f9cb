"""Flows are short stories of tasks under the names the commands use; they hold no rule and open no store."""

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FLOWS = sorted(
    path.stem for path in (ROOT / "flows").glob("*.py") if path.stem not in {"__init__", "session", "deployments"}
)
KNOWN = {"collections", "datetime", "time", "typing", "prefect", "tasks", "flows"}
NAMES = {
    "champion": {"watch", "drill"},
    "collect": {"collect", "backfill", "backfill-synthetic"},
    "demo": {"demo"},
    "features": {"features"},
    "gaps": {"gaps"},
    "monitor": {"parity", "drift"},
    "promote": {"shadow", "promote"},
    "ramp": {"ramp"},
    "serve": {"serve-replay", "serve-once"},
    "train": {"train"},
    "universe": {"universe-refresh", "universe-build"},
}


def flows_of(stem):
    """The flows a module exports."""
    from prefect import Flow

    module = importlib.import_module(f"flows.{stem}")
    return [value for value in (getattr(module, name) for name in module.__all__) if isinstance(value, Flow)]


def test_every_module_is_known():
    """A new flow is entered here, with its name."""
    assert set(FLOWS) == set(NAMES)


@pytest.mark.parametrize("stem", FLOWS)
def test_names_are_those_of_the_commands(stem):
    """As a person finds them on the Prefect page."""
    assert {flow.name for flow in flows_of(stem)} == NAMES[stem]


@pytest.mark.parametrize("stem", FLOWS)
def test_a_flow_takes_the_home_first_and_plain_typed_values(stem):
    """So that it can be started from the Prefect page: every parameter has a type that JSON has."""
    for flow in flows_of(stem):
        properties = flow.parameters.model_dump()["properties"]
        assert next(iter(properties)) == "home"
        for name, shape in properties.items():
            kinds = {shape.get("type")} | {one.get("type") for one in shape.get("anyOf", ())}
            assert kinds & {"string", "integer", "number", "boolean", "array"}, f"{flow.name}.{name}: {shape}"


@pytest.mark.parametrize("stem", FLOWS)
def test_a_flow_reads_as_a_story(stem):
    """Under forty lines each, with no import of what lies below tasks."""
    tree = ast.parse((ROOT / "flows" / f"{stem}.py").read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 40, node.name
        if isinstance(node, ast.ImportFrom):
            assert node.module.split(".")[0] in KNOWN, node.module
