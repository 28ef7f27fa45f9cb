"""Training on real five-minute bars with real funding: everything fits together, and nothing is claimed."""

import numpy as np
import pyarrow.parquet as pq

from features.batch import compute_features
from features.contract import FeatureSpec, running_contract
from features.inputs import assemble_inputs
from learning.panel import SymbolHistory, build_panel
from learning.training import train
from market.barriers import BarrierSpec, price_path
from market.candles import Candles, check_candles
from market.funding import FundingStamps, funding_on_grid
from market.grid import to_grid
from market.timeframe import Timeframe
from tests.learning.planted import tiny_config
from tests.real_data import real_data_dir

FIVE = Timeframe.parse("5m")
END = int(np.datetime64("2025-09-30", "ms").astype(np.int64))


def columns(path):
    """Columns of a parquet file by name; times as int64 milliseconds."""
    found = {name: column.to_numpy() for name, column in zip(*_columns(pq.read_table(path)), strict=True)}
    found["timestamp"] = found["timestamp"].astype("datetime64[ms]").astype(np.int64)
    return found


def _columns(table):
    return table.column_names, table.columns


def loaded(symbol, days):
    """Bars and funding of one market up to ``END``."""
    folder = real_data_dir() / "marketlab_um"
    bars = columns(folder / "candles_5m" / f"{symbol}.parquet")
    prices = {name: bars[name].astype(float) for name in ("open", "high", "low", "close", "volume")}
    every = Candles(symbol=symbol, timeframe=FIVE, open_time=bars["timestamp"], **prices)
    candles = every.between(END - days * 86_400_000, END)
    check_candles(candles)
    paid = columns(folder / "funding" / f"{symbol}.parquet")
    stamps = FundingStamps(symbol=symbol, time=paid["timestamp"], rate=paid["funding_rate"])
    grid = to_grid(candles)
    return grid, funding_on_grid(stamps, timeframe=FIVE, first_index=grid.first_index, n=len(grid))


def test_two_real_markets_train_end_to_end():
    """Forecasts stay near the class shares, every decision is accounted for, and trades paid real costs."""
    contract = running_contract(FeatureSpec(timeframe=FIVE, reference_symbol="BTCUSDT"))
    reference, _ = loaded("BTCUSDT", 26)
    histories = []
    for symbol in ("ETHUSDT", "SOLUSDT"):
        grid, funding = loaded(symbol, 26)
        inputs = assemble_inputs(grid, reference=reference, funding=funding, open_interest=None)
        block = compute_features(inputs, contract)
        histories.append(SymbolHistory(symbol=symbol, features=block, path=price_path(grid, funding)))
    spec = BarrierSpec(horizon_bars=12, profit=3.0, stop=3.0)
    panel = build_panel(histories, contract=contract, spec=spec)
    result = train(panel, contract, spec, tiny_config(min_train_bars=8 * 288), train_end_index=FIVE.index_of(END) - 288)
    scores = result.evaluation["strategies"]
    assert abs(scores["ensemble"]["log_loss"] - scores["climatology"]["log_loss"]) < 0.1
    assert sum(result.evaluation["decision_steps"].values()) == result.evaluation["scored"]["decisions"]
    assert scores["primary_rule"]["trades"] > 100
    assert scores["primary_rule"]["net_return"] < 0.0
    window = (panel.bar_index >= result.scored.bar_index.min()) & (panel.label_end < FIVE.index_of(END) - 288)
    assert result.scored.y.size == (window & (panel.y >= 0)).sum() > 4000
    assert result.evaluation["scored"]["effective_rows"] < result.scored.y.size / 3
