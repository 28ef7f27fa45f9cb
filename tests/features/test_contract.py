"""Are two sides that mean different features kept apart, in words?"""

from dataclasses import fields, replace
from functools import partial
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
    kernel_layout,
    running_contract,
    sources,
)
from features.kernel_lanes import LANES
from features.unified import UNIFIED
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
    "funding_required": False,
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
    with pytest.raises(ContractError, match=f"the number of names: {len(FEATURES)} here, {len(FEATURES) - 1} there"):
        RUNNING.require_equal(replace(RUNNING, names=RUNNING.names[:-1]))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"names": ("return", *RUNNING.names[1:])}, r"names\[0\]: 'returns' here, 'return' there"),
        (
            {"names": (RUNNING.names[1], RUNNING.names[0], *RUNNING.names[2:])},
            r"names\[0\]: 'returns' here, 'log_returns' there",
        ),
        (
            {"names": (*RUNNING.names[:5], *RUNNING.names[6:])},
            r"names\[5\]: 'lower_wick' here, 'relative_spread' there",
        ),
        ({"names": RUNNING.names[:-1]}, r"number of names: \d+ here, \d+ there; 'taker_imbalance_48' is here alone"),
        ({"names": (*RUNNING.names, "extra")}, r"number of names: \d+ here, \d+ there; 'extra' is there alone"),
        ({"dtype": "float64"}, "dtype: 'float32' here, 'float64' there"),
        ({"warmup_bars": 1440}, "warmup_bars: 1152 here, 1440 there"),
        ({"max_filled": 3}, "max_filled: 12 here, 3 there"),
        ({"kernel_hash": "f" * 64}, f"kernel_hash: '{RUNNING.kernel_hash}' here, '{'f' * 64}' there"),
    ],
    ids=["renamed", "reordered", "missing", "cut", "extra", "dtype", "warm-up", "limit", "source"],
)
def test_each_kind_of_difference_is_named(changed, said):
    """Renamed, reordered, missing, extra, another dtype, parameters or sources: the first difference is told."""
    with pytest.raises(ContractError, match=said):
        RUNNING.require_equal(replace(RUNNING, **changed))


def test_the_same_names_with_another_definition_are_another_contract(monkeypatch, tmp_path):
    """One word of a formula changes the hash, so equal names do not pass for equal features."""
    for name in sources.SOURCES:
        (tmp_path / name).write_text(files("features").joinpath(name).read_text(encoding="utf-8"), encoding="utf-8")
    path = tmp_path / "definitions.py"
    path.write_text(path.read_text(encoding="utf-8").replace("SMA3(stoch_k)", "SMA5(stoch_k)"), encoding="utf-8")
    monkeypatch.setattr(sources, "files", lambda _package: tmp_path)
    other = replace(RUNNING, kernel_hash=sources.hash_of.__wrapped__("features", sources.SOURCES))
    assert other.names == RUNNING.names
    with pytest.raises(ContractError, match="differ in kernel_hash"):
        RUNNING.require_equal(other)


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


def test_any_edit_of_the_kernel_changes_the_contract(monkeypatch, tmp_path):
    """The hash reads every source that decides a byte; line ends alone do not count."""
    for name in sources.SOURCES:
        (tmp_path / name).write_text(files("features").joinpath(name).read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(sources, "files", lambda _package: tmp_path)
    uncached = partial(sources.hash_of.__wrapped__, "features", sources.SOURCES)
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


def test_the_49_names_are_each_accounted_for():
    """49 names, each once: kept and redefined ones are features, dropped ones are not, and what tells them is."""
    assert len(UNIFIED) == len({one.name for one in UNIFIED}) == 49
    for one in UNIFIED:
        assert (one.name in RUNNING.names) == (one.fate in {"kept", "redefined"}), one.name
        assert set(one.now) <= set(RUNNING.names), one.name
        assert one.why
    assert {one.fate for one in UNIFIED} == {"kept", "redefined", "dropped"}


def test_every_definition_is_complete():
    """Formula, unit and source are told of every feature, and the range is one."""
    for feature in FEATURES:
        assert all((feature.formula, feature.unit, feature.source)), feature.name
        assert feature.low < feature.high, feature.name


def test_each_feature_has_the_column_of_its_place():
    """The kernel's names follow the definitions; a name that stands for something else, or twice, is refused."""
    rows = [getattr(kernel_layout, feature.name.upper()) for feature in FEATURES]
    assert rows == [kernel_layout.OUT + LANES * k for k in range(len(FEATURES))]
    with pytest.raises(ImportError, match=r"'returns': features.kernel_layout.RETURNS stands for something else"):
        kernel_layout._name_features({"RETURNS": 0})
