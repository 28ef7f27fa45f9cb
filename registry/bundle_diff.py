"""In what do two bundles differ?

Plain nested values, JSON-ready: what is the same is left out, except weights and scores, which are only told side by
side. A difference is a pair (first, second); None where one of them has no such thing.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from registry.load import LoadedBundle
from registry.model_card import flatten

__all__ = ["Pair", "bundle_diff"]

Pair = list[Any]
_APART = ("config", "evaluation", "metrics")
_SCORES = (
    "log_loss",
    "brier",
    "net_return",
    "sharpe",
    "trades",
    "hit_rate",
    "profit_factor",
    "max_drawdown",
)


def bundle_diff(first: LoadedBundle, second: LoadedBundle) -> dict[str, Any]:
    """Contract, features, labels, events, policy, weights, scores per model and strategy, settings and other facts."""
    return {
        "same": first.hash == second.hash,
        "bundle_hash": [first.hash, second.hash],
        "contract": _differing(_without(asdict(first.contract), "names"), _without(asdict(second.contract), "names")),
        "features": _features(first.contract.names, second.contract.names),
        "label_spec": _differing(asdict(first.label_spec), asdict(second.label_spec)),
        "events": _differing(asdict(first.events), asdict(second.events)),
        "policy": _differing(asdict(first.policy), asdict(second.policy)),
        "models": _models(first, second),
        "metrics": _metrics(first, second),
        "settings": _differing(_mapping(first.facts.get("config")), _mapping(second.facts.get("config"))),
        "facts": _differing(_without(first.facts, *_APART), _without(second.facts, *_APART)),
    }


def _features(first: tuple[str, ...], second: tuple[str, ...]) -> dict[str, Any]:
    kept = [name for name in first if name in second]
    return {
        "added": [name for name in second if name not in first],
        "removed": [name for name in first if name not in second],
        "reordered": kept != [name for name in second if name in first],
    }


def _models(first: LoadedBundle, second: LoadedBundle) -> dict[str, dict[str, Pair]]:
    """Of each model its library and its weight; one that only one bundle has is None in the other."""
    sides = [
        {
            one.name: {"kind": one.kind, "weight": weight}
            for one, weight in zip(bundle.predictors, bundle.weights.tolist(), strict=True)
        }
        for bundle in (first, second)
    ]
    return {
        name: {what: [side[name][what] if name in side else None for side in sides] for what in ("kind", "weight")}
        for name in dict.fromkeys([*sides[0], *sides[1]])
    }


def _metrics(first: LoadedBundle, second: LoadedBundle) -> dict[str, dict[str, Pair]]:
    """Out-of-fold scores of the ensemble, each model and each baseline, those that at least one bundle states."""
    sides = [_scores(one.facts.get("metrics")) for one in (first, second)]
    found = {}
    for name in dict.fromkeys([*sides[0], *sides[1]]):
        pairs = {score: [side.get(name, {}).get(score) for side in sides] for score in _SCORES}
        found[name] = {score: pair for score, pair in pairs.items() if pair != [None, None]}
    return {name: pairs for name, pairs in found.items() if pairs}


def _scores(metrics: object) -> dict[str, Mapping[str, Any]]:
    """Scores by whom they belong to; a number that stands alone is the ensemble's."""
    given = _mapping(metrics)
    grouped = {name: one for name, one in given.items() if isinstance(one, Mapping)}
    alone = {name: one for name, one in given.items() if not isinstance(one, Mapping)}
    return {"ensemble": alone, **grouped} if alone else grouped


def _differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Pair]:
    sides = [{name: _plain(value) for name, value in flatten(one).items()} for one in (first, second)]
    names = dict.fromkeys([*sides[0], *sides[1]])
    pairs = {name: [side.get(name) for side in sides] for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _without(values: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
