"""Lockstep's outside world: settings, versions, PostgreSQL, the lake, the exchange, files.

Everything that touches a disk, a socket or a clock on behalf of the lower floors lives here: the settings model, the
embedded database with its tables and migrations, the Parquet lake, the sources that fill it, and the environment that
keeps third-party services quiet and inside the home. No market rule, no feature, no model and no decision lives here,
and importing any module of it opens nothing.
"""

__all__: list[str] = []
