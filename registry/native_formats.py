"""Is this model file whole?

LightGBM's and XGBoost's own readers end the whole process on some truncated input (a segmentation fault, an
``abort``), which no ``except`` can catch. So the bytes are walked once before a reader sees them. This proves
completeness, not origin: that is what the hashes are for.
"""

import re
from struct import Struct

__all__ = ["check_lightgbm_text", "check_xgboost_ubj"]

_WIDTH = {kind: width for width, kinds in ((1, b"iUCB"), (2, b"Iu"), (4, b"lmd"), (8, b"LMD")) for kind in kinds}
_EMPTY = frozenset(b"ZNTF")
_COUNTS = {
    ord("i"): Struct(">b"),
    ord("U"): Struct(">B"),
    ord("I"): Struct(">h"),
    ord("l"): Struct(">i"),
    ord("L"): Struct(">q"),
}


def check_lightgbm_text(payload: bytes) -> None:
    """Raise ``ValueError`` unless header, every tree (by its stated length) and footer are there."""
    sizes = re.search(rb"^tree_sizes=([0-9 ]+)$", payload, re.MULTILINE)
    first, last = payload.find(b"\nTree=0\n"), payload.find(b"\nend of trees\n")
    if sizes is None or last < first or min(first, last) < 0 or b"\nend of parameters\n" not in payload[last:]:
        raise ValueError("the text is not whole")
    if sum(int(size) for size in sizes[1].split()) != last - first:
        raise ValueError("the trees are not as long as the text says")


def check_xgboost_ubj(payload: bytes) -> None:
    """Raise ``ValueError`` unless the bytes are one complete Universal Binary JSON object (ubjson.org, draft 12)."""
    if payload[:1] != b"{":
        raise ValueError("no UBJ object")
    try:
        end = _Walk(payload).value(0)
    except (IndexError, KeyError, RecursionError) as bad:
        raise ValueError("the UBJ object is not whole") from bad
    if end != len(payload):
        raise ValueError("bytes behind the UBJ object" if end < len(payload) else "the UBJ object is not whole")


class _Walk:
    """Steps over values without building them; every method takes an offset and returns the one behind."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def value(self, at: int) -> int:
        return self.body(self.data[at], at + 1)

    def body(self, kind: int, at: int) -> int:
        if kind in _EMPTY:
            return at
        if kind in b"SH":
            n, at = self.count(at)
            return self.skip(at, n)
        if kind == ord("["):
            return self.container(at, ord("]"), keyed=False)
        if kind == ord("{"):
            return self.container(at, ord("}"), keyed=True)
        return self.skip(at, _WIDTH[kind])

    def skip(self, at: int, n: int) -> int:
        if n < 0 or at + n > len(self.data):
            raise IndexError
        return at + n

    def count(self, at: int) -> tuple[int, int]:
        reader = _COUNTS[self.data[at]]
        end = self.skip(at + 1, reader.size)
        return int(reader.unpack(self.data[at + 1 : end])[0]), end

    def container(self, at: int, close: int, *, keyed: bool) -> int:
        kind = None
        if self.data[at] == ord("$"):
            kind, at = self.data[at + 1], at + 2
        if self.data[at] == ord("#"):
            n, at = self.count(at + 1)
            if kind in _WIDTH and not keyed:
                return self.skip(at, n * _WIDTH[kind])
            for _ in range(n):
                at = self.item(at, kind, keyed=keyed)
            return at
        while self.data[at] != close:
            at = self.item(at, kind, keyed=keyed)
        return at + 1

    def item(self, at: int, kind: int | None, *, keyed: bool) -> int:
        if keyed:
            n, at = self.count(at)
            at = self.skip(at, n)
        return self.value(at) if kind is None else self.body(kind, at)
