"""How a trial ended: tuning adds pruned and failed ones to the ledger."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Every trial so far was complete."""
    op.execute("ALTER TABLE trials ADD COLUMN state TEXT NOT NULL DEFAULT 'complete'")
    op.execute(
        "COMMENT ON TABLE trials IS 'Every configuration ever tried; deflated Sharpe counts those that did not fail'"
    )


def downgrade() -> None:
    """Forget how trials ended."""
    op.execute("ALTER TABLE trials DROP COLUMN state")
    op.execute("COMMENT ON TABLE trials IS 'Every configuration ever tried; deflated Sharpe and PBO count these rows'")
