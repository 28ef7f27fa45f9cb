"""``lockstep models``: what is registered, and is it sound?"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.models_diff import diff
from cli.options import Home, Json, command, existing_home
from cli.output import out, print_json, table
from market.timeframe import as_utc

__all__ = ["app"]

app = typer.Typer(help="Registered model versions.", no_args_is_help=True)
app.command("diff")(diff)


@app.command("list")
def list_models(home: Home = Path(".lockstep"), as_json: Json = False) -> None:
    """List versions with their aliases; one that something else registered is named as such.

    Example: lockstep models list
    """
    with command(as_json=as_json, quiet=True):
        from infra.bootstrap import open_app
        from registry.deployments import current_champion
        from tasks.stores import model_store

        with open_app(existing_home(home)) as opened:
            name = opened.settings.registry.model_name
            found = [{"bundle_hash": None, "decision": None, **asdict(one)} for one in model_store(opened).versions()]
            champion = current_champion(opened.engine, name)
    serves = None if champion is None else {"version": champion.version, "bundle_hash": champion.bundle_hash}
    if as_json:
        print_json({"model_name": name, "versions": found, "champion": serves})
        return
    rows = [
        (
            one["version"],
            ", ".join(one["aliases"]) or "-",
            *_bundle_and_data(one),
            as_utc(one["created_ms"]),
            one["decision"] or "-",
        )
        for one in found
    ]
    out.print(table(f"{name}", ("version", "aliases", "bundle", "data", "registered (UTC)", "decision"), rows))
    if champion is not None and champion.bundle_hash not in {one["bundle_hash"] for one in found}:
        out.print(f"\nThe champion, version {champion.version} ({champion.bundle_hash[:12]}), was deleted in MLflow.")


def _bundle_and_data(version: Mapping[str, Any]) -> tuple[str, str]:
    if version["bundle_hash"] is None:
        return "not a Lockstep bundle", "-"
    return version["bundle_hash"][:12], "synthetic" if version["synthetic"] else "real"


@app.command("show")
def show(version: Annotated[int, typer.Argument()], home: Home = Path(".lockstep"), as_json: Json = False) -> None:
    """Show the facts sealed into one version's bundle.

    Example: lockstep models show 1 --json
    """
    with command(as_json=as_json, quiet=True):
        from infra.bootstrap import open_app
        from tasks.lineups import fetch_bundle
        from tasks.stores import model_store

        with open_app(existing_home(home)) as opened:
            store = model_store(opened)
            bundle = fetch_bundle(opened, store, store.version(version).bundle_hash, version)
    facts = {
        "version": version,
        "bundle_hash": bundle.hash,
        "contract": bundle.contract.fingerprint,
        "label_spec": bundle.label_spec.fingerprint,
        "events": json.loads(bundle.events.to_json()),
        "features": len(bundle.contract.names),
        "models": dict(zip(bundle.model_names, bundle.weights.tolist(), strict=True)),
        "thresholds": list(bundle.policy.thresholds),
        **bundle.facts,
    }
    if as_json:
        print_json(facts)
        return
    for name, value in facts.items():
        if not isinstance(value, dict) or name == "models":
            out.print(f"{name:<16} {value}")


@app.command("verify")
def verify(version: Annotated[int, typer.Argument()], home: Home = Path(".lockstep"), as_json: Json = False) -> None:
    """Download a version from the registry and prove it in a fresh process: hashes, contract, golden bars.

    Example: lockstep models verify 1
    """
    with command(as_json=as_json):
        import tempfile

        from infra.bootstrap import open_app
        from registry.verify import fresh_process_check
        from tasks.stores import model_store

        with open_app(existing_home(home)) as opened, tempfile.TemporaryDirectory() as scratch:
            store = model_store(opened)
            directory = Path(scratch) / "bundle"
            checked = fresh_process_check(directory, store.download(version, directory))
    if as_json:
        print_json({"version": version, "sound": True, **asdict(checked)})
    else:
        out.print(
            f"version {version} is sound: {checked.bundle_hash[:12]} loads and its golden bars come out the same "
            f"({checked.load_s:.2f} s)"
        )
