"""The generated pages say what the code does, and the README names commands that exist."""

import re
from pathlib import Path

import pytest
import typer

from cli.docs import GENERATED
from cli.main import app
from cli.reference import RESULT_KEYS

ROOT = Path(__file__).resolve().parents[2]


def commands():
    """Every command as its words, with its options: ``("features", "show") -> {"--last", ...}``."""
    found = {}

    def walk(command, path):
        for name, child in getattr(command, "commands", {}).items():
            walk(child, (*path, name))
        if not hasattr(command, "commands"):
            found[path] = {spelled for one in command.params for spelled in one.opts} | {"--help"}

    walk(typer.main.get_command(app), ())
    return found


COMMANDS = commands()


@pytest.mark.parametrize("name", sorted(GENERATED))
def test_a_generated_page_is_what_its_generator_says(name):
    """``make docs`` writes them again."""
    page = ROOT / "docs" / name
    assert page.read_text(encoding="utf-8") == GENERATED[name](), f"docs/{name} has drifted: run make docs"


def test_every_result_with_keys_belongs_to_a_command():
    """And every command that takes --json has its keys written down."""
    with_json = {" ".join(path) for path, options in COMMANDS.items() if "--json" in options}
    assert set(RESULT_KEYS) == with_json


def test_every_command_has_an_example_that_parses():
    """In its own help, with options that exist."""
    for path, command in leaves():
        examples = re.findall(r"Example: lockstep ([^\n]+)", command.help or "")
        assert examples, path
        for example in examples:
            assert_known(example)


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
)
def test_commands_named_in_prose_exist(page):
    """Each ``lockstep x`` in code is a command, with options it has."""
    text = (ROOT / page).read_text(encoding="utf-8")
    fenced = re.findall(r"^(?:\.venv/bin/)?lockstep ([a-z][^\n#]*)", text, flags=re.MULTILINE)
    inline = re.findall(r"`(?:\.venv/bin/)?lockstep ([a-z][^`]*)`", text)
    if page == "README.md":
        assert len(fenced) + len(inline) >= 10
    for one in fenced + inline:
        assert_known(one)


def test_the_search_for_commands_can_fail():
    """A command or option that does not exist is found."""
    with pytest.raises(AssertionError):
        assert_known("no-such-command --home x")
    with pytest.raises(AssertionError):
        assert_known("demo --no-such-option")


def assert_known(text):
    """The words before the first option name a command (or a group of them), and each option is one of its own."""
    words = text.split()
    plain = tuple(word for word in words[:2] if re.fullmatch(r"[a-z-]+", word) and not word.startswith("-"))
    path = next((plain[:n] for n in (2, 1) if plain[:n] in COMMANDS), None)
    if path is None:
        assert any(known[: len(plain)] == plain for known in COMMANDS), f"lockstep {text}"
        return
    options = set(re.findall(r"(?<=[\s\[(])--[a-z-]+", f" {text}"))
    assert options <= COMMANDS[path], f"lockstep {text}: {options - COMMANDS[path]}"


def leaves():
    """Every command object with its words."""

    def walk(command, path):
        if not hasattr(command, "commands"):
            yield path, command
        for name, child in getattr(command, "commands", {}).items():
            yield from walk(child, (*path, name))

    return walk(typer.main.get_command(app), ())
