"""Which facts does Lockstep keep in PostgreSQL, and in which columns?

SQLAlchemy Core tables, one ``MetaData``. Every ``*_ms`` column is a bigint of UTC milliseconds (a bar is named by its
open time); every time of day is ``timestamptz``. A column is NOT NULL unless its absence means something.
JSON columns hold strict JSON: NaN and infinity are refused (``database.py``), a missing number is ``null``.

A change here needs a migration: a test compares these tables with a migrated database.

    >>> [column.name for column in outcomes.primary_key]
    ['label_spec', 'symbol', 'bar_ms']
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, INT8MULTIRANGE, JSONB
from sqlalchemy.types import TypeEngine

__all__ = [
    "METADATA",
    "bundles",
    "coverage",
    "decision_cards",
    "deployments",
    "drift_runs",
    "feature_rows",
    "fetched_windows",
    "gaps",
    "heartbeats",
    "outcomes",
    "paper_trades",
    "parity_runs",
    "position_checks",
    "predictions",
    "probe",
    "signal_cursors",
    "signals",
    "snapshots",
    "switches",
    "training_runs",
    "trials",
    "trigger_checks",
    "universe_members",
    "universe_snapshots",
    "venues",
]

METADATA = MetaData(
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s_ix",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "pk": "%(table_name)s_pkey",
    }
)


def _id() -> Column[int]:
    return Column("id", BigInteger, Identity(), primary_key=True)


def _key(name: str, kind: type[TypeEngine[Any]] = Text) -> Column[Any]:
    return Column(name, kind, primary_key=True, autoincrement=False)


def _column(name: str, kind: TypeEngine[Any] | type[TypeEngine[Any]]) -> Column[Any]:
    return Column(name, kind, nullable=False)


def _null(name: str, kind: TypeEngine[Any] | type[TypeEngine[Any]]) -> Column[Any]:
    return Column(name, kind, nullable=True)


def _at(name: str) -> Column[Any]:
    return Column(name, DateTime(timezone=True), nullable=False, server_default=func.now())


snapshots = Table(
    "snapshots",
    METADATA,
    _key("id"),
    _column("symbols", JSONB),
    _column("timeframe", Text),
    _column("rows", BigInteger),
    _column("first_ms", BigInteger),
    _column("last_ms", BigInteger),
    _column("sources", JSONB),
    _column("synthetic", Boolean),
    _at("created_at"),
    comment="What was read from the lake for one training; the id is a hash over the content",
)

coverage = Table(
    "coverage",
    METADATA,
    _key("symbol"),
    _key("kind"),
    _key("timeframe"),
    _column("first_ms", BigInteger),
    _column("last_ms", BigInteger),
    _column("rows", BigInteger),
    _column("missing", BigInteger),
    _column("coverage", Double),
    _column("source", Text),
    _at("updated_at"),
    comment="How complete the lake is, per symbol and kind; coverage is a share 0..1",
)

fetched_windows = Table(
    "fetched_windows",
    METADATA,
    _key("symbol"),
    _key("kind"),
    _key("timeframe"),
    _key("source"),
    _column("windows", INT8MULTIRANGE),
    _at("updated_at"),
    comment="Times a source answered for: a hole inside is missing there, one outside was not asked",
)

gaps = Table(
    "gaps",
    METADATA,
    _id(),
    _column("symbol", Text),
    _column("timeframe", Text),
    _column("first_ms", BigInteger),
    _column("last_ms", BigInteger),
    _column("bars", BigInteger),
    _column("status", Text),
    _null("source", Text),
    _at("found_at"),
    _null("asked_at", DateTime(timezone=True)),
    _null("healed_at", DateTime(timezone=True)),
    Index("gaps_open_key", "symbol", "timeframe", "first_ms", unique=True, postgresql_where=text("healed_at IS NULL")),
    comment="Holes in the candles: not_fetched, missing_at_venue or healed; first and last are open times",
)

venues = Table(
    "venues",
    METADATA,
    _key("venue"),
    _null("clock_skew_ms", BigInteger),
    _null("checked_at", DateTime(timezone=True)),
    _null("answered_at", DateTime(timezone=True)),
    _null("closed_until", DateTime(timezone=True)),
    _null("why", Text),
    comment="How each venue last answered: its clock less ours, and until when it asked to be left alone",
)

universe_snapshots = Table(
    "universe_snapshots",
    METADATA,
    _id(),
    _column("rule", Text),
    _column("day", Date),
    _column("source", Text),
    _column("as_of_ms", BigInteger),
    _column("rule_values", JSONB),
    _column("content_hash", Text),
    _at("created_at"),
    UniqueConstraint("rule", "day"),
    comment="Which markets were in the universe on a day; written once, never changed",
)

universe_members = Table(
    "universe_members",
    METADATA,
    Column(
        "snapshot_id",
        BigInteger,
        ForeignKey("universe_snapshots.id", name="universe_members_snapshot_id_fkey"),
        primary_key=True,
        autoincrement=False,
    ),
    _key("symbol"),
    _column("member", Boolean),
    _column("change", Text),
    _column("reason", Text),
    _null("rank", Integer),
    _null("turnover", Double),
    _null("price", Double),
    _null("age_days", Double),
    comment="Every market judged for a snapshot; change is entered, stayed, left or out, turnover is 24 h in quote",
)

training_runs = Table(
    "training_runs",
    METADATA,
    _key("key"),
    _column("model_name", Text),
    _column("snapshot_id", Text),
    _column("status", Text),
    _null("bundle_hash", Text),
    _null("version", Integer),
    _column("config", JSONB),
    _null("evaluation", JSONB),
    _at("started_at"),
    _null("finished_at", DateTime(timezone=True)),
    comment="One row per training; the key hashes its inputs",
)

trials = Table(
    "trials",
    METADATA,
    _id(),
    _column("snapshot_id", Text),
    _column("run_key", Text),
    _column("name", Text),
    Column("state", Text, nullable=False, server_default="complete"),
    _column("params", JSONB),
    _column("metrics", JSONB),
    _at("created_at"),
    UniqueConstraint("run_key", "name"),
    comment="Every configuration ever tried; deflated Sharpe counts those that did not fail",
)

bundles = Table(
    "bundles",
    METADATA,
    _key("bundle_hash"),
    _column("model_name", Text),
    _column("version", Integer),
    _column("contract", Text),
    _column("label_spec", Text),
    _column("synthetic", Boolean),
    _column("train_end_ms", BigInteger),
    _column("facts", JSONB),
    _at("created_at"),
    comment="Every sealed bundle that was registered",
)

deployments = Table(
    "deployments",
    METADATA,
    _id(),
    _column("model_name", Text),
    _column("bundle_hash", Text),
    _column("version", Integer),
    _null("previous_hash", Text),
    _column("action", Text),
    _null("card_id", BigInteger),
    _column("why", Text),
    _column("who", Text),
    _at("created_at"),
    Index(None, "model_name", "id"),
    comment="Every change of champion; the last row of a model is the truth",
)

decision_cards = Table(
    "decision_cards",
    METADATA,
    _id(),
    _column("model_name", Text),
    _column("bundle_hash", Text),
    _null("champion_hash", Text),
    _column("verdict", Text),
    _column("reason", Text),
    _column("gates", JSONB),
    _column("evidence", JSONB),
    _column("content_hash", Text),
    _at("created_at"),
    UniqueConstraint("content_hash"),
    comment="Why a challenger was promoted or refused: every number and where it came from",
)

feature_rows = Table(
    "feature_rows",
    METADATA,
    _key("contract"),
    _key("symbol"),
    _key("bar_ms", BigInteger),
    _column("features", LargeBinary),
    _column("reason", Integer),
    _column("known_at_ms", BigInteger),
    comment="The exact float32 bytes predicted on, little endian, in contract order",
)

predictions = Table(
    "predictions",
    METADATA,
    _id(),
    _column("model_name", Text),
    _column("bundle_hash", Text),
    _column("symbol", Text),
    _column("bar_ms", BigInteger),
    _column("role", Text),
    _column("run", Text),
    _column("contract", Text),
    _column("model_probabilities", ARRAY(Double)),
    _column("probabilities", ARRAY(Double)),
    _column("votes", ARRAY(Integer)),
    _column("action", SmallInteger),
    _column("confidence", Double),
    _column("size", Double),
    _column("steps", JSONB),
    _column("output_hash", Text),
    _at("decided_at"),
    UniqueConstraint("bundle_hash", "symbol", "bar_ms"),
    Index(None, "model_name", "bar_ms"),
    comment="model_probabilities is (models*3), each in class order 0 HOLD 1 BUY 2 SELL",
)

signals = Table(
    "signals",
    METADATA,
    _id(),
    _column("model_name", Text),
    _column("symbol", Text),
    _column("bar_ms", BigInteger),
    _column("state", Text),
    _column("reason", Text),
    _column("action", SmallInteger),
    _null("confidence", Double),
    _null("size", Double),
    _null("bundle_hash", Text),
    _null("version", Integer),
    _column("run", Text),
    _column("steps", JSONB),
    _at("decided_at"),
    UniqueConstraint("model_name", "symbol", "bar_ms"),
    Index(None, "model_name", "bar_ms"),
    comment="What was said to the outside at each bar, or why nothing was",
)

paper_trades = Table(
    "paper_trades",
    METADATA,
    _key("bundle_hash"),
    _key("symbol"),
    _key("bar_ms", BigInteger),
    _column("contract", Text),
    _column("label_spec", Text),
    _column("side", SmallInteger),
    _column("size", Double),
    _column("book_size", Double),
    _column("correlation", Double),
    _column("atr_fraction", Double),
    _column("vol_ratio", Double),
    _column("entry_ms", BigInteger),
    _null("exit_ms", BigInteger),
    _null("settled_ms", BigInteger),
    _null("net", Double),
    _null("gross", Double),
    _null("funding", Double),
    _null("barrier", SmallInteger),
    ForeignKeyConstraint(
        ["bundle_hash", "symbol", "bar_ms"],
        ["predictions.bundle_hash", "predictions.symbol", "predictions.bar_ms"],
        name="paper_trades_prediction_fkey",
    ),
    ForeignKeyConstraint(
        ["contract", "symbol", "bar_ms"],
        ["feature_rows.contract", "feature_rows.symbol", "feature_rows.bar_ms"],
        name="paper_trades_features_fkey",
    ),
    comment="Paper positions, each with the prediction and the features behind it; side 1 long, -1 short; size is what"
    " was said of book_size; results are fractions of notional",
)

position_checks = Table(
    "position_checks",
    METADATA,
    _key("bundle_hash"),
    _key("symbol"),
    _key("bar_ms", BigInteger),
    _key("at_ms", BigInteger),
    _column("verdict", Text),
    _null("probabilities", ARRAY(Double)),
    _null("gross", Double),
    comment="What the models said of each open paper position at each later bar; recorded, never acted upon",
)

outcomes = Table(
    "outcomes",
    METADATA,
    _key("label_spec"),
    _key("symbol"),
    _key("bar_ms", BigInteger),
    _column("label", SmallInteger),
    _null("net_long", Double),
    _null("net_short", Double),
    _column("exit_ms", BigInteger),
    _at("resolved_at"),
    comment="What both sides would have earned from each bar, once its horizon is over",
)

drift_runs = Table(
    "drift_runs",
    METADATA,
    _id(),
    _column("model_name", Text),
    _column("bundle_hash", Text),
    _column("first_ms", BigInteger),
    _column("last_ms", BigInteger),
    _column("rows", BigInteger),
    _column("verdict", Text),
    _column("features", JSONB),
    _at("created_at"),
    Index(None, "model_name", "id"),
    comment="Each comparison of served features with the bundle's reference",
)

parity_runs = Table(
    "parity_runs",
    METADATA,
    _id(),
    _column("model_name", Text),
    _column("contract", Text),
    _column("first_ms", BigInteger),
    _column("last_ms", BigInteger),
    _column("rows", BigInteger),
    _column("identical", BigInteger),
    _null("first_mismatch", JSONB),
    _at("created_at"),
    Index(None, "model_name", "id"),
    comment="Each recomputation of served feature bytes from the lake",
)

trigger_checks = Table(
    "trigger_checks",
    METADATA,
    _id(),
    _column("model_name", Text),
    _column("name", Text),
    _column("bundle_hash", Text),
    _column("verdict", Text),
    _column("reason", Text),
    _column("inputs", JSONB),
    _null("action", Text),
    _at("created_at"),
    Index(None, "model_name", "id"),
    comment="Each check that may act by itself: its numbers, its verdict fired, quiet or unknown, and what was done",
)

signal_cursors = Table(
    "signal_cursors",
    METADATA,
    _key("sink"),
    _column("last_id", BigInteger),
    _at("at"),
    comment="Up to which signal each sink outside the database has been handed everything",
)

heartbeats = Table(
    "heartbeats",
    METADATA,
    _key("component"),
    _at("at"),
    _column("detail", JSONB),
    comment="When each component last showed that it runs",
)

switches = Table(
    "switches",
    METADATA,
    _key("name"),
    _column("value", Text),
    _column("why", Text),
    _column("who", Text),
    _at("at"),
    comment="Decisions of people that every process obeys at once, such as halt",
)

probe = Table(
    "probe",
    METADATA,
    _id(),
    _column("token", Text),
    comment="Written and read back at every start; always empty between starts",
)
