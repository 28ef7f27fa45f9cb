"""Which commands are there?

``lockstep --help`` lists them; each has an example in its own help. Exit codes: 0 done, 1 refused or failed with the
reason, 2 wrong usage, 130 interrupted (143 by SIGTERM).
"""

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from cli import (
    api,
    cards,
    champion,
    data,
    demo,
    features,
    gaps,
    lake,
    ledger,
    models,
    monitor,
    promotion,
    ramp,
    scorecard,
    serve,
    simulate,
    status,
    train,
    universe,
    up,
)
from cli.interrupts import Interrupted, listen
from cli.output import err, out, print_refusal
from market.errors import LockstepError

__all__ = ["app", "main"]

app = typer.Typer(
    name="lockstep",
    help="The life of crypto trading models in lockstep: collect, train, test, promote, serve, watch.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="rich",
)
for module in (
    demo,
    up,
    status,
    data,
    gaps,
    train,
    promotion,
    simulate,
    champion,
    serve,
    api,
    ledger,
    scorecard,
    monitor,
):
    module.register(app)
app.add_typer(features.app, name="features")
app.add_typer(lake.app, name="lake")
app.add_typer(models.app, name="models")
app.add_typer(cards.app, name="cards")
app.add_typer(ramp.app, name="ramp")
app.add_typer(universe.app, name="universe")


def _tell_version(asked: bool) -> None:
    if asked:
        out.print(f"lockstep {version('lockstep')}")
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Hold the options of ``lockstep`` itself; what each command does is the command's."""


def main() -> None:
    """Run the command; whatever a refusal escaped from, it is told in one line."""
    try:
        listen()
        app()
    except LockstepError as error:
        print_refusal(error, as_json="--json" in sys.argv)
        sys.exit(1)
    except Interrupted as stop:
        err.print("[yellow]interrupted[/] nothing is lost: run the same command again and it continues.")
        sys.exit(stop.exit_code)
