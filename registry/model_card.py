"""What should a person read before trusting a model?

A page of Markdown from the sealed facts, shown as the description of the registered version. It repeats numbers, it
judges nothing; what the facts do not hold is a dash.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from registry.load import LoadedBundle

__all__ = ["day", "flatten", "model_card"]

_LONGEST = 5000
_SHOWN_SYMBOLS = 12
_DASH = "\u2013"
_SPACE = "\u2003"
_BASELINES = ("climatology", "no_trade", "primary_rule", "buy_and_hold")


def model_card(bundle: LoadedBundle) -> str:
    """Markdown: what it is, what it learnt from, how it did beside baselines, its limits, and how to check it."""
    facts = bundle.facts
    made_of = f"from the probabilities of {len(bundle.model_names)} calibrated models"
    lines = [
        f"**{facts['model_name']}**: BUY, SELL or HOLD at the close of {facts['timeframe']} bars, {made_of}.",
    ]
    if facts["synthetic"]:
        lines += ["", "> **Trained on a synthetic market.** It says nothing about a real one and is never served live."]
    lines += ["", *_what_it_is(bundle), "", *_scores(facts), "", *_limits(bundle), "", *_how_to_verify(bundle)]
    return "\n".join(lines)[: _LONGEST - 1] + "\n"


def flatten(values: Mapping[str, object], *, prefix: str = "") -> dict[str, object]:
    """Nested mappings as one, names joined by dots, in order.

    >>> flatten({"a": {"b": 1}, "c": 2})
    {'a.b': 1, 'c': 2}
    """
    flat: dict[str, object] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, prefix=f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def day(ms: object) -> str:
    """The date in UTC of a time in ms.

    >>> day(86_400_000)
    '1970-01-02'
    """
    return str(np.datetime64(int(str(ms)), "ms").astype("datetime64[D]"))


def _what_it_is(bundle: LoadedBundle) -> list[str]:
    facts, spec, costs = bundle.facts, bundle.label_spec, bundle.label_spec.costs
    symbols = facts["symbols"] if isinstance(facts["symbols"], list) else [facts["symbols"]]
    named = ", ".join(map(str, symbols[:_SHOWN_SYMBOLS]))
    more = f" and {len(symbols) - _SHOWN_SYMBOLS} more" if len(symbols) > _SHOWN_SYMBOLS else ""
    weights = ", ".join(f"{name} {w:.2f}" for name, w in zip(bundle.model_names, bundle.weights.tolist(), strict=True))
    learnt = facts.get("training_rows")
    rows = f", {learnt:,} rows" if isinstance(learnt, int) else ""
    classes = facts.get("class_map") or {"0": "HOLD", "1": "BUY", "2": "SELL"}
    shares = facts.get("class_shares")
    held = [f"{share:.1%}" for share in shares] if isinstance(shares, list) else [_DASH] * 3
    told = ", ".join(f"{code} {word} ({share})" for (code, word), share in zip(_pairs(classes), held, strict=False))
    period = f"{day(facts['train_start_ms'])} to {day(facts['train_end_ms'])} UTC"
    unit = "ATR" if spec.unit == "atr" else "of the price"
    barriers = f"{spec.horizon_bars} bars ahead, profit {spec.profit:g} {unit}, stop {spec.stop:g} {unit}"
    if spec.trail:
        barriers += f", stop trails by {spec.trail:g} {unit} once {spec.trail_after:g} ahead"
    paid = f"fee {costs.taker_fee_bps:g} bps and slippage {costs.slippage_bps:g} bps a side, actual funding"
    rule = bundle.events
    sampled = "CUSUM events" if rule.sampling == "cusum" else f"every {rule.every_bars} bars"
    told_facts = {
        "Data": f"{len(symbols)} symbols ({named}{more}), {period}{rows}",
        "Snapshot": f"`{facts['snapshot_id']}`",
        "Label": f"{barriers}; {paid}",
        "Classes": f"{told}; shares in training",
        "Decided on": f"{bundle.events.mode} mode, {sampled}",
        "Models": weights,
        "Features": f"{len(bundle.contract.names)}, contract `{bundle.contract.fingerprint}`",
        "Trials": f"{facts['trial_count']} by this training; seed {facts['seed']}",
        "Commit": f"`{facts.get('commit', _DASH)}`",
    }
    return ["| | |", "|---|---|", *(_row(f"**{name}**", value) for name, value in told_facts.items())]


def _scores(facts: Mapping[str, object]) -> list[str]:
    metrics = facts["metrics"] if isinstance(facts["metrics"], Mapping) else {}
    names = sorted((name for name, scores in metrics.items() if isinstance(scores, Mapping)), key=_rank)
    sure = _mapping(_mapping(facts.get("evaluation")).get("uncertainty"))
    lines = [
        "### Out of fold, after fees, slippage and funding",
        "",
        "| | log loss | net return (95 %) | Sharpe a year (95 %) | trades | hit rate | profit factor | drawdown |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name in names:
        scores, ends = metrics[name], _mapping(_mapping(sure.get("strategies")).get(name))
        cells = (
            _number(scores.get("log_loss"), ".4f"),
            _with_interval(scores.get("net_return"), ends.get("net_return"), "+.2%"),
            _with_interval(scores.get("sharpe"), ends.get("sharpe"), ".2f"),
            _number(scores.get("trades"), ",.0f"),
            _number(scores.get("hit_rate"), ".1%"),
            _number(scores.get("profit_factor"), ".2f"),
            _number(scores.get("max_drawdown"), ".2%"),
        )
        lines.append(_row(name.replace("_", " "), *cells))
    return lines


def _row(*cells: str) -> str:
    """A row of a table; MLflow's page sets no space between columns, so every cell ends in one."""
    return f"| {' | '.join(f'{cell}{_SPACE}' for cell in cells)} |"


def _rank(name: str) -> tuple[int, str]:
    """The ensemble, then the models, then the baselines; sealed facts are in alphabetic order."""
    return (0 if name == "ensemble" else 2 if name in _BASELINES else 1, name)


def _limits(bundle: LoadedBundle) -> list[str]:
    evaluation = _mapping(bundle.facts.get("evaluation"))
    sure = _mapping(evaluation.get("uncertainty"))
    seen = _mapping(sure.get("minimum_detectable"))
    skill = _mapping(_mapping(_mapping(sure.get("strategies")).get("ensemble")).get("skill"))
    lines = ["### Limits", ""]
    if skill:
        lines.append(f"- Skill against class shares: {_with_interval(skill.get('value'), skill, '+.4f')} nats a bar.")
    if seen:
        lines.append(
            f"- Smallest edge this evaluation tells from nothing (80 % power, 5 % size): "
            f"{_number(seen.get('skill'), '.4f')} nats, Sharpe {_number(seen.get('sharpe'), '.2f')} a year."
        )
    lines += [
        "- Only the symbols, the timeframe and the period above were seen; other symbols are refused when serving.",
        "- Paper results on history: no market impact, fills at the next open.",
        "- Scores come from folds before the final fit, which nothing has judged yet: that is the shadow test's work.",
    ]
    return lines


def _how_to_verify(bundle: LoadedBundle) -> list[str]:
    files = "`evaluation/trades.parquet` and `evaluation/predictions.parquet`"
    return [
        "### How to check it",
        "",
        "- `lockstep models verify VERSION` proves hashes, contract and golden bars in a fresh process.",
        f"- {files} of the run give every score again; `reports/` has the page of the training.",
        f"- Bundle `{bundle.hash}`",
    ]


def _with_interval(value: object, ends: object, form: str) -> str:
    told = _number(value, form)
    low, high = _mapping(ends).get("low"), _mapping(ends).get("high")
    if low is None or high is None:
        return told
    return f"{told} ({_number(low, form)} to {_number(high, form)})"


def _number(value: object, form: str) -> str:
    return format(value, form) if isinstance(value, int | float) else _DASH


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _pairs(classes: object) -> Sequence[tuple[str, object]]:
    return sorted(_mapping(classes).items())
