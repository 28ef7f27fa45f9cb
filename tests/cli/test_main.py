"""What does ``lockstep`` itself answer, before any home is looked at?"""

from importlib.metadata import version

import pytest
from typer.testing import CliRunner

from cli.main import app


def ask(*arguments):
    """The command in this process."""
    return CliRunner().invoke(app, [str(one) for one in arguments])


def test_the_version_is_that_of_the_installed_package():
    """One line on standard output."""
    answer = ask("--version")
    assert (answer.exit_code, answer.stdout) == (0, f"lockstep {version('lockstep')}\n")


@pytest.mark.parametrize("option", ["--reason", "--why"])
def test_a_rollback_takes_its_reason_under_both_names(tmp_path, option):
    """``--why`` is the former name: both reach the home, which is not there."""
    answer = ask("rollback", option, "confidence fell", "--home", tmp_path / "nowhere")
    assert (answer.exit_code, "there is no home" in answer.stderr) == (1, True), answer.output


def test_halt_resume_and_rollback_ask_for_a_reason_by_one_name():
    """Each shows ``--reason`` and refuses to go without it."""
    for command in ("halt", "resume", "rollback"):
        assert "--reason" in ask(command, "--help").stdout
        assert "--why" not in ask(command, "--help").stdout
        answer = ask(command)
        assert (answer.exit_code, "--reason" in answer.stderr) == (2, True), answer.output
