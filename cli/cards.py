"""``lockstep cards``: why was a challenger promoted or refused?"""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cli.demo_text import gate_table
from cli.options import Home, Json, command, existing_home
from cli.output import out, print_json, table

__all__ = ["app"]

app = typer.Typer(help="Decision cards.", no_args_is_help=True)


@app.command("list")
def list_cards(home: Home = Path(".lockstep"), as_json: Json = False) -> None:
    """List all decision cards, newest first.

    Example: lockstep cards list
    """
    with command(as_json=as_json, quiet=True):
        from sqlalchemy import select

        from infra.bootstrap import open_app
        from infra.tables import decision_cards as t

        with open_app(existing_home(home)) as opened, opened.engine.connect() as connection:
            query = select(t.c.id, t.c.model_name, t.c.verdict, t.c.reason, t.c.bundle_hash, t.c.created_at)
            rows = [dict(row) for row in connection.execute(query.order_by(t.c.id.desc())).mappings()]
    if as_json:
        print_json({"cards": rows})
    else:
        shown = [(r["id"], r["model_name"], r["verdict"], r["bundle_hash"][:12], r["reason"]) for r in rows]
        out.print(table("Decision cards", ("id", "model", "verdict", "bundle", "reason"), shown))


@app.command("show")
def show(card_id: Annotated[int, typer.Argument()], home: Home = Path(".lockstep"), as_json: Json = False) -> None:
    """Show one card with every gate; an edited card is refused.

    Example: lockstep cards show 1
    """
    with command(as_json=as_json, quiet=True):
        from infra.bootstrap import open_app
        from registry.cards import load_card

        with open_app(existing_home(home)) as opened:
            card = load_card(opened.engine, card_id)
    if as_json:
        print_json({"card_id": card_id, "content_hash": card.content_hash, **asdict(card)})
        return
    out.print(gate_table([asdict(gate) for gate in card.gates]))
    out.print(f"\n{card.verdict}: {card.reason}\nbundle {card.bundle_hash[:12]}, content {card.content_hash[:12]}")
