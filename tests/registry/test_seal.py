"""Sealing: what a bundle holds, and what is never sealed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from features.contract import FeatureContract
from registry.bundle import BundleParts, LoadedBundle, load_bundle, make_golden, seal
from registry.errors import BundleError
from tests.registry.made_bundles import Sealed


@pytest.fixture
def loaded(sealed: Sealed) -> LoadedBundle:
    return load_bundle(sealed.directory, expected_hash=sealed.hash)


def test_a_loaded_bundle_predicts_what_its_parts_did(loaded: LoadedBundle, sealed: Sealed) -> None:
    """Golden probabilities come back, and the ensemble is their weighted mean."""
    golden = sealed.parts.golden
    found = loaded.predict_models(golden.features)
    assert np.array_equal(found, golden.probabilities)
    mean = np.average(golden.probabilities, axis=0, weights=sealed.parts.weights)
    assert np.abs(loaded.predict(golden.features) - mean).max() < 1e-12


def test_every_part_survives_the_bundle(loaded: LoadedBundle, sealed: Sealed) -> None:
    """What was sealed is what is loaded."""
    parts = sealed.parts
    assert loaded.contract == parts.contract
    assert loaded.label_spec == parts.label_spec
    assert loaded.policy == parts.policy
    assert loaded.facts == parts.facts
    assert loaded.model_names == ("lightgbm", "xgboost", "logistic")
    assert np.array_equal(loaded.weights, parts.weights)
    assert np.array_equal(loaded.scaler.mean, parts.scaler.mean)
    for name in ("feature_edges", "feature_shares", "feature_low", "probability_edges", "feature_missing"):
        assert np.array_equal(getattr(loaded.reference, name), getattr(parts.reference, name), equal_nan=True)


def test_equal_parts_make_the_same_hash_and_other_parts_another(
    parts: BundleParts, sealed: Sealed, tmp_path: Path
) -> None:
    """The hash is a function of the content, not of time or place."""
    assert seal(parts, tmp_path / "again") == sealed.hash
    other = replace(parts, facts=parts.facts | {"seed": 99})
    assert seal(other, tmp_path / "other") != sealed.hash


def test_sealing_twice_into_one_place_is_harmless_and_overwriting_is_refused(
    parts: BundleParts, sealed: Sealed, tmp_path: Path
) -> None:
    """A finished bundle is never written over."""
    place = tmp_path / "here"
    assert seal(parts, place) == seal(parts, place)
    with pytest.raises(BundleError, match="in its place"):
        seal(replace(parts, facts=parts.facts | {"seed": 99}), place)
    assert load_bundle(place, expected_hash=sealed.hash).hash == sealed.hash
    assert [entry.name for entry in tmp_path.iterdir()] == ["here"]


def test_parts_that_do_not_load_are_never_sealed(parts: BundleParts, tmp_path: Path) -> None:
    """Whoever sealed knows that it loads; nothing is left behind."""
    golden = replace(parts.golden, probabilities=parts.golden.probabilities[:, ::-1].copy())
    with pytest.raises(BundleError, match="golden bars do not reproduce"):
        seal(replace(parts, golden=golden), tmp_path / "bad")
    assert list(tmp_path.iterdir()) == []


def test_facts_that_are_no_json_are_not_sealed(parts: BundleParts, tmp_path: Path) -> None:
    """NaN has no JSON."""
    with pytest.raises(Exception, match="JSON"):
        seal(replace(parts, facts=parts.facts | {"metrics": {"sharpe": float("nan")}}), tmp_path / "bad")


def test_no_file_of_a_bundle_is_a_pickle(sealed: Sealed) -> None:
    """Text, plain arrays and UBJ, nothing executable."""
    assert {path.suffix for path in sealed.directory.iterdir()} == {".json", ".npy", ".txt", ".ubj"}
    for path in sealed.directory.glob("*.npy"):
        assert np.load(path, allow_pickle=False).dtype != object


def test_golden_bars_lie_in_one_block_after_a_whole_warm_up(sealed: Sealed, contract: FeatureContract) -> None:
    """Sixty-four valid bars, computable from the stored inputs alone."""
    golden = sealed.parts.golden
    assert golden.features.shape == (64, len(contract.names))
    assert golden.start_index % contract.block_bars <= contract.block_bars - 64
    block_start = golden.start_index - golden.start_index % contract.block_bars
    assert golden.inputs.first_index == block_start - contract.warmup_bars


def test_golden_bars_need_valid_bars(sealed: Sealed, contract: FeatureContract) -> None:
    """A history of gaps gives none, and says so."""
    inputs = sealed.parts.golden.inputs
    holes = replace(inputs, values=inputs.values.copy())
    holes.values[::5, 5] = 0.0
    with pytest.raises(BundleError, match="valid bars in a row in MADEUSDT"):
        make_golden([holes], contract=contract, predictors=[])
