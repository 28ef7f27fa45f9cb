"""Did this fail because a disk is full?

A full disk passes by itself once somebody frees space, and nothing is broken: it deserves its own name. The kernel
tells it by ENOSPC, EDQUOT, or EFBIG where a limit was set; PostgreSQL by class 53100, or, where it has no class for
what the kernel said, by its hint. Either may be the reason behind an error of ours.

    >>> is_disk_full(OSError(errno.ENOSPC, "No space left on device")), is_disk_full(OSError(errno.EACCES, "no"))
    (True, False)
"""

import errno
from collections.abc import Iterator

from sqlalchemy.exc import DBAPIError

__all__ = ["is_disk_full"]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_POSTGRES_FULL = "53100"
_POSTGRES_HINT = "Check free disk space."


def is_disk_full(error: BaseException) -> bool:
    """Whether this error, or one it came from, says that no space is left."""
    return any(_says_full(one) for one in _chain(error))


def _says_full(error: BaseException) -> bool:
    if isinstance(error, DBAPIError):
        hint = getattr(getattr(error.orig, "diag", None), "message_hint", None)
        return getattr(error.orig, "sqlstate", None) == _POSTGRES_FULL or hint == _POSTGRES_HINT
    return isinstance(error, OSError) and error.errno in _FULL


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
