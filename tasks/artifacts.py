"""What does a person see of a run in the Prefect UI?

Tables and short texts, made from the JSON that steps return. Called inside flows.
"""

from collections.abc import Mapping, Sequence

from prefect.artifacts import create_markdown_artifact, create_table_artifact

__all__ = ["show_card", "show_counts", "show_table"]


def show_table(key: str, rows: Sequence[Mapping[str, object]], *, title: str) -> None:
    """One table artifact; an empty one is left out."""
    if rows:
        create_table_artifact(key=key, table=[dict(row) for row in rows], description=title)


def show_counts(key: str, counts: Mapping[str, object], *, title: str) -> None:
    """A two-column table of plain values."""
    rows = [{"what": name, "value": value} for name, value in counts.items() if not isinstance(value, dict | list)]
    show_table(key, rows, title=title)


def show_card(key: str, decision: Mapping[str, object]) -> None:
    """A decision card as a page: verdict, reason, each gate."""
    gates = decision.get("gates")
    lines = [f"# {str(decision['verdict']).capitalize()}", "", str(decision["reason"]), ""]
    lines += ["| gate | measured | threshold | passed | in words |", "|---|---|---|---|---|"]
    for gate in gates if isinstance(gates, list) else []:
        mark = "yes" if gate["passed"] else "**no**"
        cells = (gate["name"], _number(gate["measured"]), _number(gate["threshold"]), mark, gate["detail"])
        lines.append("| " + " | ".join(str(cell).replace("|", "/") for cell in cells) + " |")
    create_markdown_artifact(key=key, markdown="\n".join(lines), description="Decision card")


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else "-"
