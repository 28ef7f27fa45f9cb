"""``lockstep scorecard``: how good was each model, by what happened?"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.options import Home, Json, command, existing_home
from cli.output import out, print_json, table

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("scorecard")(scorecard)


def scorecard(
    bundle: Annotated[str | None, typer.Option(help="Beginning of one bundle's hash; all of them by default.")] = None,
    days: Annotated[int, typer.Option(min=1, max=3650, help="Newest days that count.")] = 30,
    plot: Annotated[Path | None, typer.Option(help="Also write a reliability diagram, FILE.png.")] = None,
    home: Home = Path(".lockstep"),
    as_json: Json = False,
) -> None:
    """Score each bundle, its models and their ensemble by resolved predictions, and its book by closed paper trades.

    Fewer than 30 rows are `unknown`, with the numbers still shown. Weights are learnt again only by a new training.

    Example: lockstep scorecard --days 7
    """
    with command(as_json=as_json, quiet=True):
        from infra.bootstrap import open_app
        from tasks.scorecards import make_scorecards, write_reliability

        with open_app(existing_home(home)) as app:
            result: dict[str, Any] = make_scorecards(app, bundle=bundle, days=days)
        if plot is not None:
            write_reliability(result, plot)
            result["plot"] = str(plot)
    if as_json:
        print_json(result)
    else:
        _show(result)


def _show(result: Mapping[str, Any]) -> None:
    if not result["bundles"]:
        out.print("Nothing was predicted yet.")
    for one in result["bundles"]:
        title = f"Version {one['version']} ({one['bundle_hash'][:12]}), resolved predictions"
        names = ("", "verdict", "n", "apart", "sides", "hit rate", "95 %", "Brier", "ECE", "slope")
        more = ("BUY", "SELL", "HOLD", "bias")
        rows = [_row(f) for f in one["forecasts"]]
        out.print(table(title, names + more, rows))
        t = one["trades"]
        factor = _number(t["profit_factor"]) if t["profit_factor"] is not None else f"- ({t['profit_factor_reason']})"
        out.print(
            f"Paper trades: {t['trades']} ({t['independent']} apart, {t['unresolved']} unresolved), {_verdict(t)}; "
            f"won {_share(t['win_rate'])} {_interval(t['win_interval'])}, profit factor {factor}, "
            f"average win {_number(t['average_win'])}, loss {_number(t['average_loss'])}, "
            f"net {_number(t['net_return'])} of equity\n"
        )


def _row(f: Mapping[str, Any]) -> tuple[object, ...]:
    counts = (f["n"], f["independent"], f["with_side"])
    hits = (_share(f["hit_rate"]), _interval(f["hit_interval"]))
    numbers = tuple(_number(f[name]) for name in ("brier", "ece", "slope"))
    shares = tuple(_share(f[f"{side}_share"]) for side in ("buy", "sell", "hold"))
    return (f["name"], _verdict(f), *counts, *hits, *numbers, *shares, _number(f["bias"]))


def _verdict(one: Mapping[str, Any]) -> str:
    return f"{one['verdict']}: {', '.join(one['alerts'])}" if one["verdict"] == "alert" else str(one["verdict"])


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _interval(ends: tuple[float, float] | None) -> str:
    return "-" if ends is None else f"{ends[0]:.1%} to {ends[1]:.1%}"
