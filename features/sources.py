"""Which source files decide the bytes of a feature row?

One list, for the contract's hash and for the compiled code's cache: numba compares the file that holds a cached
function and no other, so the function also closes over this stamp, and an edit of any file compiles anew.
"""

from functools import cache
from hashlib import sha256
from importlib.resources import files

__all__ = ["SOURCES", "hash_of", "source_hash", "source_stamp"]

SOURCES = (
    "kernel.py",
    "kernel_lanes.py",
    "kernel_layout.py",
    "kernel_rows.py",
    "kernel_state.py",
    "clock.py",
    "definitions.py",
    "inputs.py",
)


@cache
def hash_of(package: str, sources: tuple[str, ...]) -> str:
    """SHA-256 over sources of a package, line ends normalised: any edit changes it."""
    digest = sha256()
    for module in sources:
        text = files(package).joinpath(module).read_text(encoding="utf-8")
        digest.update(f"{module}\n{text.replace(chr(13), '')}\n".encode())
    return digest.hexdigest()


def source_hash() -> str:
    """The hash of the sources above."""
    return hash_of("features", SOURCES)


def source_stamp(package: str = "features", sources: tuple[str, ...] = SOURCES) -> int:
    """The first 60 bits of the hash of a package's sources, never 0."""
    return int(hash_of(package, sources)[:15], 16) or 1
