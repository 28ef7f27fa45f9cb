"""Which files does an evaluation rest on, and what do they say?

Two Parquet files (zstd): ``trades.parquet``, one row a trade of every strategy, and ``predictions.parquet``, one row an
out-of-fold row that has a class. Scores can be computed from them alone, and are equal to the last bit to those that
were stored beside them, because both go through ``learning.evaluation.strategy_scores``. Equal evaluations give equal
bytes under one version of pyarrow. Of a trade, net is gross minus costs (fees and slippage) minus funding, fractions of
its notional; times ``size`` of equity. Buy and hold is a price curve, not trades, and is in neither.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from learning.backtest import TradeTable
from learning.evaluation import ScoredRows, Scores, strategy_scores
from learning.judged import JudgedTrades
from learning.regimes import TREND, VOLATILITY, Regimes
from learning.training import TrainingResult
from market.barriers import Barrier
from market.timeframe import Timeframe
from registry.policy import Action

__all__ = ["PREDICTIONS", "TRADES", "recomputed_scores", "write_evaluation"]

TRADES, PREDICTIONS = "trades.parquet", "predictions.parquet"
_KEY = b"lockstep"
_ENDS = "exit_ms"  # null while unresolved
_BARRIERS = tuple(Barrier(value).name.lower() for value in range(len(Barrier)))
_CLASSES = tuple(action.name.lower() for action in Action)


def write_evaluation(
    result: TrainingResult, directory: Path, *, symbols: Sequence[str], timeframe: Timeframe
) -> tuple[Path, Path]:
    """Write both files into ``directory``; returns their paths, trades first."""
    window = {
        "first_index": int(result.equity_index[0]),
        "end_index": int(result.equity_index[-1]) + 1,
        "timeframe_ms": timeframe.ms,
        "symbols": list(symbols),
        "models": list(result.scored.model_names),
        "strategies": list(result.trades_by),
    }
    trades = _joined([_trades(name, one, symbols, timeframe) for name, one in result.trades_by.items()])
    return (
        _write(directory / TRADES, trades, window),
        _write(directory / PREDICTIONS, _predictions(result.scored, symbols, timeframe), window),
    )


def recomputed_scores(trades: Path, predictions: Path) -> dict[str, Scores]:
    """Scores of every strategy that trades or forecasts, from the two files and nothing else."""
    columns, window = _read(predictions)
    traded, _ = _read(trades)
    tables = {name: _table(traded, traded["strategy"] == name, window) for name in window["strategies"]}
    return strategy_scores(
        _rows(columns, window),
        tables,
        first_index=window["first_index"],
        end_index=window["end_index"],
        bars_per_year=Timeframe(window["timeframe_ms"]).bars_per_year,
    )


def _trades(name: str, judged: JudgedTrades, symbols: Sequence[str], timeframe: Timeframe) -> dict[str, Any]:
    table, n = judged.table, len(judged.table)
    done = table.resolved
    return {
        "strategy": np.full(n, name),
        "symbol": np.array(symbols)[table.symbol_id],
        "bar_ms": table.bar_index * timeframe.ms,
        "side": table.side,
        "size": table.size,
        "entry_ms": table.entry_index * timeframe.ms,
        "exit_ms": np.where(done, table.exit_index * timeframe.ms, -1),
        "barrier": np.array(_BARRIERS)[table.barrier],
        "gross": table.gross,
        "funding": table.funding,
        "costs": table.gross - table.funding - table.net,
        "net": table.net,
        "confidence": table.confidence,
        "fold": judged.fold + 1,
        "volatility_regime": _named(VOLATILITY, judged.regimes.volatility),
        "trend_regime": _named(TREND, judged.regimes.trend),
    }


def _predictions(rows: ScoredRows, symbols: Sequence[str], timeframe: Timeframe) -> dict[str, Any]:
    columns: dict[str, Any] = {
        "symbol": np.array(symbols)[rows.symbol_id],
        "bar_ms": rows.bar_index * timeframe.ms,
        "label_end_ms": rows.label_end * timeframe.ms,
        "fold": rows.fold + 1,
        "label": rows.y,
        "volatility_regime": _named(VOLATILITY, rows.regimes.volatility),
        "trend_regime": _named(TREND, rows.regimes.trend),
    }
    forecasts = {"ensemble": rows.ensemble, "climatology": rows.climatology}
    forecasts.update(zip(rows.model_names, rows.models, strict=True))
    for name, p in forecasts.items():
        columns |= {f"{name}_{word}": p[:, c] for c, word in enumerate(_CLASSES)}
    return columns


def _named(names: Sequence[str], codes: Any) -> Any:
    return np.array([*names, "unknown"])[codes]


def _joined(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _write(path: Path, columns: Mapping[str, Any], window: Mapping[str, Any]) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = {}
    for name, values in columns.items():
        text = values.dtype.kind == "U"
        if name == _ENDS:
            array = pa.array(values, mask=values < 0)
        else:
            array = pa.array(values.tolist() if text else values, from_pandas=not text)  # NaN is null: not known
        arrays[name] = array.dictionary_encode() if text else array
    table = pa.table(arrays).replace_schema_metadata({_KEY: json.dumps(window, sort_keys=True)})
    floats = [name for name, values in columns.items() if values.dtype.kind == "f"]
    encoded = [name for name in columns if name not in floats]
    pq.write_table(
        table, path, compression="zstd", use_dictionary=encoded, use_byte_stream_split=floats, write_statistics=False
    )
    return path


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    window = json.loads(table.schema.metadata[_KEY])
    columns = {name: table[name] for name in table.column_names}
    if _ENDS in columns:
        columns[_ENDS] = columns[_ENDS].fill_null(-1)
    return {name: column.to_numpy() for name, column in columns.items()}, window


def _rows(columns: Mapping[str, Any], window: Mapping[str, Any]) -> ScoredRows:
    def forecast(name: str) -> Any:
        return np.stack([columns[f"{name}_{word}"] for word in _CLASSES], axis=1)

    return ScoredRows(
        model_names=tuple(window["models"]),
        symbol_id=_codes(window["symbols"], columns["symbol"]).astype(np.int32),
        bar_index=columns["bar_ms"] // window["timeframe_ms"],
        label_end=columns["label_end_ms"] // window["timeframe_ms"],
        y=columns["label"],
        fold=columns["fold"] - 1,
        ensemble=forecast("ensemble"),
        climatology=forecast("climatology"),
        models=np.stack([forecast(name) for name in window["models"]]),
        regimes=_regimes(columns),
    )


def _table(columns: Mapping[str, Any], mine: Any, window: Mapping[str, Any]) -> TradeTable:
    at = {name: values[mine] for name, values in columns.items()}
    exits, ms = at["exit_ms"], window["timeframe_ms"]
    return TradeTable(
        symbol_id=_codes(window["symbols"], at["symbol"]).astype(np.int32),
        bar_index=at["bar_ms"] // ms,
        side=at["side"],
        size=at["size"],
        entry_index=at["entry_ms"] // ms,
        exit_index=np.where(exits >= 0, exits // ms, -1),
        net=at["net"],
        gross=at["gross"],
        funding=at["funding"],
        barrier=_codes(_BARRIERS, at["barrier"]).astype(np.int8),
        confidence=at["confidence"],
    )


def _regimes(columns: Mapping[str, Any]) -> Regimes:
    volatility, trend = (
        _codes([*names, "unknown"], columns[f"{kind}_regime"]).astype(np.int8)
        for kind, names in (("volatility", VOLATILITY), ("trend", TREND))
    )
    return Regimes(
        volatility=np.where(volatility == len(VOLATILITY), -1, volatility),
        trend=np.where(trend == len(TREND), -1, trend),
    )


def _codes(names: Sequence[str], found: Any) -> Any:
    number = {name: code for code, name in enumerate(names)}
    return np.fromiter((number[name] for name in found), dtype=np.int64, count=len(found))
