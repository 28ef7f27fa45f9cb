"""One file per migration, named ``<revision>_<what>.py``; nothing else lives here."""

__all__: list[str] = []
