"""``lockstep ledger`` and ``funnel``: what was earned on paper, and where signals ended."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.options import Day, Home, Json, command, day_ms, existing_home
from cli.output import out, print_json, table

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("ledger")(ledger)
    app.command("funnel")(funnel)


def ledger(
    bundle: Annotated[
        str | None, typer.Option(help="Hash of a bundle, or its beginning; none takes the champion.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the equity curves into this PNG.")] = None,
    home: Home = Path(".lockstep"),
    as_json: Json = False,
) -> None:
    """Paper trades of a bundle: open positions and what the models say of them now, results, equity.

    Example: lockstep ledger --plot equity.png
    """
    with command(as_json=as_json, quiet=True):
        from infra.bootstrap import open_app
        from serving.paper_book import bundle_named, read_book

        with open_app(existing_home(home)) as app:
            name = bundle_named(app.engine, app.settings.registry.model_name, bundle)
            book = read_book(app.engine, name)
        found = {"bundle_hash": name, **_facts(book)}
        if plot is not None:
            _draw(book, plot)
    if as_json:
        print_json(found)
        return
    _show_ledger(found)
    if plot is not None:
        out.print(f"\ndrawn into {plot}")


def funnel(since: Day = None, until: Day = None, home: Home = Path(".lockstep"), as_json: Json = False) -> None:
    """Where every symbol of every bar ended on its way to a signal; the parts sum to bars times symbols.

    Example: lockstep funnel --since 2025-03-30
    """
    with command(as_json=as_json, quiet=True):
        from infra.bootstrap import open_app
        from serving.funnel import read_funnel

        with open_app(existing_home(home)) as app:
            found = read_funnel(
                app.engine,
                model_name=app.settings.registry.model_name,
                since_ms=day_ms(since, option="--since"),
                until_ms=day_ms(until, option="--until"),
            )
    if as_json:
        parts = {name: getattr(found, name) for name in ("bars", "signals", "blocked", "held", "said", "adds_up")}
        print_json(parts)
        return
    rows = [
        *(("blocked", name, f"{count:,}") for name, count in found.blocked.items()),
        *(("held", name, f"{count:,}") for name, count in found.held.items()),
        ("said", "", f"{found.said:,}"),
        ("", "of signals", f"{found.signals:,}"),
    ]
    out.print(table(f"From {found.bars:,} bars to signals", ("", "at", "signals"), rows))


def _facts(book: Any) -> dict[str, Any]:
    from learning.metrics import hit_rate, max_drawdown, profit_factor

    said = book.said[book.said != 0.0]
    return {
        "closed": int(book.book.size),
        "said": int(said.size),
        "unresolved": book.unresolved,
        "barriers": book.barriers,
        "hit_rate": hit_rate(said),
        "profit_factor": profit_factor(said),
        "net_said": float(book.said.sum()),
        "net_book": float(book.book.sum()),
        "max_drawdown": max_drawdown(book.said_equity),
        "open": list(book.open_positions),
    }


def _show_ledger(found: dict[str, Any]) -> None:
    from market.timeframe import as_utc

    rate, factor = found["hit_rate"], found["profit_factor"]
    rows = [
        (
            "closed trades",
            f"{found['closed']:,}, of which said {found['said']:,}; without a result {found['unresolved']:,}",
        ),
        ("ended by", ", ".join(f"{name} {count:,}" for name, count in found["barriers"].items()) or "-"),
        ("net of what was said", f"{found['net_said']:+.3%} of equity; of the whole book {found['net_book']:+.3%}"),
        (
            "hit rate, profit factor",
            f"{'-' if rate is None else f'{rate:.1%}'}, {'-' if factor is None else f'{factor:.2f}'}",
        ),
        ("largest drawdown", f"{found['max_drawdown']:.3%}"),
    ]
    out.print(table(f"Paper ledger of {found['bundle_hash'][:12]}", ("", ""), rows))
    held = [
        (
            one["symbol"],
            as_utc(one["bar_ms"]),
            "long" if one["side"] > 0 else "short",
            f"{one['size']:.4f}",
            f"{one['book_size']:.4f}",
            one["verdict"] or "-",
            "-" if one["gross"] is None else f"{one['gross']:+.2%}",
        )
        for one in found["open"]
    ]
    columns = ("symbol", "decided (UTC)", "side", "said", "book", "models now", "gross")
    out.print("")
    out.print(table("Open positions", columns, held) if held else "no open position")


def _draw(book: Any, path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np

    figure, axes = plt.subplots(figsize=(10, 4.5), layout="constrained")
    at = book.settled_ms.astype("datetime64[ms]")
    axes.step(at, np.asarray(book.said_equity), where="post", label="said")
    axes.step(at, np.asarray(book.book_equity), where="post", label="book", alpha=0.6)
    axes.axhline(1.0, linewidth=0.8, color="grey")
    axes.set(ylabel="equity, 1 at the start", title="Paper equity, booked as trades were settled")
    axes.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)
