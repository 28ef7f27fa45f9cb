"""``lockstep demo``: the whole life of one model, offline, on this machine."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.demo_text import print_summary
from cli.options import Files, Home, Json, Symbols, command, home_path, split_symbols
from cli.output import print_json

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo(
    files: Files = None,
    symbols: Symbols = None,
    days: Annotated[int | None, typer.Option(min=1, help="Days of history: 90 synthetic, 120 from files.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the synthetic market.")] = 7,
    home: Home = Path(".lockstep"),
    as_json: Json = False,
) -> None:
    """Run the whole life of one model and sum it up.

    Without --files on a seeded synthetic market, which has a weak edge planted in it. Run again, it continues.

    Example: lockstep demo --files path/to/candles --days 120
    """
    with command(as_json=as_json):
        summary = run_demo(home_path(home), files=files, symbols=split_symbols(symbols), days=days, seed=seed)
    if as_json:
        print_json(summary)
    else:
        print_summary(summary)


def run_demo(
    home: Path, *, files: Path | None, symbols: tuple[str, ...], days: int | None, seed: int
) -> dict[str, Any]:
    """Prepare the home's settings, run the demo flow, write the report; returns the summary."""
    from flows.session import flow_session
    from infra.bootstrap import open_app
    from infra.locks import exclusive
    from tasks.demo_plan import plan_demo

    plan = plan_demo(home, files=files, symbols=symbols, days=days)
    with flow_session(home) as server, open_app(home) as app, exclusive(app.engine, "demo"):
        from tasks.report import write_report
        from tasks.stores import model_store
        from tasks.summary import summarise

        model_store(app).versions()  # makes MLflow's tables while Prefect's server is still starting
        server.wait()
        from flows.demo import demo as demo_flow

        done = demo_flow(
            str(home),
            symbols=list(plan.symbols),
            folder=plan.folder,
            days=plan.days,
            start_ms=plan.start_ms,
            end_ms=plan.end_ms,
            seed=seed,
        )
        summary = summarise(app, done)
        summary["pages"] = f"lockstep up --home {home}"
        summary["report"] = str(write_report(app, summary, done))
        return summary
