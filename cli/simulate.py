"""``lockstep simulate-shadow``: how often would a shadow test be wrong, and how long does it take?"""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import Json, command
from cli.output import out, print_json, table

if TYPE_CHECKING:
    from learning.shadow_simulation import StoppingRates

__all__ = ["register"]

_BARS_A_DAY = 288


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("simulate-shadow")(simulate_shadow)


def simulate_shadow(
    share: Annotated[float, typer.Option(min=0.01, max=10, help="Share of the published number of worlds.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Seed of the simulation.")] = 1,
    as_json: Json = False,
) -> None:
    """Simulate shadow tests whose truth is known: false promotions, power and time to a verdict. Needs no home.

    Example: lockstep simulate-shadow --share 0.1
    """
    with command(as_json=as_json):
        from dataclasses import replace
        from functools import partial

        from learning.shadow_simulation import CASES, stopping_rates
        from tasks.progress import report

        found = []
        for case in CASES:
            worlds = replace(case, worlds=max(round(case.worlds * share), 10))
            stage = f"horizon {case.horizon_bars}, effect {case.effect:g}"
            found.append(stopping_rates(worlds, seed=seed, on_progress=partial(report, stage)))
    if as_json:
        print_json({"seed": seed, "cases": [asdict(one) for one in found]})
        return
    columns = ("horizon", "true effect", "worlds", "weeks", "ours", "e-process a bar", "repeated t-test", "harm found",
               "median stop")  # fmt: skip
    out.print(table("Promoted at any time (5 % asked)", columns, [_row(one) for one in found]))
    out.print("\n5-minute bars; an effect is in standard deviations of one bar's difference.")


def _row(one: "StoppingRates") -> tuple[str, ...]:
    worlds = one.worlds
    median = "-" if one.median_bars is None else f"{one.median_bars / _BARS_A_DAY:.1f} days"
    shares = (one.promoted, one.naive_every_bar, one.repeated_t_test, one.harmed)
    weeks = f"{worlds.bars / _BARS_A_DAY / 7:.0f}"
    return (
        str(worlds.horizon_bars),
        f"{worlds.effect:g}",
        str(worlds.worlds),
        weeks,
        *map("{:.1%}".format, shares),
        median,
    )
