"""Which source files decide what the compiled decision does?

Numba's cache compares the file that holds a cached function and no other, so the cached functions also close over this
stamp: an edit of any compiles anew.
"""

from functools import cache
from hashlib import sha256
from importlib.resources import files

__all__ = ["source_stamp"]

_SOURCES = ("decision_kernel.py", "decision_numbers.py", "guard_kernel.py", "limit_kernel.py", "vote_kernel.py")


@cache
def source_stamp() -> int:
    """The first 60 bits of a hash over the sources, never 0."""
    digest = sha256()
    for module in _SOURCES:
        digest.update(files("serving").joinpath(module).read_bytes())
    return int(digest.hexdigest()[:15], 16) or 1
