"""Policy, scaler, calibration, reference, canonical JSON and cards as pure values."""

import numpy as np
import pytest

from registry.calibration import VectorScaling, softmax
from registry.canonical import canonical_json, parse_json
from registry.cards import DecisionCard, Gate
from registry.errors import BundleError, CardError, PolicyError, RegistryError
from registry.policy import Action, DecisionPolicy
from registry.reference import bin_shares, reference_distributions
from registry.scaler import Scaler

POLICY = DecisionPolicy(thresholds=(0.4, 0.45), horizon_bars=48)


def gate(*, passed: bool = True) -> Gate:
    return Gate(name="skill", measured=0.012, threshold=0.0, comparison=">=", passed=passed, detail="paired log loss")


def card(**changes: object) -> DecisionCard:
    given = {
        "model_name": "m",
        "bundle_hash": "b",
        "champion_hash": None,
        "verdict": "promote",
        "reason": "all gates passed",
        "gates": (gate(),),
        "evidence": {"rows": 100, "share": 1.0},
    }
    return DecisionCard(**(given | changes))


def test_class_codes_are_the_ones_in_every_probability_column() -> None:
    """The class map is a fixed number for each name."""
    assert [(one.name, one.value) for one in Action] == [("HOLD", 0), ("BUY", 1), ("SELL", 2)]


def test_policy_comes_back_from_json_as_it_was() -> None:
    """Every field survives the bundle."""
    assert DecisionPolicy.from_json(POLICY.to_json()) == POLICY


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("thresholds", (0.4, 1.2)),
        ("consensus_share", float("nan")),
        ("min_healthy", 0),
        ("horizon_bars", 4.5),
        ("supervisor_min", 60),
        ("size_cap", -0.1),
    ],
)
def test_policy_refuses_a_number_no_decision_can_be_made_with(field: str, value: object) -> None:
    """The message names the field."""
    given = {"thresholds": (0.4, 0.4), "horizon_bars": 48} | {field: value}
    with pytest.raises(PolicyError, match=field):
        DecisionPolicy(**given)


def test_policy_refuses_an_unknown_field_in_json() -> None:
    """A field this code does not read would be a rule that does nothing."""
    text = POLICY.to_json().replace('"size_cap"', '"size_lid"')
    with pytest.raises(PolicyError, match="size_lid"):
        DecisionPolicy.from_json(text)


def test_scaler_centres_and_scales_the_chosen_columns_only() -> None:
    """Worked by hand: (4 - 2) / 2 and (9 - 3) / 3."""
    scaler = Scaler(columns=np.array([1, 2]), mean=np.array([2.0, 3.0]), scale=np.array([2.0, 3.0]))
    assert scaler.transform(np.array([[7, 4, 9]], dtype=np.float32)).tolist() == [[1.0, 2.0]]


@pytest.mark.parametrize(
    ("columns", "scale", "reason"),
    [([0, 0], [1.0, 1.0], "ascending"), ([0, 1], [1.0, 0.0], "positive"), ([0, 1], [1.0], "equal")],
)
def test_scaler_refuses_impossible_numbers(columns: list[int], scale: list[float], reason: str) -> None:
    """A scaler is never repaired."""
    with pytest.raises(PolicyError, match=reason):
        Scaler(columns=np.array(columns), mean=np.zeros(2), scale=np.array(scale))


def test_identity_calibration_changes_nothing_but_rounding() -> None:
    """The softmax of log p is p."""
    p = np.random.default_rng(0).dirichlet([1, 1, 1], 500)
    assert np.abs(VectorScaling.identity().apply(p) - p).max() < 1e-8


def test_calibration_is_the_published_formula() -> None:
    """Against the plain matrix form of Guo et al. 2017."""
    rng = np.random.default_rng(1)
    p, matrix, bias = rng.dirichlet([2, 1, 1], 50), rng.normal(size=(3, 3)), rng.normal(size=3)
    scores = np.log(p) @ matrix + bias
    expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    assert np.abs(VectorScaling(matrix=matrix, bias=bias).apply(p) - expected).max() < 1e-12


def test_calibration_of_a_certain_model_stays_a_probability() -> None:
    """The logarithm of zero is held off; the row still sums to one."""
    out = VectorScaling.identity().apply(np.array([[1.0, 0.0, 0.0]]))
    assert np.isfinite(out).all()
    assert abs(out.sum() - 1.0) < 1e-12


def test_softmax_of_huge_scores_does_not_overflow() -> None:
    """The largest score is taken off first."""
    assert softmax(np.array([[1e4, 0.0, -1e4]])).tolist() == [[1.0, 0.0, 0.0]]


def test_calibration_that_is_not_finite_is_refused() -> None:
    """NaN in a calibration would silence the model without a word."""
    with pytest.raises(PolicyError, match="finite"):
        VectorScaling(matrix=np.full((3, 3), np.nan), bias=np.zeros(3))


def test_reference_counts_shares_range_and_missing_values() -> None:
    """Ties, a missing share and a column never seen are told apart."""
    rng = np.random.default_rng(2)
    X = np.column_stack([rng.normal(size=1000), np.repeat([0.0, 1.0], 500), np.full(1000, np.nan)]).astype(np.float32)
    X[:100, 0] = np.nan
    found = reference_distributions(X, rng.dirichlet([1, 1, 1], 300))
    assert found.feature_missing.tolist() == [pytest.approx(0.1), 0.0, 1.0]
    assert np.allclose(found.feature_shares[0], 0.1, atol=0.01)
    assert found.feature_shares[1].max() == 0.5
    assert found.feature_shares[2].sum() == 0.0
    assert (found.feature_low[0], found.feature_high[0]) == (np.nanmin(X[:, 0]), np.nanmax(X[:, 0]))
    assert np.isnan(found.feature_low[2])
    assert found.probability_edges.shape == (3, 11)


def test_values_outside_the_reference_fall_into_the_outer_bins() -> None:
    """Nothing is lost: shares sum to one."""
    edges = np.linspace(0.0, 1.0, 11)
    shares = bin_shares(np.array([-5.0, 9.0, 0.55, np.nan]), edges)
    assert shares[0] == shares[9] == shares[5] == pytest.approx(1 / 3)


def test_reference_of_nothing_is_refused() -> None:
    """Drift against an empty reference would always be zero."""
    with pytest.raises(BundleError, match="neither empty"):
        reference_distributions(np.zeros((0, 3), dtype=np.float32), np.zeros((0, 3)))


def test_canonical_json_refuses_what_json_does_not_have() -> None:
    """NaN would make two equal values unequal."""
    with pytest.raises(RegistryError, match="JSON"):
        canonical_json({"a": float("nan")})
    with pytest.raises(ValueError, match="NaN"):
        parse_json('{"a": NaN}')


def test_a_card_cannot_promote_against_its_gates() -> None:
    """One failed gate, or none at all, and the verdict must be refuse."""
    with pytest.raises(CardError, match="skill did not pass"):
        card(gates=(gate(passed=False),))
    with pytest.raises(CardError, match="nothing was tested"):
        card(gates=())
    assert card(gates=(gate(passed=False),), verdict="refuse").verdict == "refuse"


def test_a_card_needs_a_reason() -> None:
    """A decision nobody can explain is no decision."""
    with pytest.raises(CardError, match="reason"):
        card(reason="")


def test_the_content_hash_covers_every_field() -> None:
    """Changing any field changes the hash."""
    changes = [
        {"model_name": "n"},
        {"bundle_hash": "c"},
        {"champion_hash": "x"},
        {"verdict": "refuse"},
        {"reason": "because"},
        {"gates": (gate(), gate())},
        {"evidence": {"rows": 101, "share": 1.0}},
    ]
    hashes = {card().content_hash, *(card(**one).content_hash for one in changes)}
    assert len(hashes) == len(changes) + 1
