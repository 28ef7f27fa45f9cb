"""Sealed models as predictors."""

from dataclasses import replace

import numpy as np
import pytest

from registry.calibration import VectorScaling
from registry.errors import BundleError, PredictionError
from registry.native_formats import check_lightgbm_text, check_xgboost_ubj
from registry.predictors import ModelPart, Predictor, ensemble_mean, load_predictor, logistic_payload, predict_all
from registry.scaler import Scaler

KINDS = ["lightgbm", "xgboost", "logistic"]


@pytest.fixture(params=KINDS)
def part(request: pytest.FixtureRequest, model_parts: tuple[tuple[ModelPart, ...], Scaler]) -> ModelPart:
    return next(one for one in model_parts[0] if one.kind == request.param)


@pytest.fixture
def predictor(part: ModelPart, model_parts: tuple[tuple[ModelPart, ...], Scaler], rows: np.ndarray) -> Predictor:
    return load_predictor(part, model_parts[1], rows.shape[1])


def test_a_row_alone_gives_the_same_bits_as_in_a_batch(predictor: Predictor, rows: np.ndarray) -> None:
    """The worker's one bar equals the backtest's million, for odd sizes and offsets too."""
    together = predictor.predict(rows[:700])
    for size in (1, 2, 3, 5, 8, 13, 33):
        for at in range(0, 200, 7):
            assert np.array_equal(predictor.predict(rows[at : at + size]), together[at : at + size])


def test_outputs_are_probabilities(predictor: Predictor, rows: np.ndarray) -> None:
    """Finite float64, three columns, each row sums to one."""
    p = predictor.predict(rows)
    assert p.shape == (rows.shape[0], 3)
    assert p.dtype == np.float64
    assert np.isfinite(p).all()
    assert np.abs(p.sum(axis=1) - 1.0).max() < 1e-12


def test_predictions_are_the_librarys_own_calibrated(
    part: ModelPart, predictor: Predictor, rows: np.ndarray, model_parts: tuple[tuple[ModelPart, ...], Scaler]
) -> None:
    """An independent road to the same number: the library called directly, calibration as a plain matrix."""
    import json

    import lightgbm as lgb
    import xgboost as xgb

    if part.kind == "lightgbm":
        raw = lgb.Booster(model_str=part.payload.decode()).predict(rows.astype(np.float64))
    elif part.kind == "xgboost":
        raw = xgb.Booster(model_file=bytearray(part.payload)).predict(xgb.DMatrix(rows))
    else:
        read = json.loads(part.payload)
        scores = model_parts[1].transform(rows) @ np.array(read["coef"]).T + np.array(read["intercept"])
        raw = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    scores = np.log(raw.astype(np.float64)) @ part.calibration.matrix + part.calibration.bias
    expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    assert np.abs(predictor.predict(rows) - expected).max() < 2e-7


def test_trees_read_a_missing_value_and_the_linear_model_refuses_it(predictor: Predictor, rows: np.ndarray) -> None:
    """A missing value is never replaced."""
    X = rows[:4].copy()
    X[2] = np.nan
    if predictor.kind == "logistic":
        with pytest.raises(PredictionError, match="not finite"):
            predictor.predict(X)
    else:
        assert np.isfinite(predictor.predict(X)).all()


@pytest.mark.parametrize("change", ["width", "dtype", "ndim"])
def test_features_of_another_shape_or_type_are_refused(predictor: Predictor, rows: np.ndarray, change: str) -> None:
    """Five features offered to a model that wants twelve must never predict."""
    X = {"width": rows[:, :-1], "dtype": rows.astype(np.float64), "ndim": rows[0]}[change]
    with pytest.raises(PredictionError, match="contract asks"):
        predictor.predict(X)


def test_no_rows_give_no_rows(predictor: Predictor, rows: np.ndarray) -> None:
    """An empty bar is an empty answer."""
    assert predictor.predict(rows[:0]).shape == (0, 3)


@pytest.mark.parametrize("cut", [0, 1, 100, 0.3, 0.9, -60, -200])
def test_a_cut_model_is_refused_and_ends_no_process(
    part: ModelPart, model_parts: tuple[tuple[ModelPart, ...], Scaler], rows: np.ndarray, cut: float
) -> None:
    """The libraries' own readers crash on some of these; ours says which model cannot be read."""
    end = int(cut * len(part.payload)) if isinstance(cut, float) else cut
    damaged = ModelPart(name=part.name, kind=part.kind, payload=part.payload[:end])
    with pytest.raises(BundleError, match=f"model {part.name} cannot be read"):
        load_predictor(damaged, model_parts[1], rows.shape[1])


def test_every_cut_of_an_xgboost_file_is_seen(model_parts: tuple[tuple[ModelPart, ...], Scaler]) -> None:
    """Whatever length remains, the walk notices."""
    payload = next(one.payload for one in model_parts[0] if one.kind == "xgboost")
    check_xgboost_ubj(payload)
    for end in range(0, len(payload), 97):
        with pytest.raises(ValueError, match="UBJ"):
            check_xgboost_ubj(payload[:end])
    with pytest.raises(ValueError, match="behind"):
        check_xgboost_ubj(payload + b"x")


def test_every_cut_inside_the_trees_of_a_lightgbm_file_is_seen(
    model_parts: tuple[tuple[ModelPart, ...], Scaler],
) -> None:
    """Also one character less in the middle."""
    payload = next(one.payload for one in model_parts[0] if one.kind == "lightgbm")
    check_lightgbm_text(payload)
    middle = payload.find(b"Tree=3")
    with pytest.raises(ValueError, match="not as long"):
        check_lightgbm_text(payload[:middle] + payload[middle + 1 :])
    for end in range(0, payload.find(b"end of parameters"), 211):
        with pytest.raises(ValueError, match="not whole"):
            check_lightgbm_text(payload[:end])


def test_a_booster_of_another_width_is_refused(
    part: ModelPart, model_parts: tuple[tuple[ModelPart, ...], Scaler], rows: np.ndarray
) -> None:
    """The width is asked of the booster, not believed from a file beside it."""
    width = rows.shape[1] + 1 if part.kind != "logistic" else 1
    with pytest.raises(BundleError, match="the contract has"):
        load_predictor(part, model_parts[1], width)


def test_a_booster_of_two_classes_is_refused(rows: np.ndarray) -> None:
    """A binary model has no column for SELL."""
    import lightgbm as lgb
    import xgboost as xgb

    y = (rows[:, 0] > np.median(rows[:, 0])).astype(int)
    scaler = Scaler(columns=np.zeros(0, dtype=np.int64), mean=np.zeros(0), scale=np.zeros(0))
    tree = lgb.train({"objective": "binary", "verbosity": -1, "num_threads": 1}, lgb.Dataset(rows, y), 2)
    boosted = xgb.train({"objective": "binary:logistic", "nthread": 1}, xgb.DMatrix(rows, y), 2)
    for kind, payload in (("lightgbm", tree.model_to_string().encode()), ("xgboost", bytes(boosted.save_raw("ubj")))):
        with pytest.raises(BundleError, match=r"class|shape"):
            load_predictor(ModelPart(name="two", kind=kind, payload=payload), scaler, rows.shape[1])


def test_a_model_that_reads_more_bars_than_it_would_be_given_is_refused(
    part: ModelPart, model_parts: tuple[tuple[ModelPart, ...], Scaler], rows: np.ndarray
) -> None:
    """A sequence model's window is declared with it; a predictor that gives it one bar must not load it."""
    with pytest.raises(BundleError, match=f"reads 48 bars at once, a {part.kind} predictor here is given 1"):
        load_predictor(replace(part, input_window_bars=48), model_parts[1], rows.shape[1])


def test_class_weights_are_undone_before_calibration(
    part: ModelPart, model_parts: tuple[tuple[ModelPart, ...], Scaler], rows: np.ndarray
) -> None:
    """What the model says is divided by them and brought back to a sum of one: Bayes, row by row."""
    plain = replace(part, calibration=VectorScaling.identity())
    said = load_predictor(plain, model_parts[1], rows.shape[1]).predict(rows[:40])
    found = load_predictor(replace(plain, class_weight=(0.5, 2.0, 4.0)), model_parts[1], rows.shape[1]).predict(
        rows[:40]
    )
    undone = said / np.array([0.5, 2.0, 4.0])
    assert np.abs(found - undone / undone.sum(axis=1, keepdims=True)).max() < 1e-12
    alone = load_predictor(replace(part, class_weight=(0.5, 2.0, 4.0)), model_parts[1], rows.shape[1])
    assert np.array_equal(alone.predict(rows[7:8])[0], alone.predict(rows[:40])[7])


@pytest.mark.parametrize("wrong", [(1.0, 1.0), (1.0, 0.0, 1.0), (1.0, float("nan"), 1.0), (1.0, -1.0, 1.0)])
def test_impossible_class_weights_are_refused(
    part: ModelPart, model_parts: tuple[tuple[ModelPart, ...], Scaler], rows: np.ndarray, wrong: tuple[float, ...]
) -> None:
    """Dividing by them would give no probability."""
    with pytest.raises(BundleError, match="three positive numbers"):
        load_predictor(replace(part, class_weight=wrong), model_parts[1], rows.shape[1])


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"{}", "no logistic model"),
        (b"[1]", "no logistic model"),
        (b'{"coef": NaN, "intercept": [0, 0, 0]}', "NaN"),
        (logistic_payload(coef=np.zeros((3, 2)), intercept=np.zeros(3)), "scaler has 1 columns"),
        (b'{"coef": [[1e999], [0], [0]], "intercept": [0, 0, 0]}', "not finite"),
    ],
)
def test_a_logistic_model_that_fits_nothing_is_refused(payload: bytes, reason: str) -> None:
    """Each message says what does not fit."""
    scaler = Scaler(columns=np.array([0]), mean=np.zeros(1), scale=np.ones(1))
    with pytest.raises(BundleError, match=reason):
        load_predictor(ModelPart(name="line", kind="logistic", payload=payload), scaler, 3)


def test_the_ensemble_is_the_weighted_mean(model_parts: tuple[tuple[ModelPart, ...], Scaler], rows: np.ndarray) -> None:
    """Worked out with numpy's average."""
    predictors = [load_predictor(part, model_parts[1], rows.shape[1]) for part in model_parts[0]]
    each = predict_all(predictors, rows[:50])
    weights = np.array([0.5, 0.3, 0.2])
    assert each.shape == (3, 50, 3)
    assert np.abs(ensemble_mean(each, weights) - np.average(each, axis=0, weights=weights)).max() < 1e-12
