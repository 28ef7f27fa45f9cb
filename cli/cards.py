"""``lockstep cards``: why was a challenger promoted or refused?"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.demo_text import gate_table
from cli.options import Home, Json, command, existing_home
from cli.output import out, print_json, table

if TYPE_CHECKING:
    from registry.cards import Gate
    from tasks.card_replay import CardReplay, ReplayedGate

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
    out.print(f"\n{card.verdict}: {card.reason}\n{_smallest_effect(card.evidence)}")
    if card.evidence.get("gains"):
        out.print(_gain(card.evidence, "brier", "Brier points"))
        out.print(_gain(card.evidence, "net_return", "of notional"))
    against = "no champion" if card.champion_hash is None else f"champion {card.champion_hash[:12]}"
    out.print(f"bundle {card.bundle_hash[:12]} against {against}, content {card.content_hash[:12]}")


@app.command("replay")
def replay(card_id: Annotated[int, typer.Argument()], home: Home = Path(".lockstep"), as_json: Json = False) -> None:
    """Take a decision again from stored rows; exits with 1 where a number, the verdict or the evidence differs.

    Example: lockstep cards replay 1
    """
    with command(as_json=as_json, quiet=True):
        from infra.bootstrap import open_app
        from tasks.card_replay import replay_card

        with open_app(existing_home(home)) as opened:
            found = replay_card(opened.engine, card_id)
    if as_json:
        print_json(_replayed(found))
    else:
        shown = [(_mark(gate), gate.name, _said(gate.then), _said(gate.now)) for gate in found.gates]
        out.print(table("Gates, taken again", ("", "gate", "on the card", "from stored rows"), shown))
        out.print(f"\ncard {card_id} says {found.card.verdict}; from stored rows the gates say {found.verdict}")
        for name in found.changed:
            out.print(f"[red]{name}: rows were edited, added or removed since the decision[/]")
        same = sum(gate.same for gate in found.gates)
        out.print(f"{'identical' if found.identical else 'NOT identical'}: {same} of {len(found.gates)} gates")
    if not found.identical:
        raise typer.Exit(1)


def _smallest_effect(evidence: Mapping[str, Any]) -> str:
    mde = (evidence.get("shadow") or {}).get("mde")
    if mde is None:
        return "smallest effect it could have seen: unknown, the shadow was too short"
    return f"smallest effect this shadow could have seen (80 % power): {mde:.4f} nats a bar"


def _gain(evidence: Mapping[str, Any], name: str, unit: str) -> str:
    found = (evidence.get("gains") or {}).get(name) or {}
    if found.get("low") is None:
        return f"paired {name.replace('_', ' ')}: too little was measured for an interval"
    ends = f"{found['confidence']:.0%} interval {found['low']:+.2g} to {found['high']:+.2g}"
    return f"paired {name.replace('_', ' ')}: {found['mean']:+.2g} {unit} a bar ({ends})"


def _mark(gate: "ReplayedGate") -> str:
    return "same" if gate.same else "DIFFERS"


def _said(gate: "Gate | None") -> str:
    if gate is None:
        return "not asked"
    return f"{'pass' if gate.passed else 'FAIL'} {'' if gate.measured is None else f'{gate.measured:.6g}'}"


def _replayed(found: "CardReplay") -> dict[str, object]:
    return {
        "card_id": found.card_id,
        "identical": found.identical,
        "verdict": found.card.verdict,
        "verdict_now": found.verdict,
        "changed_evidence": list(found.changed),
        "gates": [
            {
                "name": gate.name,
                "same": gate.same,
                "then": None if gate.then is None else asdict(gate.then),
                "now": None if gate.now is None else asdict(gate.now),
            }
            for gate in found.gates
        ],
    }
