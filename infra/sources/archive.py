"""What is inside a zip of a venue's public archive?

One CSV under the zip's own name, unpacked in memory. Before a byte of it is believed, the zip matches the checksum that
lies beside it (``BTCUSDT-5m-2025-01.zip.CHECKSUM``: SHA-256 and name), if there is one; the library checks each
member's CRC. A zip that is damaged, encrypted, holds something else or would unpack to more than a gigabyte is refused
by name.
"""

import hashlib
import lzma
import zipfile
import zlib
from pathlib import Path

from infra.errors import SourceError

__all__ = ["MOST_BYTES", "unzip"]

MOST_BYTES = 1 << 30
_DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError, ValueError)
_AGAIN = "download it again from the archive"


def unzip(path: Path) -> bytes:
    """The one CSV of the zip; ``SourceError`` naming the zip for anything else."""
    _check_sum(path)
    try:
        with zipfile.ZipFile(path) as pack:
            return pack.read(_only_member(path, pack))
    except _DAMAGE as error:
        detail = " ".join(str(error).split())[:160]
        raise SourceError(
            f"{path.name}: it cannot be unpacked ({detail})",
            why="the zip is damaged, encrypted or no zip",
            remedy=_AGAIN,
        ) from error


def _only_member(path: Path, pack: zipfile.ZipFile) -> zipfile.ZipInfo:
    members = [member for member in pack.infolist() if not member.is_dir()]
    wanted = f"{path.stem}.csv"
    if [member.filename for member in members] != [wanted]:
        found = ", ".join(member.filename for member in members)[:160] or "nothing"
        raise SourceError(
            f"{path.name}: it holds {found}",
            why=f"only {wanted} belongs into it: other content would enter under this market's name",
            remedy=f"{_AGAIN}, or unpack it and keep the files you mean",
        )
    (member,) = members
    if member.file_size > MOST_BYTES:
        raise SourceError(
            f"{path.name}: it would unpack to {member.file_size:,} bytes",
            why=f"no archive of one market has more than {MOST_BYTES:,}",
            remedy=_AGAIN,
        )
    return member


def _check_sum(path: Path) -> None:
    beside = path.with_name(f"{path.name}.CHECKSUM")
    if not beside.is_file():
        return
    words = beside.read_text("utf-8", errors="replace").split()
    if len(words) != 2 or words[1].lstrip("*") != path.name:
        raise SourceError(
            f"{beside.name}: it is not the SHA-256 of {path.name} and its name",
            why="nothing tells whether the zip is whole",
            remedy=f"download {beside.name} again, or remove it to do without",
        )
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != words[0].lower():
        raise SourceError(
            f"{path.name}: its SHA-256 is {found[:12]}..., but {beside.name} says {words[0][:12].lower()}...",
            why="the zip is not the one the archive published",
            remedy=_AGAIN,
        )
