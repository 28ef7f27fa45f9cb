"""The paper ledger's book: what was taken beside what was said, and what is thought of it later."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Earlier trades were said as taken; their correlation is unknown and counts as full."""
    op.execute(
        "ALTER TABLE paper_trades ADD COLUMN contract TEXT, ADD COLUMN book_size DOUBLE PRECISION, "
        "ADD COLUMN correlation DOUBLE PRECISION, ADD COLUMN settled_ms BIGINT"
    )
    op.execute(
        "UPDATE paper_trades AS t "
        "SET contract = p.contract, book_size = t.size, correlation = 1, settled_ms = t.exit_ms FROM predictions AS p "
        "WHERE p.bundle_hash = t.bundle_hash AND p.symbol = t.symbol AND p.bar_ms = t.bar_ms"
    )
    op.execute(
        "ALTER TABLE paper_trades ALTER COLUMN contract SET NOT NULL, ALTER COLUMN book_size SET NOT NULL, "
        "ALTER COLUMN correlation SET NOT NULL, "
        "ADD CONSTRAINT paper_trades_prediction_fkey FOREIGN KEY (bundle_hash, symbol, bar_ms) "
        "REFERENCES predictions (bundle_hash, symbol, bar_ms), "
        "ADD CONSTRAINT paper_trades_features_fkey FOREIGN KEY (contract, symbol, bar_ms) "
        "REFERENCES feature_rows (contract, symbol, bar_ms)"
    )
    op.execute(
        "COMMENT ON TABLE paper_trades IS 'Paper positions, each with the prediction and the features behind it; "
        "side 1 long, -1 short; size is what was said of book_size; results are fractions of notional'"
    )
    op.execute("CREATE INDEX signals_model_name_bar_ms_ix ON signals (model_name, bar_ms)")
    op.execute("""
CREATE TABLE position_checks (
    bundle_hash TEXT NOT NULL,
    symbol TEXT NOT NULL,
    bar_ms BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    verdict TEXT NOT NULL,
    probabilities DOUBLE PRECISION[],
    gross DOUBLE PRECISION,
    CONSTRAINT position_checks_pkey PRIMARY KEY (bundle_hash, symbol, bar_ms, at_ms)
)""")
    op.execute(
        "COMMENT ON TABLE position_checks IS 'What the models said of each open paper position at each later bar; "
        "recorded, never acted upon'"
    )


def downgrade() -> None:
    """Forget what was taken and not said."""
    op.execute("DROP TABLE position_checks")
    op.execute("DROP INDEX signals_model_name_bar_ms_ix")
    op.execute(
        "ALTER TABLE paper_trades DROP CONSTRAINT paper_trades_features_fkey, "
        "DROP CONSTRAINT paper_trades_prediction_fkey, DROP COLUMN settled_ms, DROP COLUMN correlation, "
        "DROP COLUMN book_size, DROP COLUMN contract"
    )
    op.execute(
        "COMMENT ON TABLE paper_trades IS 'Paper positions; side 1 long, -1 short; results are fractions of notional'"
    )
