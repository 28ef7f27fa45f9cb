"""Parts sealed again by somebody, so that every hash fits, or sound for another kernel: refused all the same."""

import io
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from features.contract import FeatureContract, running_contract
from registry.bundle import BundleParts, load_bundle, seal
from registry.canonical import canonical_json, parse_json
from registry.errors import BundleContractError, BundleError
from registry.manifest import read_sealed
from registry.predictors import load_predictor, logistic_payload
from tests.registry.conftest import Reseal
from tests.registry.made_bundles import SPEC, Sealed


def npy(array: np.ndarray, *, allow_pickle: bool = False) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=allow_pickle)
    return out.getvalue()


class Bomb:
    """Unpickling this makes a directory."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (str(self.place),))


def test_a_smuggled_pickle_is_never_opened(reseal: Reseal, copied: Path, tmp_path: Path) -> None:
    """As a file of its own, and as an array of objects in place of a plain one."""
    bomb = Bomb(tmp_path / "exploded")
    reseal({"extra.pkl": pickle.dumps(bomb)})
    with pytest.raises(BundleError, match=r"extra\.pkl: it is no part"):
        load_bundle(copied, expected_hash=None)
    reseal({"extra.pkl": None, "scaler_mean.npy": npy(np.array([bomb], dtype=object), allow_pickle=True)})
    with pytest.raises(BundleError, match=r"scaler_mean\.npy: it is no plain array"):
        load_bundle(copied, expected_hash=None)
    reseal({"scaler_mean.npy": pickle.dumps(bomb)})
    with pytest.raises(BundleError, match=r"scaler_mean\.npy: it is no plain array"):
        load_bundle(copied, expected_hash=None)
    assert not (tmp_path / "exploded").exists()


def test_a_bundle_without_a_part_is_refused(reseal: Reseal, copied: Path, sealed: Sealed) -> None:
    """Each part in turn is left out of an otherwise fitting manifest."""
    _, files = read_sealed(sealed.directory, expected_hash=None)
    for name, data in files.items():
        reseal({name: None})
        with pytest.raises(BundleError, match=name.replace(".", r"\.")):
            load_bundle(copied, expected_hash=None)
        reseal({name: data})


def edited(sealed: Sealed, name: str, change: Callable[[object], object]) -> dict[str, bytes | None]:
    return {name: canonical_json(change(parse_json((sealed.directory / name).read_bytes())))}


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("input_window_bars", 48, "reads 48 bars at once"),
        ("input_window_bars", "many", "ValueError"),
        ("class_weight", [1.0, 0.0, 1.0], "three positive numbers"),
        ("stops_early", True, "a model has the fields"),
    ],
)
def test_a_model_declared_to_need_what_this_code_does_not_give_is_refused(
    reseal: Reseal, copied: Path, sealed: Sealed, field: str, value: object, said: str
) -> None:
    """A longer input window, impossible class weights, a field nobody knows: refused at load, with the part."""
    reseal(edited(sealed, "models.json", lambda models: [models[0] | {field: value}, *models[1:]]))
    with pytest.raises(BundleError, match=said):
        load_bundle(copied, expected_hash=None)


def test_another_class_map_is_refused(reseal: Reseal, copied: Path, sealed: Sealed) -> None:
    """SELL and BUY the wrong way round is a refusal, not a loss."""
    reseal(edited(sealed, "classes.json", lambda _: {"HOLD": 0, "SELL": 1, "BUY": 2}))
    with pytest.raises(BundleError, match="class map"):
        load_bundle(copied, expected_hash=None)


@pytest.mark.parametrize("weights", [(0.4, 0.35, 0.2), (0.9, 0.35, -0.25), (0.0, 0.0, 0.0)])
def test_weights_that_do_not_sum_to_one_are_refused(
    reseal: Reseal, copied: Path, sealed: Sealed, weights: tuple[float, ...]
) -> None:
    """Nor may one be negative."""

    def change(models: object) -> object:
        return [model | {"weight": weight} for model, weight in zip(models, weights, strict=True)]

    reseal(edited(sealed, "models.json", change))
    with pytest.raises(BundleError, match="sum to 1"):
        load_bundle(copied, expected_hash=None)


def test_a_model_of_another_width_is_refused(reseal: Reseal, copied: Path, rows: np.ndarray) -> None:
    """Every hash fits; the booster itself is asked how many features it reads."""
    import lightgbm as lgb

    narrow = lgb.train(
        {"objective": "multiclass", "num_class": 3, "verbosity": -1, "num_threads": 1},
        lgb.Dataset(rows[:, :5], np.arange(rows.shape[0]) % 3),
        2,
    )
    reseal({"model_lightgbm.txt": narrow.model_to_string().encode()})
    with pytest.raises(BundleError, match="model lightgbm reads 5 features"):
        load_bundle(copied, expected_hash=None)


@pytest.mark.parametrize("name", ["model_lightgbm.txt", "model_xgboost.ubj", "model_logistic.json"])
def test_a_cut_model_under_a_fitting_manifest_is_refused(
    reseal: Reseal, copied: Path, sealed: Sealed, name: str
) -> None:
    """The libraries' readers never see it."""
    data = (sealed.directory / name).read_bytes()
    reseal({name: data[: len(data) // 2]})
    with pytest.raises(BundleError, match="cannot be read"):
        load_bundle(copied, expected_hash=None)


def test_a_model_that_answers_always_the_same_is_refused(parts: BundleParts, tmp_path: Path) -> None:
    """Golden bars reproduce perfectly, and still it has learnt nothing."""
    k = parts.scaler.columns.size
    constant = replace(
        parts.models[2], payload=logistic_payload(coef=np.zeros((3, k)), intercept=np.array([1.0, 0.0, 0.0]))
    )
    predictor = load_predictor(constant, parts.scaler, len(parts.contract.names))
    probabilities = parts.golden.probabilities.copy()
    probabilities[2] = predictor.predict(parts.golden.features)
    bad = replace(
        parts, models=(*parts.models[:2], constant), golden=replace(parts.golden, probabilities=probabilities)
    )
    with pytest.raises(BundleError, match="one and the same answer"):
        seal(bad, tmp_path / "constant")


def test_other_golden_features_are_refused(reseal: Reseal, copied: Path, sealed: Sealed) -> None:
    """One last bit of one feature is enough, and the feature is named."""
    features = sealed.parts.golden.features.copy()
    features[7, 3] = np.nextafter(features[7, 3], np.float32(np.inf))
    reseal({"golden_features.npy": npy(features)})
    with pytest.raises(BundleError, match=f"1 features come out differently .{sealed.parts.contract.names[3]}"):
        load_bundle(copied, expected_hash=None)


def test_other_golden_probabilities_are_refused(reseal: Reseal, copied: Path, sealed: Sealed) -> None:
    """A billionth is far beyond rounding; the model is named."""
    probabilities = sealed.parts.golden.probabilities.copy()
    probabilities[1, 5, 2] += 1e-9
    reseal({"golden_probabilities.npy": npy(probabilities)})
    with pytest.raises(BundleError, match="model xgboost is off by 1"):
        load_bundle(copied, expected_hash=None)


def test_swapped_models_are_refused(reseal: Reseal, copied: Path, sealed: Sealed) -> None:
    """Right files, wrong calibration: the golden bars notice."""

    def change(models: object) -> object:
        first, second, third = models
        return [first | {"calibration": third["calibration"]}, second, third]

    reseal(edited(sealed, "models.json", change))
    with pytest.raises(BundleError, match="model lightgbm is off"):
        load_bundle(copied, expected_hash=None)


@pytest.mark.parametrize(
    ("file", "change", "reason"),
    [
        ("facts.json", lambda facts: {k: v for k, v in facts.items() if k != "snapshot_id"}, "snapshot_id"),
        ("facts.json", lambda facts: facts | {"synthetic": "no"}, "true or false"),
        ("policy.json", lambda policy: policy | {"consensus_share": 7}, "consensus_share"),
        ("policy.json", lambda policy: policy | {"horizon_bars": 24}, "different horizons"),
        ("label_spec.json", lambda spec: {"horizon_bars": 12}, "costs"),
        ("golden.json", lambda golden: {"symbol": "X"}, "timeframe_ms"),
        ("reference.json", lambda _: {}, "rows"),
        ("models.json", lambda models: models[:2], "it is no part"),
        ("models.json", lambda _: [], "no part"),
        ("models.json", lambda models: [models[0] | {"name": "../x"}, *models[1:]], "named"),
        ("models.json", lambda models: [models[0] | {"kind": "pickle"}, *models[1:]], "kind"),
        ("contract.json", lambda contract: contract | {"dtype": "float64"}, "dtype"),
    ],
)
def test_parts_that_cannot_be_read_or_do_not_fit_are_refused(
    reseal: Reseal, copied: Path, sealed: Sealed, file: str, change: Callable[[object], object], reason: str
) -> None:
    """Each with its own words, whatever the manifest says."""
    reseal(edited(sealed, file, change))
    with pytest.raises(BundleError, match=reason):
        load_bundle(copied, expected_hash=None)


def test_an_array_of_another_type_or_shape_is_refused(reseal: Reseal, copied: Path, sealed: Sealed) -> None:
    """float32 means, a matrix of scales, one mean too few."""
    mean = sealed.parts.scaler.mean
    for name, array, reason in (
        ("scaler_mean.npy", mean.astype(np.float32), "another type"),
        ("scaler_scale.npy", sealed.parts.scaler.scale[:, None], "another type or shape"),
        ("scaler_mean.npy", mean[:-1], "shapes"),
        ("golden_features.npy", sealed.parts.golden.features[:, :-1], "golden features"),
    ):
        before = (copied / name).read_bytes()
        reseal({name: npy(array)})
        with pytest.raises(BundleError, match=reason):
            load_bundle(copied, expected_hash=None)
        reseal({name: before})


@pytest.mark.parametrize("field", ["names", "kernel_hash", "warmup_bars", "max_filled", "reference_symbol"])
def test_another_contract_than_the_running_kernels_is_refused(
    sealed: Sealed, contract: FeatureContract, field: str
) -> None:
    """Two features swapped, another kernel source, another window: never predicted on."""
    changes = {
        "names": (contract.names[1], contract.names[0], *contract.names[2:]),
        "kernel_hash": "0" * 64,
        "warmup_bars": contract.warmup_bars + 1,
        "max_filled": contract.max_filled + 1,
        "reference_symbol": "ETHUSDT",
    }
    with pytest.raises(BundleContractError, match="not the running kernel's"):
        load_bundle(sealed.directory, expected_hash=sealed.hash, running=replace(contract, **{field: changes[field]}))


def test_a_bundle_of_another_kernel_is_refused_without_being_asked(
    reseal: Reseal, copied: Path, sealed: Sealed
) -> None:
    """The default compares with what this process would compute."""
    reseal(edited(sealed, "contract.json", lambda contract: contract | {"kernel_hash": "0" * 64}))
    with pytest.raises(BundleContractError, match="kernel"):
        load_bundle(copied, expected_hash=None)


def test_the_running_contract_is_accepted(sealed: Sealed) -> None:
    """The same spec gives the same contract."""
    assert load_bundle(sealed.directory, expected_hash=sealed.hash, running=running_contract(SPEC)).hash == sealed.hash


def test_loading_imports_no_mlflow_database_or_prefect(sealed: Sealed) -> None:
    """LightGBM itself brings pandas and scikit-learn where they are installed; nothing else heavy comes along."""
    code = (
        "import sys; from registry.bundle import load_bundle; "
        f"load_bundle({str(sealed.directory)!r}, expected_hash={sealed.hash!r}); "
        "heavy = ('mlflow', 'sqlalchemy', 'prefect', 'ccxt', 'evidently', 'matplotlib'); "
        "bad = [name for name in heavy if name in sys.modules]; "
        "assert not bad, bad"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
