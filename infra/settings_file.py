"""How is ``lockstep.toml`` read and changed without losing what a person wrote there?

Reading knows nothing about names or bounds (``settings.py`` does). Writing changes single lines, keeps the rest of the
text, and replaces the file atomically; if the text is laid out so that a line edit would not do, it is written afresh.
"""

import json
import os
import re
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from infra.errors import SettingsError

__all__ = ["SETTINGS_FILE", "read_settings_file", "write_settings_file"]

SETTINGS_FILE = "lockstep.toml"


def read_settings_file(home: Path) -> dict[str, Any]:
    """The values in ``<home>/lockstep.toml``; empty where there is none."""
    path = home / SETTINGS_FILE
    try:
        found = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(
            f"{path} cannot be read",
            why=str(error),
            remedy="correct the file; it holds [group] headings and `name = value` lines",
        ) from None
    if "home" in found:
        raise SettingsError(
            f"home in {path}", why="the file lies in the home, so it cannot name it", remedy="remove that line"
        )
    return found


def write_settings_file(home: Path, values: Mapping[str, object]) -> None:
    """Set each dotted name to its value, or take it out where the value is None; mode 0600, replaced atomically."""
    path = home / SETTINGS_FILE
    expected = read_settings_file(home)
    text = path.read_text("utf-8") if path.exists() else ""
    for dotted, value in values.items():
        group, name = dotted.split(".")
        plain = _plain(value)
        section = dict(expected.get(group, {}))
        if plain is None:
            section.pop(name, None)
        else:
            section[name] = plain
        expected[group] = section
        text = _edited(text, group, name, None if plain is None else _literal(plain))
    if not _says(text, expected):
        text = _rendered(expected)
    _replace(path, text)


def _edited(text: str, group: str, name: str, literal: str | None) -> str:
    lines = text.splitlines()
    head = next((i for i, line in enumerate(lines) if re.match(rf"\s*\[{group}\]\s*(#.*)?$", line)), None)
    if head is None:
        return (
            text
            if literal is None
            else "\n".join([*lines, *([""] if lines else []), f"[{group}]", f"{name} = {literal}", ""])
        )
    end = next((i for i in range(head + 1, len(lines)) if re.match(r"\s*\[", lines[i])), len(lines))
    at = next((i for i in range(head + 1, end) if re.match(rf"\s*{name}\s*=", lines[i])), None)
    new = [] if literal is None else [f"{name} = {literal}"]
    start, stop = (head + 1, head + 1) if at is None else (at, at + 1)
    return "\n".join([*lines[:start], *new, *lines[stop:], ""])


def _says(text: str, expected: Mapping[str, Any]) -> bool:
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return {k: v for k, v in found.items() if v} == {k: v for k, v in expected.items() if v}


def _rendered(values: Mapping[str, Any]) -> str:
    parts = []
    for group, names in values.items():
        parts.append(f"[{group}]")
        parts.extend(f"{name} = {_literal(value)}" for name, value in names.items())
        parts.append("")
    return "\n".join(parts)


def _plain(value: object) -> object:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return list(value) if isinstance(value, tuple) else value


def _literal(value: object) -> str:
    """TOML's spelling; for these kinds it is JSON's."""
    return json.dumps(value, ensure_ascii=False)


def _replace(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{SETTINGS_FILE}.")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be written",
            why=error.strerror or str(error),
            remedy="free space or correct the permissions",
        ) from None
