"""The parity audit finds what differs and nothing else."""

import numpy as np
import pytest
from sqlalchemy import select

from infra.tables import feature_rows, parity_runs
from market.candles import Candles
from serving.lineup import Lineup, ServePlan
from serving.parity import Mismatch, parity_audit, record_parity
from serving.worker import replay
from tests.fakes.small_market import SYMBOLS, TIMEFRAME, small_market

START = 10_046 * 576 - 20
END = START + 40


def serve(engine, market):
    plan = ServePlan(model_name="m", symbols=SYMBOLS, contract=market.contract, run="r")
    replay(engine, market.lake, Lineup(), plan=plan, start_index=START, end_index=END)


def audit(engine, market, **options):
    return parity_audit(engine, market.lake, contract=market.contract, first_index=START, last_index=END - 1, **options)


@pytest.fixture
def served(engine, market):
    """Forty bars across a block boundary, served without any bundle."""
    serve(engine, market)
    return engine


def test_everything_served_is_recomputed_identically(served, market):
    """100 %, and the run is kept."""
    result = audit(served, market)
    assert (result.rows, result.identical, result.first_mismatch) == (120, 120, None)
    record_parity(served, result, model_name="m")
    with served.connect() as connection:
        assert connection.scalar(select(parity_runs.c.identical)) == 120


def test_one_flipped_bit_is_found_and_named(served, market):
    """Symbol, bar, feature and both values of the first difference."""
    bar_ms = TIMEFRAME.open_time(START + 25)
    where = (feature_rows.c.symbol == SYMBOLS[1]) & (feature_rows.c.bar_ms == bar_ms)
    column = market.contract.index_of("rsi")
    with served.begin() as connection:
        data = bytearray(connection.scalar(select(feature_rows.c.features).where(where)))
        truth = np.frombuffer(bytes(data), dtype="<f4")[column]
        data[4 * column] ^= 1
        connection.execute(feature_rows.update().where(where).values(features=bytes(data)))
    result = audit(served, market)
    assert (result.rows, result.identical) == (120, 119)
    stored = float(np.frombuffer(bytes(data), dtype="<f4")[column])
    assert result.first_mismatch == Mismatch(
        symbol=SYMBOLS[1], bar_ms=bar_ms, feature="rsi", stored=stored, recomputed=float(truth)
    )
    record_parity(served, result, model_name="m")
    with served.connect() as connection:
        assert connection.scalar(select(parity_runs.c.first_mismatch))["feature"] == "rsi"


def test_a_changed_reason_is_a_mismatch(served, market):
    """Equal bytes with another validity are not the same row."""
    where = (feature_rows.c.symbol == SYMBOLS[0]) & (feature_rows.c.bar_ms == TIMEFRAME.open_time(START))
    with served.begin() as connection:
        connection.execute(feature_rows.update().where(where).values(reason=4))
    found = audit(served, market).first_mismatch
    assert found is not None
    assert (found.feature, found.stored, found.recomputed) == ("(reason)", 4, 0)


def test_a_revision_after_the_decision_is_no_mismatch_and_before_it_is(engine, tmp_path):
    """Rows are judged by what was known then; judged by today's lake, the revised ones differ."""
    market = small_market(tmp_path / "lake")
    serve(engine, market)
    old = market.lake.candles(
        SYMBOLS[2], TIMEFRAME, start_ms=TIMEFRAME.open_time(START + 22), end_ms=TIMEFRAME.open_time(START + 23)
    )
    columns = {name: getattr(old, name) * 1.01 for name in ("open", "high", "low", "close")}
    new = Candles(symbol=SYMBOLS[2], timeframe=TIMEFRAME, open_time=old.open_time, volume=old.volume, **columns)
    known_at_ms = TIMEFRAME.close_time(START + 30)
    market.lake.append_candles(new, source="synthetic", known_at_ms=known_at_ms)
    result = audit(engine, market)
    # Bars 30 to 39 were decided after the revision, but served from a lake that did not hold it yet.
    assert result.rows - result.identical == 10
    assert result.first_mismatch is not None
    assert result.first_mismatch.bar_ms == TIMEFRAME.open_time(START + 30)
    today = audit(engine, market, as_of_ms=TIMEFRAME.close_time(END))
    assert today.rows - today.identical == 18


def test_rows_the_lake_lost_are_mismatches(served, market, tmp_path):
    """A lake without the symbol confirms nothing."""
    empty = small_market(tmp_path / "young", days=1)
    result = parity_audit(served, empty.lake, contract=market.contract, first_index=START, last_index=END - 1)
    assert result.identical == 0
