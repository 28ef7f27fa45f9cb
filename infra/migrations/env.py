"""How does Alembic run our migrations?

On the connection that ``infra/schema.py`` hands over, inside its transaction and under its lock; never by itself.
"""

from alembic import context

from infra import capital_tables  # noqa: F401  # its tables belong to METADATA
from infra.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    compare_type=True,
    compare_server_default=True,
)
context.run_migrations()
