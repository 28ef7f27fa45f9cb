"""``lockstep models diff``: in what do two registered versions differ?"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.options import Home, Json, command, existing_home
from cli.output import out, print_json, table

__all__ = ["diff"]

_LONGEST = 40
_LISTED = ("contract", "label_spec", "events", "policy", "settings", "facts")


def diff(
    first: Annotated[int, typer.Argument(metavar="A", help="A version.")],
    second: Annotated[int, typer.Argument(metavar="B", help="The version to compare it with.")],
    home: Home = Path(".lockstep"),
    as_json: Json = False,
) -> None:
    """Tell in what two versions differ: features, labels, policy, settings, weights and scores.

    Example: lockstep models diff 1 2
    """
    with command(as_json=as_json, quiet=True):
        from infra.bootstrap import open_app
        from registry.bundle_diff import bundle_diff
        from tasks.lineups import fetch_bundle
        from tasks.stores import model_store

        with open_app(existing_home(home)) as opened:
            store = model_store(opened)
            # Both are looked up before either is downloaded: a mistyped number is told at once.
            known = [store.version(version) for version in (first, second)]
            bundles = [fetch_bundle(opened, store, one.bundle_hash, one.version) for one in known]
        found = {"versions": [first, second], **bundle_diff(*bundles)}
    if as_json:
        print_json(found)
        return
    if found["same"]:
        out.print(f"versions {first} and {second} hold the same bundle ({bundles[0].hash[:12]})")
        return
    out.print(table(f"Versions {first} and {second}", ("", "", str(first), str(second), "change"), list(_rows(found))))


def _rows(found: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """(section, what, first, second, change), the section only in its first row."""
    yield "bundle", "hash", *(one[:12] for one in found["bundle_hash"]), ""
    features = found["features"]
    changes = [("added", "", name) for name in features["added"]] + [
        ("removed", name, "") for name in features["removed"]
    ]
    if features["reordered"]:
        changes.append(("order", "", "another"))
    yield from _section("features", [(what, one, other, "") for what, one, other in changes])
    for section in _LISTED:
        yield from _section(section.replace("_", " "), [_told(name, pair) for name, pair in found[section].items()])
    weights = [_told(name, pair["weight"]) for name, pair in found["models"].items()]
    kinds = [
        _told(f"{name} kind", pair["kind"]) for name, pair in found["models"].items() if len(set(pair["kind"])) > 1
    ]
    yield from _section("weights", weights + kinds)
    scores = [(f"{name} {score}", pair) for name, pairs in found["metrics"].items() for score, pair in pairs.items()]
    yield from _section("out of fold", [_told(name, pair) for name, pair in scores])


def _section(name: str, rows: Sequence[tuple[str, str, str, str]]) -> Iterator[tuple[str, ...]]:
    for at, row in enumerate(rows):
        yield (name if at == 0 else "", *row)


def _told(name: str, pair: Sequence[Any]) -> tuple[str, str, str, str]:
    first, second = pair
    if isinstance(first, list) and isinstance(second, list):
        gone, new = ([one for one in a if one not in b] for a, b in ((first, second), (second, first)))
        change = " ".join([f"-{one}" for one in gone] + [f"+{one}" for one in new]) or "another order"
        return name, f"{len(first)} items", f"{len(second)} items", _short(change)
    both = all(isinstance(one, int | float) and not isinstance(one, bool) for one in pair)
    change = f"{second - first:+.4g}" if both and second != first else ""
    return name, _short(first), _short(second), change


def _short(value: object) -> str:
    if value is None:
        return "-"
    told = f"{value:.6g}" if isinstance(value, float) else str(value)
    return told if len(told) <= _LONGEST else f"{told[: _LONGEST - 3]}..."
