"""The stored trades and predictions are the evaluation."""

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from learning.stored_evaluation import recomputed_scores, write_evaluation
from learning.training import train
from market.timeframe import Timeframe
from tests.learning.planted import CONTRACT, FIRST, SPEC, planted_panel, tiny_config

SYMBOLS = ("SYNAUSDT", "SYNBUSDT", "SYNCUSDT")
FIVE = Timeframe.parse("5m")


@pytest.fixture(scope="module")
def result():
    panel = planted_panel(edge=1.0)
    gone = (panel.bar_index % 40 == 0)[:, None]  # some trades never end, as where funding is unknown
    holed = replace(
        panel,
        exit_index=np.where(gone, -1, panel.exit_index),
        barrier=np.where(gone, 0, panel.barrier).astype(np.int8),
        net=np.where(gone, np.nan, panel.net),
        gross=np.where(gone, np.nan, panel.gross),
        funding=np.where(gone, np.nan, panel.funding),
    )
    return train(holed, CONTRACT, SPEC, tiny_config(), train_end_index=FIRST + 2800)


@pytest.fixture(scope="module")
def files(result, tmp_path_factory):
    return write_evaluation(result, tmp_path_factory.mktemp("stored"), symbols=SYMBOLS, timeframe=FIVE)


def test_scores_from_the_two_files_alone_equal_those_that_were_stored(result, files):
    """To the last bit, for every strategy that forecasts or trades; unresolved trades included."""
    stored = json.loads(json.dumps(result.evaluation["strategies"]))
    stored.pop("buy_and_hold")
    found = recomputed_scores(*files)
    assert found == stored
    assert set(found) == {"ensemble", "lightgbm", "xgboost", "logistic", "climatology", "primary_rule", "no_trade"}
    assert found["primary_rule"]["unresolved"] > 0
    assert found["ensemble"]["trades"] > 20


def test_a_changed_trade_or_probability_changes_the_scores(result, files, tmp_path):
    """The equality above is not that of constants."""
    found = recomputed_scores(*files)
    trades = pq.read_table(files[0])
    kept = trades.slice(1).replace_schema_metadata(trades.schema.metadata)
    pq.write_table(kept, tmp_path / "trades.parquet")
    assert recomputed_scores(tmp_path / "trades.parquet", files[1])["ensemble"] != found["ensemble"]
    predictions = pq.read_table(files[1])
    pq.write_table(predictions.slice(1), tmp_path / "predictions.parquet")
    other = recomputed_scores(files[0], tmp_path / "predictions.parquet")
    assert other["climatology"]["log_loss"] != found["climatology"]["log_loss"]


def test_a_trade_reads_as_a_trade(result, files):
    """Net is gross minus costs minus funding; entry is one bar after the decision; a trade without an end has none."""
    table = pq.read_table(files[0]).to_pandas()
    assert set(table["strategy"]) == {"ensemble", "lightgbm", "xgboost", "logistic", "primary_rule"}
    assert (table["entry_ms"] - table["bar_ms"] == FIVE.ms).all()
    ended = table[table["exit_ms"].notna()]
    np.testing.assert_allclose(ended["net"], ended["gross"] - ended["costs"] - ended["funding"], atol=1e-15)
    assert (ended["costs"] > 0.0).all()
    assert set(ended["barrier"]) == {"profit", "stop", "time"}
    rest = table[table["exit_ms"].isna()]
    assert len(rest) > 0
    assert set(rest["barrier"]) == {"unresolved"}
    assert rest["net"].isna().all()
    assert table[table["strategy"] == "primary_rule"]["confidence"].isna().all()
    assert table[table["strategy"] == "ensemble"]["confidence"].between(0.3, 1.0).all()


def test_a_prediction_is_one_row_with_every_models_probabilities(result, files):
    """Rows, folds and labels as scored; the three classes of every forecast sum to one; zstd."""
    table = pq.read_table(files[1]).to_pandas()
    assert len(table) == result.evaluation["scored"]["rows"]
    assert set(table["fold"]) == {2, 3}
    for name in ("ensemble", "climatology", "lightgbm", "xgboost", "logistic"):
        p = table[[f"{name}_{word}" for word in ("hold", "buy", "sell")]].to_numpy()
        np.testing.assert_allclose(p.sum(axis=1), 1.0)
    np.testing.assert_array_equal(table["label"], result.scored.y)
    assert pq.ParquetFile(files[1]).metadata.row_group(0).column(0).compression == "ZSTD"


def test_the_same_evaluation_gives_the_same_bytes(result, files, tmp_path):
    """Nothing of the clock or of this process is in the files."""
    again = write_evaluation(result, tmp_path, symbols=SYMBOLS, timeframe=FIVE)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in files]
