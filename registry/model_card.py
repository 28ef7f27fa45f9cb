"""What should a person read before trusting a model?

A page of Markdown from the sealed facts, shown as the description of the registered version. It repeats numbers, it
judges nothing.
"""

from collections.abc import Mapping

import numpy as np

from registry.load import LoadedBundle

__all__ = ["flatten", "model_card"]


def model_card(bundle: LoadedBundle) -> str:
    """Markdown: what it is, what it was trained on, how it did out of fold, and what it must not be used for."""
    facts = bundle.facts
    symbols = facts["symbols"]
    named = ", ".join(str(one) for one in symbols[:12]) if isinstance(symbols, list) else str(symbols)
    count = len(symbols) if isinstance(symbols, list) else 1
    spec, costs = bundle.label_spec, bundle.label_spec.costs
    weights = ", ".join(f"{name} {w:.2f}" for name, w in zip(bundle.model_names, bundle.weights.tolist(), strict=True))
    lines = [f"**{facts['model_name']}**: BUY, SELL or HOLD at the close of each {facts['timeframe']} bar."]
    if facts["synthetic"]:
        lines += ["", "**Trained on a synthetic market. It says nothing about a real one and is never served live.**"]
    period = f"{_day(facts['train_start_ms'])} to {_day(facts['train_end_ms'])}"
    label = f"{spec.horizon_bars} bars, profit {spec.profit:g}, stop {spec.stop:g} ({spec.unit})"
    paid = f"fee {costs.taker_fee_bps:g} bps a side, slippage {costs.slippage_bps:g} bps, actual funding"
    lines += [
        "",
        f"- Trained on {count} symbols ({named}{', ...' if count > 12 else ''}), {period}",
        f"- Data snapshot `{facts['snapshot_id']}`",
        f"- Models and weights: {weights}",
        f"- Features: {len(bundle.contract.names)} (contract `{bundle.contract.fingerprint}`)",
        f"- Labels: {label}; {paid}",
        f"- Trials counted on this snapshot: {facts['trial_count']}; seed {facts['seed']}",
        f"- Bundle `{bundle.hash}`",
        "",
        "| out of fold | value |",
        "|---|---|",
    ]
    metrics = facts["metrics"] if isinstance(facts["metrics"], dict) else {}
    lines += [f"| {name} | {value:.4g} |" for name, value in flatten(metrics).items() if isinstance(value, int | float)]
    return "\n".join(lines) + "\n"


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


def _day(ms: object) -> str:
    return str(np.datetime64(int(str(ms)), "ms").astype("datetime64[D]"))
