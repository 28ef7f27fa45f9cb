"""Which source files decide the bytes of a feature row?

One list, for the contract's hash and for the compiled code's cache: numba compares the file that holds a cached
function and no other, so the function also closes over this stamp, and an edit of any file compiles anew.
"""

from functools import cache
from hashlib import sha256
from importlib.resources import files

__all__ = ["SOURCES", "source_hash", "source_stamp"]

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
def source_hash() -> str:
    """SHA-256 over these sources, line ends normalised: any edit changes it."""
    digest = sha256()
    for module in SOURCES:
        text = files("features").joinpath(module).read_text(encoding="utf-8")
        digest.update(f"{module}\n{text.replace(chr(13), '')}\n".encode())
    return digest.hexdigest()


def source_stamp() -> int:
    """The hash's first 60 bits, never 0."""
    return int(source_hash()[:15], 16) or 1
