"""Whatever is done to a champion's bundle, it is refused with its reason and the last good one keeps serving.

Twice each: on the disk of a worker, which asks for the registered hash, and sealed again as a whole, so that every hash
fits and only what the bundle says and does can give it away.
"""

import io
import pickle
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from registry.cache import BundleCache
from registry.canonical import canonical_json, parse_json
from registry.errors import BundleError
from registry.load import load_bundle
from registry.manifest import MANIFEST
from serving.adoption import adopt
from serving.lineup import Lineup
from tests.registry.conftest import Reseal
from tests.registry.desk import Desk
from tests.registry.made_bundles import Sealed

pytestmark = pytest.mark.integration

Files = dict[str, bytes | None]


@dataclass(frozen=True)
class Attack:
    """Files to change in a bundle, given another sound one; ``says`` is what a sealed-again one is refused for."""

    name: str
    change: Callable[[Path, Path], Files]
    says: str


def part(name: str) -> Callable[[Path, Path], Files]:
    """Files whose names begin so, from the other bundle."""
    return lambda _mine, other: {one.name: one.read_bytes() for one in other.iterdir() if one.name.startswith(name)}


def edit(name: str, change: Callable[[object], object]) -> Callable[[Path, Path], Files]:
    """One JSON file, changed."""
    return lambda mine, _other: {name: canonical_json(change(parse_json((mine / name).read_bytes())))}


def swapped(mine: Path, _other: Path) -> Files:
    """LightGBM's booster under XGBoost's name and the other way round."""
    return {
        "model_lightgbm.txt": (mine / "model_xgboost.ubj").read_bytes(),
        "model_xgboost.ubj": (mine / "model_lightgbm.txt").read_bytes(),
    }


def names_permuted(contract: object) -> object:
    names = contract["names"]
    return contract | {"names": [names[1], names[0], *names[2:]]}


def dummy(mine: Path, _other: Path) -> Files:
    """A linear model that knows nothing."""
    found = parse_json((mine / "model_logistic.json").read_bytes())
    zeros = {name: np.zeros_like(np.array(value)).tolist() for name, value in found.items()}
    return {"model_logistic.json": canonical_json(zeros)}


def scaler_of_another(mine: Path, _other: Path) -> Files:
    """The numbers of a scaler that was fitted on other rows."""
    out = io.BytesIO()
    np.save(out, np.load(mine / "scaler_mean.npy") * 1.01 + 0.01)
    return {"scaler_mean.npy": out.getvalue()}


def uncalibrated(models: object) -> object:
    return [one | {"calibration": {"matrix": np.eye(3).tolist(), "bias": [0.1, 0.0, 0.0]}} for one in models]


def cut(name: str, size: int) -> Callable[[Path, Path], Files]:
    """The first bytes of a file."""
    return lambda mine, _other: {name: (mine / name).read_bytes()[:size]}


def holding(name: str, data: bytes | None) -> Callable[[Path, Path], Files]:
    """A file with this content, or none."""
    return lambda _mine, _other: {name: data}


def key_twice(mine: Path, _other: Path) -> Files:
    """What one reader takes for the first value and another for the last."""
    return {"facts.json": b'{"synthetic":false,' + (mine / "facts.json").read_bytes()[1:]}


LIGHTGBM, XGBOOST = "model_lightgbm.txt", "model_xgboost.ubj"
PICKLE = pickle.dumps(print)
ATTACKS = (
    Attack("a scaler from another bundle", scaler_of_another, r"golden bars do not reproduce: model logistic"),
    Attack("a booster from another bundle", part("model_lightgbm"), r"golden bars do not reproduce: model lightgbm"),
    Attack("another calibration", edit("models.json", uncalibrated), r"golden bars do not reproduce"),
    Attack("boosters swapped", swapped, r"model lightgbm cannot be read"),
    Attack("contract names permuted", edit("contract.json", names_permuted), r"contract|come out differently"),
    Attack("an older kernel", edit("contract.json", lambda c: c | {"kernel_hash": "0" * 64}), r"not the running"),
    Attack("another class map", edit("classes.json", lambda _: {"HOLD": 0, "SELL": 1, "BUY": 2}), r"class map"),
    Attack("weights of 208 %", edit("models.json", lambda m: [one | {"weight": 0.69} for one in m]), r"sum to 1"),
    Attack("a dummy model", dummy, r"golden bars do not reproduce: model logistic"),
    Attack("a model of 166 bytes", cut(XGBOOST, 166), r"model xgboost cannot be read"),
    Attack("an empty model", holding(LIGHTGBM, b""), r"model lightgbm cannot be read"),
    Attack("a missing scaler", holding("scaler_mean.npy", None), r"scaler_mean\.npy.*missing"),
    Attack("a pickle as a model", holding(LIGHTGBM, PICKLE), r"model lightgbm cannot be read"),
    Attack("a pickle beside the models", holding("model_extra.pkl", PICKLE), r"no part of a bundle"),
    Attack("a number that is none", holding("policy.json", b'{"thresholds":[NaN,0.5]}'), r"policy\.json"),
    Attack("a key twice", key_twice, r"facts\.json"),
)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda one: one.name)
def test_sealed_again_it_is_refused_for_what_it_says_or_does(
    attack: Attack, reseal: Reseal, copied: Path, sealed: Sealed, others: tuple[Sealed, ...]
) -> None:
    """Every hash fits; the reason names the part. Asked for by its registered hash it is another bundle anyway."""
    reseal(attack.change(copied, others[0].directory))
    with pytest.raises(BundleError, match=attack.says):
        load_bundle(copied, expected_hash=None)
    with pytest.raises(BundleError, match="another bundle"):
        load_bundle(copied, expected_hash=sealed.hash)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda one: one.name)
@pytest.mark.parametrize("seal_again", [False, True], ids=["as it lies", "sealed again"])
def test_the_last_good_one_keeps_serving(attack: Attack, desk: Desk, tmp_path: Path, *, seal_again: bool) -> None:
    """The new champion's copy on the worker's disk is damaged: the worker says so and goes on with the one before."""
    good, bad, other = desk.bundles
    cache = BundleCache(tmp_path / "bundles")
    cache.put(good.directory, good.hash)
    desk.promote(0)
    contract = cache.load(good.hash).contract
    loaded = adopt(desk.engine, cache, model_name=desk.name, contract=contract, loaded=None)
    assert loaded.champion is not None
    desk.promote(1)
    entry = Path(shutil.copytree(bad.directory, cache.root / bad.hash))
    damage(entry, attack.change(bad.directory, other.directory), seal_again=seal_again)
    held: Lineup = adopt(desk.engine, cache, model_name=desk.name, contract=contract, loaded=loaded)
    assert held.champion is not None
    assert held.champion.bundle.hash == good.hash
    assert held.cause in ("bundle_refused", "contract_mismatch")
    assert held.detail
    assert not cache.has(bad.hash)


def test_a_directory_or_a_link_in_place_of_a_file_is_refused(copied: Path, sealed: Sealed) -> None:
    """Neither leads anywhere."""
    target = copied / "facts.json"
    target.unlink()
    target.mkdir()
    with pytest.raises(BundleError, match=r"facts\.json"):
        load_bundle(copied, expected_hash=sealed.hash)
    target.rmdir()
    target.symlink_to(sealed.directory / "facts.json")
    with pytest.raises(BundleError, match=r"facts\.json"):
        load_bundle(copied, expected_hash=sealed.hash)


def damage(entry: Path, changes: Files, *, seal_again: bool) -> None:
    """Write changed files over a bundle; sealed again, with a manifest that fits them."""
    from registry.manifest import manifest_bytes

    for name, data in changes.items():
        path = entry / name
        if path.exists():
            path.chmod(0o644)
            path.unlink()
        if data is not None:
            path.write_bytes(data)
    if seal_again:
        files = {one.name: one.read_bytes() for one in entry.iterdir() if one.name != MANIFEST}
        (entry / MANIFEST).chmod(0o644)
        (entry / MANIFEST).write_bytes(manifest_bytes(files))
