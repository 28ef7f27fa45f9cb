"""How does the demo's summary read for a person?"""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.panel import Panel

from cli.output import out, table

__all__ = ["gate_table", "print_summary", "score_table", "signal_table"]

_STRATEGY_WORDS = {
    "no_trade": "no trade",
    "climatology": "climatology (class shares)",
    "primary_rule": "primary rule",
    "buy_and_hold": "buy and hold",
    "logistic": "logistic regression",
    "lightgbm": "LightGBM",
    "xgboost": "XGBoost",
    "ensemble": "ensemble (what is served)",
}


def print_summary(s: Mapping[str, Any]) -> None:
    """The whole summary, top to bottom."""
    _headline(s)
    data = s["data"]
    out.print(
        f"[bold]Data[/]      {len(data['symbols'])} symbols, {data['bars']:,} bars, "
        f"{data['first']} to {data['last']} UTC, coverage {data['coverage']:.2%} or better, "
        f"{data['new_rows']:,} new rows (from {data['source']})"
    )
    for symbol, why in s["training"]["left_out"].items():
        out.print(f"[bold]Left out[/]  {symbol}: {why}")
    parity = s["parity"]
    share = parity["identical"] / parity["rows"] if parity["rows"] else 0.0
    out.print(
        f"[bold]Parity[/]    {parity['identical']:,} of {parity['rows']:,} served feature rows are byte for byte "
        f"what batch computes ({share:.3%})"
    )
    drift = s["drift"]
    out.print(f"[bold]Drift[/]     {drift['verdict']}: {_plain(drift['reason'])}")
    out.print()
    out.print(score_table(s["walk_forward"]))
    out.print()
    out.print(gate_table(s["gates"]))
    out.print()
    serving = s["serving"]
    out.print(
        f"[bold]Serving[/]   at the last replayed bar {serving['state']} ({serving['reason']}: {serving['meaning']}); "
        f"{serving['decisions']:,} decisions from {serving['first_bar']} to {serving['last_bar']} UTC: "
        + ", ".join(f"{count:,} {name}" for name, count in serving["actions"].items())
    )
    out.print()
    out.print(signal_table(serving["last_signals"]))
    out.print()
    out.print(f"[bold]Report[/]    {s['report']}")
    out.print(f"[bold]Pages[/]     {s['pages']}   (Prefect: flows and artifacts; MLflow: runs, versions, aliases)")
    laps = ", ".join(f"{name} {seconds:.0f}" for name, seconds in s["timings_s"].items())
    out.print(f"[bold]Seconds[/]   {laps}")


def score_table(scores: Mapping[str, Mapping[str, Any]]) -> Any:
    """Walk-forward scores per strategy, the served one first."""
    order = sorted(scores, key=lambda name: list(_STRATEGY_WORDS)[::-1].index(name) if name in _STRATEGY_WORDS else 99)
    rows = [
        (
            _STRATEGY_WORDS.get(name, name),
            _number(scores[name].get("log_loss"), ".4f"),
            _number(scores[name].get("brier"), ".4f"),
            _number(scores[name].get("net_return"), "+.2%"),
            _number(scores[name].get("trades"), ",.0f"),
            _number(scores[name].get("hit_rate"), ".1%"),
            _number(scores[name].get("sharpe"), "+.2f"),
            _number(scores[name].get("profit_factor"), ".2f"),
            _number(scores[name].get("max_drawdown"), ".2%"),
        )
        for name in order
    ]
    columns = ("", "log loss", "Brier", "net return", "trades", "hit rate", "Sharpe/y", "profit factor", "drawdown")
    return table("Walk-forward, out of fold, after fees, slippage and funding", columns, rows)


def gate_table(gates: Sequence[Mapping[str, Any]]) -> Any:
    """Every gate with its verdict."""
    rows = [
        (
            "pass" if gate["passed"] else "FAIL",
            gate["name"],
            _measure(gate["measured"]),
            "" if gate["threshold"] is None else f"{gate['comparison']} {_measure(gate['threshold'])}",
            gate["detail"],
        )
        for gate in gates
    ]
    return table("Gates", ("", "gate", "measured", "asked", "in words"), rows)


def signal_table(signals: Sequence[Mapping[str, Any]]) -> Any:
    """The last signal of each symbol with its reason."""
    rows = [
        (
            row["symbol"],
            row["bar"],
            row["action"],
            _number(row["confidence"], ".2f"),
            _number(row["size"], ".2%"),
            row["state"],
            row["reason"],
            row["step"],
        )
        for row in signals
    ]
    return table("Last signals", ("symbol", "bar (UTC)", "action", "conf.", "size", "state", "reason", "rule"), rows)


def _headline(s: Mapping[str, Any]) -> None:
    champion, verdict = s["champion"], s["verdict"]
    if champion["version"] is None:
        text, style = f"No champion. {champion['reason']}", "yellow"
    else:
        text, style = f"Champion: version {champion['version']} of {s['model_name']}. {champion['reason']}", "green"
    if verdict["verdict"] == "refuse" and champion["version"] is not None:
        text += f"\nThe challenger was refused: {verdict['reason']}"
    if s["synthetic"]:
        text += "\nSynthetic market: nothing here can be promoted to real trading."
    out.print()
    out.print(Panel(_plain(text), border_style=style, title="Lockstep", title_align="left"), soft_wrap=False)


def _measure(value: object) -> str:
    """Four digits, and never an exponent for a count."""
    return _number(value, ",.0f" if isinstance(value, int | float) and abs(value) >= 1000 else ".4g")


def _number(value: object, form: str) -> str:
    return format(value, form) if isinstance(value, int | float) else "-"


def _plain(text: str) -> str:
    return text.replace("[", "\\[")
