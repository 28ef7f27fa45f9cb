"""How does a process give memory that it has freed back to the machine?

The C library keeps freed pages in the heap of the thread that used them, where other threads cannot have them. Between
stages whose large arrays come and go that adds up to a third of the feature matrix.
"""

import ctypes
from collections.abc import Callable
from functools import cache

__all__ = ["give_back_memory"]


def give_back_memory() -> None:
    """Return freed heap pages to the machine; does nothing where the C library cannot."""
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], int] | None:
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):
        return None
    return found
