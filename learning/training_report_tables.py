"""How do the tables of a training's page read: strategies, folds, groups and trials?"""

from collections.abc import Sequence
from html import escape

from learning.report_forms import grid, number, percent, ranged, section, table, when
from learning.training_report_inputs import FoldLine, Group, StrategyLine, TrainingReport

__all__ = ["breakdown", "differences", "folds", "strategies", "trials"]

_MOST_GROUPS = 60


def strategies(report: TrainingReport) -> str:
    """Every strategy beside the baselines, the served one first."""
    order = {"ensemble": 0, "model": 1, "baseline": 2}
    marks = {"ensemble": "strong", "model": "", "baseline": "quiet"}
    lines = sorted(report.strategies, key=lambda line: order[line.scores.role])
    heads = (
        "Name",
        "#Log loss",
        "#Brier",
        "#Net return",
        "#Sharpe a year",
        "#Trades",
        "#Hit rate",
        "#Profit factor",
        "#Drawdown",
    )
    note = (
        f"Out of fold, decided bar by bar by the serving code, after fees, slippage and funding. Below a number: its "
        f"{percent(report.confidence, digits=0)} interval from {report.blocks} blocks of {report.block_bars} bars."
    )
    classes = [marks[line.scores.role] for line in lines]
    return table("Strategies beside baselines", note, heads, [_strategy(line) for line in lines], classes=classes)


def _strategy(line: StrategyLine) -> tuple[str, ...]:
    row = line.scores
    cells = (
        number(row.log_loss, 4),
        number(row.brier, 4),
        ranged(line.net_return, lambda value: percent(value, sign=True, digits=2)),
        ranged(line.sharpe, lambda value: number(value, 2)),
        number(row.trades, 0),
        percent(row.hit_rate),
        number(row.profit_factor, 2),
        percent(row.max_drawdown, digits=2),
    )
    role = f" ({row.role})" if row.role == "baseline" else ""
    return (f'<th scope="row">{escape(row.name)}{role}</th>', *(f'<td class="n">{cell}</td>' for cell in cells))


def differences(report: TrainingReport) -> str:
    """The ensemble minus each other strategy."""
    rows = [
        (
            f'<th scope="row">{escape(one.name)}</th>',
            f'<td class="n">{ranged(one.skill, lambda value: number(value, 4))}</td>',
            f'<td class="n">{ranged(one.net_return, lambda value: percent(value, sign=True, digits=2))}</td>',
        )
        for one in report.differences
    ]
    note = "On the same bars; positive means that the ensemble is better. An interval that holds zero decides nothing."
    return table("Ensemble minus each other", note, ("Minus", "#Skill, nats a bar", "#Net return"), rows)


def folds(report: TrainingReport) -> str:
    """Every walk-forward window with its dates, sizes and scores; rounds and classes folded away."""
    heads = (
        "Fold",
        "Trained from",
        "Tested",
        "#Trained rows",
        "#Purged",
        "#Tested rows",
        "#Log loss",
        "#Climatology",
        "#Trades",
        "#Net return",
    )
    note = (
        "Purged rows have a label that reaches into the test window. A window without scores only teaches calibration, "
        "weights and thresholds."
    )
    if not report.folds:
        return ""
    more = grid(
        ("Fold", "Rounds of each model", "HOLD / BUY / SELL, seen", "predicted"),
        [_fold_classes(fold) for fold in report.folds],
        label="Rounds and classes of each fold",
    )
    whole = grid(heads, [_fold(fold) for fold in report.folds], label="Folds")
    return section("Folds", note, f"{whole}<details><summary>Rounds and classes</summary>{more}</details>")


def _fold(fold: FoldLine) -> tuple[str, ...]:
    numbers = (
        f"{fold.train_rows:,}",
        f"{fold.purged_rows:,}",
        f"{fold.test_rows:,}",
        number(fold.log_loss, 4),
        number(fold.climatology_log_loss, 4),
        number(fold.trades, 0),
        percent(fold.net_return, sign=True, digits=2),
    )
    return (
        f'<th scope="row">{fold.number}</th>',
        f"<td>{_day(fold.train_first_ms)}</td>",
        f"<td>{_day(fold.test_first_ms)} to {_day(fold.test_end_ms)}</td>",
        *(f'<td class="n">{cell}</td>' for cell in numbers),
    )


def _fold_classes(fold: FoldLine) -> tuple[str, ...]:
    return (
        f'<th scope="row">{fold.number}</th>',
        f"<td>{escape(fold.rounds)}</td>",
        f"<td>{_shares(fold.observed)}</td>",
        f"<td>{_shares(fold.predicted)}</td>",
    )


def _day(ms: int) -> str:
    return when(ms)[:10]


def _shares(values: Sequence[float]) -> str:
    return " / ".join(percent(value, digits=0) for value in values) if values else percent(None)


def breakdown(report: TrainingReport) -> str:
    """One table a kind of group; rows, trades, returns and costs of a table add up to the whole."""
    heads = (
        "",
        "#Rows",
        "#Log loss",
        "#Climatology",
        "#Skill",
        "#Trades",
        "#Net return",
        "#Costs",
        "#Hit rate",
        "#Profit factor",
    )
    made = []
    for kind in report.breakdown:
        shown, hidden = kind.groups[:_MOST_GROUPS], len(kind.groups) - _MOST_GROUPS
        note = kind.note if hidden <= 0 else f"{kind.note} {hidden} more are in evaluation.json."
        made.append(table(kind.title, note, heads, [_group(group) for group in shown]))
    return "".join(made)


def _group(group: Group) -> tuple[str, ...]:
    known = group.log_loss is not None and group.climatology_log_loss is not None
    skill = (group.climatology_log_loss or 0.0) - (group.log_loss or 0.0) if known else None
    cells = (
        f"{group.rows:,}",
        number(group.log_loss, 4),
        number(group.climatology_log_loss, 4),
        number(skill, 4),
        f"{group.trades:,}",
        percent(group.net_return, sign=True, digits=2),
        percent(group.costs, digits=2),
        percent(group.hit_rate),
        number(group.profit_factor, 2),
    )
    return (f'<th scope="row">{escape(group.name)}</th>', *(f'<td class="n">{cell}</td>' for cell in cells))


def trials(report: TrainingReport) -> str:
    """How many configurations were tried on this data, and those of this training."""
    skill, sharpe = number(report.detectable_skill, 4), number(report.detectable_sharpe, 2)
    note = (
        f"The ledger counts {report.trials:,} configurations tried on this data snapshot; the best of them is judged "
        f"as the best of that many (deflated Sharpe {percent(report.deflated_sharpe)}). This evaluation would have "
        f"told a skill of {skill} nats or a Sharpe of {sharpe} a year from zero with "
        f"{percent(report.power, digits=0)} power; what is smaller it cannot see. Tuning trials have the log loss "
        "of their inner splits."
    )
    rows = [
        (
            f'<th scope="row">{escape(one.name)}</th>',
            f"<td>{escape(one.state)}</td>",
            f'<td class="n">{number(one.log_loss, 4)}</td>',
            f'<td class="n">{number(one.sharpe, 2)}</td>',
            f'<td class="n">{percent(one.net_return, sign=True, digits=2)}</td>',
        )
        for one in report.trial_lines
    ]
    heads = ("Trial", "State", "#Log loss", "#Sharpe", "#Net return")
    return table("Trials and what could be seen", note, heads, rows) or section(
        "Trials and what could be seen", note, ""
    )
