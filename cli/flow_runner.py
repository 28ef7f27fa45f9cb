"""How does one command run one flow and show its result?"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import typer

from cli.options import command, existing_home, home_path
from cli.output import out, print_json, print_refusal
from market.errors import LockstepError

__all__ = ["run_and_show"]

Flow = Callable[[str], dict[str, Any]]


def run_and_show(
    home: Path,
    load: Callable[[], Flow],
    *,
    as_json: bool,
    show: Callable[[Mapping[str, Any]], None],
    makes_home: bool = False,
) -> dict[str, Any]:
    """Run the flow that ``load`` imports, given the home; print its result as JSON or through ``show``.

    Only a command that brings in data makes a home; the others refuse one that is not there. A run that brought some of
    what was asked for shows it, and is then refused.
    """
    with command(as_json=as_json):
        result, refusal = _run(home_path(home) if makes_home else existing_home(home), load)
    if as_json:
        print_json(result)
    else:
        show(result)
    if refusal is not None:
        print_refusal(refusal, as_json=False)  # the object on standard output holds it already, and stays one
        raise typer.Exit(1)
    return result


def show_lines(result: Mapping[str, Any]) -> None:
    """Plain values of a result, one a line."""
    for name, value in result.items():
        if not isinstance(value, dict | list):
            out.print(f"{name:<22} {value}")


def _run(home: Path, load: Callable[[], Flow]) -> tuple[dict[str, Any], LockstepError | None]:
    from flows.session import flow_session
    from infra.bootstrap import open_app
    from tasks.incomplete import IncompleteError

    with flow_session(home) as server, open_app(home):
        server.wait()
        flow = load()
        try:
            return flow(str(home)), None
        except IncompleteError as error:
            told = {"what": error.what, "why": error.why, "remedy": error.remedy}
            return {**error.result, "error": told}, error
