"""The commands of the how-to pages are commands of this version, with options it has."""

import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from cli.main import app

PAGES = Path(__file__).resolve().parents[2] / "docs" / "how-to"
COMMANDS = sorted(
    {line for page in PAGES.glob("*.md") for line in page.read_text().splitlines() if line[:9] == "lockstep "}
)


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_can_be_typed_as_it_is_written(line):
    """Every name and option is read as on the command line; nothing is run."""
    command, words = get_command(app), shlex.split(line)[1:]
    while hasattr(command, "commands"):
        assert words[0] in command.commands, f"no command {words[0]}"
        command = command.commands[words.pop(0)]
    with command.make_context(command.name, words) as context:
        assert context.params


def test_there_are_commands_to_check():
    """A search that finds nothing would pass in silence."""
    assert len(COMMANDS) > 5
