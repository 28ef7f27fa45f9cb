"""Writing bars: whole, once, every value as it was given."""

import math
from dataclasses import fields, replace

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from infra.tables import feature_rows, heartbeats, paper_trades, position_checks, predictions, signals
from serving.records import BarRecord, FeatureRow, PaperTrade, PositionCheck, PredictionRow, SignalRow
from serving.store import write_bars

FEATURES = FeatureRow(
    contract="c", symbol="BTCUSDT", bar_ms=300_000, features=b"\x00\xff\x80", reason=0, known_at_ms=660_000
)
PREDICTION = PredictionRow(
    model_name="m",
    bundle_hash="b",
    symbol="BTCUSDT",
    bar_ms=300_000,
    role="champion",
    run="r",
    contract="c",
    model_probabilities=(0.1 + 0.2, 1 / 3, 1e-17, 0.25, 0.5, 0.25),
    probabilities=(1 / 3, 1 / 7, 11 / 21),
    votes=(2, -1),
    action=2,
    confidence=math.nan,
    size=0.1 + 0.2,
    steps='{"step":"TAKEN","share":0.6}',
    output_hash="h",
)
SIGNAL = SignalRow(
    model_name="m",
    symbol="BTCUSDT",
    bar_ms=300_000,
    state="FLAT",
    reason="gap",
    action=0,
    confidence=None,
    size=None,
    bundle_hash=None,
    version=None,
    run="r",
    steps='{"cause":"gap"}',
)
TRADE = PaperTrade(
    bundle_hash="b",
    symbol="BTCUSDT",
    bar_ms=300_000,
    contract="c",
    label_spec="l",
    side=-1,
    size=0.01,
    book_size=0.02,
    correlation=1 / 3,
    atr_fraction=0.01,
    vol_ratio=1.5,
    entry_ms=600_000,
)
CHECK = PositionCheck(
    bundle_hash="b",
    symbol="BTCUSDT",
    bar_ms=0,
    at_ms=300_000,
    verdict="opposes",
    probabilities=(1 / 3, 1 / 7, 11 / 21),
    gross=-1 / 3,
)
BLIND = replace(CHECK, symbol="ETHUSDT", verdict="unknown", probabilities=None, gross=None)
BAR = BarRecord(
    bar_ms=300_000,
    features=(FEATURES,),
    predictions=(PREDICTION,),
    signals=(SIGNAL,),
    opened=(TRADE,),
    checks=(CHECK, BLIND),
    detail={"bar_ms": 300_000},
)


def stored(engine, table):
    with engine.connect() as connection:
        return connection.execute(table.select()).mappings().all()


def same(found, given) -> None:
    for name in (field.name for field in fields(given)):
        want, have = getattr(given, name), found[name]
        if name == "steps":
            continue
        if isinstance(want, float) and math.isnan(want):
            assert math.isnan(have), name
        else:
            assert (tuple(have) if isinstance(want, tuple) else have) == want, name


@pytest.mark.parametrize(
    ("table", "given"),
    [
        (feature_rows, FEATURES),
        (predictions, PREDICTION),
        (signals, SIGNAL),
        (paper_trades, TRADE),
        (position_checks, CHECK),
        (position_checks, BLIND),
    ],
)
def test_every_value_comes_back_bit_for_bit(engine, table, given):
    """Doubles, bytes, arrays, NaN and missing values survive the way through text and arrays."""
    write_bars(engine, [BAR])
    rows = [row for row in stored(engine, table) if row["symbol"] == given.symbol]
    assert len(rows) == 1
    same(rows[0], given)


def test_json_is_stored_as_json(engine):
    """Steps can be queried."""
    write_bars(engine, [BAR])
    assert stored(engine, predictions)[0]["steps"] == {"step": "TAKEN", "share": 0.6}


def test_writing_twice_keeps_the_first(engine):
    """What was recorded is never overwritten, whatever a second writer says."""
    write_bars(engine, [BAR])
    write_bars(
        engine,
        [
            replace(
                BAR,
                features=(replace(FEATURES, features=b"other"),),
                predictions=(replace(PREDICTION, action=1),),
                signals=(replace(SIGNAL, reason="ok", run="other"),),
                opened=(replace(TRADE, side=1),),
            )
        ],
    )
    assert [row["features"] for row in stored(engine, feature_rows)] == [FEATURES.features]
    assert [row["action"] for row in stored(engine, predictions)] == [2]
    assert [(row["reason"], row["run"]) for row in stored(engine, signals)] == [("gap", "r")]
    assert [row["side"] for row in stored(engine, paper_trades)] == [-1]


def test_a_bar_is_written_whole_or_not_at_all(engine):
    """The last statement fails, and nothing of the bar is there."""
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE paper_trades ADD CONSTRAINT t CHECK (size < 0.01) NOT VALID"))
    try:
        with pytest.raises(SQLAlchemyError):
            write_bars(engine, [BAR])
        assert [len(stored(engine, table)) for table in (feature_rows, predictions, signals)] == [0, 0, 0]
    finally:
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE paper_trades DROP CONSTRAINT t"))


@pytest.mark.parametrize("lacking", ["features", "predictions"])
def test_a_trade_without_what_caused_it_is_refused(engine, lacking):
    """The database itself asks for the features and the prediction behind every paper trade, and nothing is kept."""
    with pytest.raises(SQLAlchemyError, match="foreign key"):
        write_bars(engine, [replace(BAR, **{lacking: ()})])
    assert [len(stored(engine, table)) for table in (feature_rows, predictions, signals, paper_trades)] == [0] * 4


def test_the_sign_of_life_is_part_of_the_bar(engine):
    """The newest bar's detail is the component's heartbeat; a replay writes none."""
    write_bars(engine, [BAR])
    assert stored(engine, heartbeats) == []
    write_bars(engine, [BAR, replace(BAR, bar_ms=600_000, detail={"bar_ms": 600_000})], heartbeat="worker")
    assert [(row["component"], row["detail"]) for row in stored(engine, heartbeats)] == [
        ("worker", {"bar_ms": 600_000})
    ]
