r"""What are the exact bytes of a value?

Equal values give equal bytes: sorted keys, no spaces that vary, UTF-8, a newline at the end, and no NaN or
infinity, which JSON does not have. Hashes of cards, policies and bundle files stand on this.

    >>> canonical_json({"b": 1, "a": [0.5, None]})
    b'{"a":[0.5,null],"b":1}\n'
"""

import json
from hashlib import sha256

from registry.errors import RegistryError

__all__ = ["canonical_json", "parse_json", "sha256_hex"]


def canonical_json(value: object) -> bytes:
    """The one JSON encoding of ``value``; raises ``RegistryError`` for NaN, infinity or what JSON cannot hold."""
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError) as bad:
        raise RegistryError(
            f"a value cannot be stored as JSON ({bad})",
            why="equal values must give equal bytes, or no hash means anything",
            remedy="store plain numbers, texts, lists and dicts, and None for what is not known",
        ) from bad
    return text.encode() + b"\n"


def parse_json(data: bytes | str) -> object:
    """Read JSON, refusing NaN, infinity and a name that stands twice in one object; raises ``ValueError``."""
    return json.loads(data, parse_constant=_no_constant, object_pairs_hook=_each_once)


def _each_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(name for k, (name, _) in enumerate(pairs) if name in dict(pairs[:k]))
        raise ValueError(f"{twice!r} stands twice in one object")
    return found


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def sha256_hex(data: bytes) -> str:
    """SHA-256 of the bytes as 64 hex digits."""
    return sha256(data).hexdigest()
