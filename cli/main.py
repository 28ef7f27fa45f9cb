"""Which commands are there?

``lockstep --help`` lists them; each has an example in its own help. Exit codes: 0 done, 1 refused or failed with the
reason, 2 wrong usage, 130 interrupted (143 by SIGTERM).
"""

import sys

import typer

from cli import cards, data, demo, features, models, monitor, promotion, serve, status, train, up
from cli.interrupts import Interrupted, listen
from cli.output import err, print_refusal
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
for module in (demo, up, status, data, train, promotion, serve, monitor):
    module.register(app)
app.add_typer(features.app, name="features")
app.add_typer(models.app, name="models")
app.add_typer(cards.app, name="cards")


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
