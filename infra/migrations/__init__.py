"""The steps by which a database reaches the tables of ``infra/tables.py``.

Each file in ``versions`` is one step, written by hand and never changed once released; ``HEAD`` names the last. They
run by themselves when a database is opened (``infra/schema.py``). Nothing but schema changes lives here.
"""

__all__ = ["HEAD"]

HEAD = "0007"
"""Revision of the last step: known without loading Alembic, so that a start on a current database stays fast."""
