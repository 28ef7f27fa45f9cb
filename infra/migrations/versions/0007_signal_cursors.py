"""Up to where signals have been handed to whoever takes them outside the database."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One row a sink."""
    op.execute("""
CREATE TABLE signal_cursors (
    sink TEXT NOT NULL,
    last_id BIGINT NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT signal_cursors_pkey PRIMARY KEY (sink)
)""")
    op.execute(
        "COMMENT ON TABLE signal_cursors IS "
        "'Up to which signal each sink outside the database has been handed everything'"
    )


def downgrade() -> None:
    """Forget how far each sink was; one that comes back begins with new signals."""
    op.execute("DROP TABLE signal_cursors")
