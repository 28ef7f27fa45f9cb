"""Are two sides that mean different features kept apart, in words?"""

from dataclasses import fields, replace
from importlib.resources import files
from pathlib import Path

import pytest

import features
from features import (
    FEATURES,
    ContractError,
    FeatureContract,
    FeatureSpec,
    FeatureStream,
    compute_features,
    docs,
    kernel,
    running_contract,
    sources,
)
from tests.features.histories import ANCHOR, FIVE, inputs_of, random_bars

SPEC = FeatureSpec(timeframe=FIVE, reference_symbol="BTCUSDT")
RUNNING = running_contract(SPEC)
OTHER = {
    "names": (*RUNNING.names[:3], "changed", *RUNNING.names[4:]),
    "dtype": "float64",
    "timeframe_ms": 60_000,
    "block_bars": 1008,
    "warmup_bars": 1153,
    "max_filled": 11,
    "fill_window_bars": 144,
    "reference_symbol": "ETHUSDT",
    "nan_allowed": (),
    "kernel_hash": "0" * 64,
}


def test_every_field_counts():
    """Any difference changes the fingerprint and is refused by name."""
    assert set(OTHER) == {field.name for field in fields(FeatureContract)}
    for name, value in OTHER.items():
        other = replace(RUNNING, **{name: value})
        assert other.fingerprint != RUNNING.fingerprint
        with pytest.raises(ContractError, match=f"differ in (the number of )?{name}"):
            RUNNING.require_equal(other)
    RUNNING.require_equal(running_contract(SPEC))


def test_the_first_difference_is_named_with_both_values():
    """An operator reads which feature stands where."""
    with pytest.raises(ContractError, match=r"names\[3\]: 'body_size' here, 'changed' there"):
        RUNNING.require_equal(replace(RUNNING, names=OTHER["names"], block_bars=1))
    with pytest.raises(ContractError, match=r"the number of names: 96 here, 95 there"):
        RUNNING.require_equal(replace(RUNNING, names=RUNNING.names[:-1]))


def test_json_keeps_everything():
    """What was written is read back equal, and nothing else is accepted."""
    assert FeatureContract.from_json(RUNNING.to_json()) == RUNNING
    text = RUNNING.to_json()
    for broken in ("", "[]", "{}", text.replace('"dtype"', '"type"'), text.replace("2016", '"2016"')):
        with pytest.raises(ContractError, match="cannot be read"):
            FeatureContract.from_json(broken)


def test_columns_are_found_by_name():
    """Names lead to columns; an unknown one is refused."""
    assert RUNNING.index_of("returns") == 0
    assert RUNNING.names[RUNNING.index_of("atr_pct")] == "atr_pct"
    with pytest.raises(ContractError, match="feature 'obv_2'"):
        RUNNING.index_of("obv_2")


def test_names_that_other_rooms_rely_on_are_there():
    """Labels, sizing and the volatility rule read these columns."""
    assert {"atr_pct", "atr_ratio", "realized_vol_288"} <= set(RUNNING.names)
    assert 70 <= len(RUNNING.names) == len(set(RUNNING.names)) <= 100
    assert all(name.startswith(("oi_", "basis", "taker_")) for name in RUNNING.nan_allowed)
    assert len(RUNNING.nan_allowed) == 9


def test_any_edit_of_the_kernel_changes_the_contract(monkeypatch, tmp_path):
    """The hash reads every source that decides a byte; line ends alone do not count."""
    for name in sources.SOURCES:
        (tmp_path / name).write_text(files("features").joinpath(name).read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(sources, "files", lambda _package: tmp_path)
    uncached = sources.source_hash.__wrapped__
    assert uncached() == RUNNING.kernel_hash
    for name in sources.SOURCES:
        path = tmp_path / name
        text = path.read_text(encoding="utf-8")
        path.write_bytes(text.replace("\n", "\r\n").encode())
        assert uncached() == RUNNING.kernel_hash
        path.write_text(text + "# edited\n", encoding="utf-8")
        assert uncached() != RUNNING.kernel_hash
        path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("name", ["kernel_hash", "names", "dtype"])
def test_a_contract_of_other_code_is_not_computed(name):
    """Neither batch nor stream runs under a contract that this kernel cannot honour."""
    foreign = replace(RUNNING, **{name: OTHER[name]})
    with pytest.raises(ContractError, match="would compute something else"):
        compute_features(inputs_of(random_bars(5, seed=1), first_index=ANCHOR), foreign)
    with pytest.raises(ContractError, match="would compute something else"):
        FeatureStream(foreign, "A")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"warmup_bars": 576}, "warmup_bars=576"),
        ({"block_bars": 0}, "block_bars=0"),
        ({"fill_window_bars": 0}, "fill_window_bars=0"),
        ({"fill_window_bars": 1153}, "fill_window_bars=1153"),
        ({"max_filled": -1}, "max_filled=-1"),
    ],
)
def test_impossible_choices_are_refused(changed, said):
    """A warm-up shorter than the longest window would let rows read bars nobody has."""
    with pytest.raises(ContractError, match=said):
        running_contract(replace(SPEC, **changed))


def test_the_longest_window_is_the_longest_declared():
    """The shortest warm-up allowed follows from the definitions."""
    assert max(feature.lookback_bars for feature in FEATURES) == kernel.LONGEST_LOOKBACK


def test_the_page_is_what_the_generator_prints():
    """docs/features.md never lags behind the definitions."""
    page = Path(features.__file__).resolve().parents[1] / "docs" / "features.md"
    assert page.read_text(encoding="utf-8") == docs.render_table()
