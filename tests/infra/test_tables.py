"""The tables keep what they promise: units in names, no silent nulls, one row per thing."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import BigInteger, DateTime, delete, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import IntegrityError

from infra import capital_tables, tables
from infra.tables import METADATA, predictions

MAY_BE_MISSING = {
    "training_runs": {"bundle_hash", "version", "evaluation", "finished_at"},
    "deployments": {"previous_hash", "card_id"},
    "decision_cards": {"champion_hash"},
    "signals": {"confidence", "size", "bundle_hash", "version"},
    "position_checks": {"probabilities", "gross"},
    "paper_trades": {"exit_ms", "settled_ms", "net", "gross", "funding", "barrier"},
    "outcomes": {"net_long", "net_short"},
    "parity_runs": {"first_mismatch"},
    "gaps": {"source", "asked_at", "healed_at"},
    "universe_members": {"rank", "turnover", "price", "age_days"},
    "trigger_checks": {"action"},
    "venues": {"clock_skew_ms", "checked_at", "answered_at", "closed_until", "why"},
}


def test_every_table_has_a_public_name_and_a_meaning():
    """The modules' names are the tables, and each says what it is for."""
    assert {*tables.__all__, *capital_tables.__all__} == {"METADATA", *METADATA.tables}
    assert all(table.comment for table in METADATA.tables.values())


def test_milliseconds_are_bigint_and_moments_have_a_zone():
    """A column's name tells its unit, and its type agrees."""
    for table in METADATA.tables.values():
        for column in table.columns:
            if column.name.endswith("_ms"):
                assert isinstance(column.type, BigInteger)
            if column.name.endswith("_at") or column.name == "at":
                assert isinstance(column.type, DateTime)
                assert column.type.timezone


def test_only_what_may_be_missing_is_nullable():
    """An absent value has a meaning wherever it is allowed; nowhere else is it allowed."""
    found = {name: {c.name for c in table.columns if c.nullable} for name, table in METADATA.tables.items()}
    assert {name: columns for name, columns in found.items() if columns} == MAY_BE_MISSING


@pytest.mark.integration
def test_a_bar_is_predicted_once_and_comes_back_bit_equal(engine):
    """The same bundle, symbol and bar is refused or skipped; float arrays survive exactly."""
    row = {
        "model_name": "m",
        "bundle_hash": "h",
        "symbol": "BTCUSDT",
        "bar_ms": 1_735_603_200_000,
        "role": "champion",
        "run": "r",
        "contract": "c",
        "model_probabilities": [0.1, 0.2, 0.7, 1 / 3, 1 / 3, 1 / 3],
        "probabilities": [0.1 + 0.2, 5e-324, 0.7],
        "votes": [0, 2],
        "action": 2,
        "confidence": 0.7,
        "size": 0.02,
        "steps": {"consensus": 1},
        "output_hash": "o",
        "decided_at": datetime(2026, 1, 1, tzinfo=UTC),
    }
    with engine.begin() as connection:
        connection.execute(insert(predictions).values(row))
        again = upsert(predictions).values(row).on_conflict_do_nothing().returning(predictions.c.id)
        assert connection.execute(again).all() == []
    with pytest.raises(IntegrityError, match="predictions_bundle_hash_symbol_bar_ms_key"), engine.begin() as connection:
        connection.execute(insert(predictions).values(row))
    with engine.begin() as connection:
        found = connection.execute(select(predictions)).one()._mapping
        connection.execute(delete(predictions))
    assert {name: found[name] for name in row} == row
