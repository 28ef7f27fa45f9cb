"""How does ``docs/settings.md`` know every setting?

It is written from the models, and a test compares the two. Run ``python -m infra.settings_table`` to print it.
"""

import sys
from pathlib import Path
from typing import Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from infra.settings import DEFAULT_HOME, ENV_PREFIX, Settings, setting_fields
from infra.settings_file import SETTINGS_FILE

__all__ = ["settings_table"]

_BOUNDS = (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<"))
_KINDS: dict[object, str] = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    Path: "path",
    SecretStr: "secret text",
}

_INTRODUCTION = f"""# Settings

<!-- Generated from the groups of infra/settings.py by `python -m infra.settings_table`; a test keeps the two equal. -->

Each value is taken from the first of these that has it: the command line, the environment, `{SETTINGS_FILE}` in the
home, the default below. In the environment `training.folds` is `{ENV_PREFIX}TRAINING__FOLDS`; in the file it is

```toml
[training]
folds = 5
```

A name that is not listed here is refused, wherever it stands, and so is a value out of bounds. An empty environment
variable counts as not set. A list is `BTCUSDT,ETHUSDT` in the environment and `["BTCUSDT", "ETHUSDT"]` in the file.
Time is in the unit of the name: `_s` seconds, `_days` days, `_bars` bars of `data.timeframe`; `_bps` are basis points.
"""


def settings_table() -> str:
    """The whole page, ending in a newline."""
    lines = [_INTRODUCTION.rstrip()]
    group = ""
    for dotted, field in setting_fields():
        name, _, leaf = dotted.partition(".")
        if name != group:
            group = name
            lines.extend(
                [
                    "",
                    f"## {name}",
                    "",
                    _about(name),
                    "",
                    "| setting | default | allowed | meaning |",
                    "|---|---|---|---|",
                ]
            )
        lines.append(f"| `{leaf or name}` | {_default(dotted, field)} | {_allowed(field)} | {field.description} |")
    return "\n".join([*lines, ""])


def _about(name: str) -> str:
    """The group's own sentence; ``home`` is no group."""
    kind = Settings.model_fields[name].annotation
    said = kind.__doc__ if isinstance(kind, type) and name != "home" else "Set by `--home` or `LOCKSTEP_HOME`."
    return " ".join((said or "").split())


def _default(dotted: str, field: FieldInfo) -> str:
    if dotted == "home":
        return f"`{DEFAULT_HOME}`"
    return "none" if field.default in (None, ()) else f"`{field.default}`"


def _allowed(field: FieldInfo) -> str:
    """Choices, bounds or the kind of value."""
    choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    if choices:
        return ", ".join(f"`{choice}`" for choice in choices)
    bounds = [
        f"{sign} {getattr(rule, name):g}"
        for rule in field.metadata
        for name, sign in _BOUNDS
        if getattr(rule, name, None) is not None
    ]
    return f"{_kind(field.annotation)} {', '.join(bounds)}".strip()


def _kind(annotation: object) -> str:
    """The plain word for a type."""
    if get_origin(annotation) is tuple:
        return "list of symbols" if "symbol" in str(annotation) else "list of names"
    for option in (annotation, *get_args(annotation)):
        if option in _KINDS:
            return _KINDS[option]
    raise TypeError(f"no word for {annotation}")


if __name__ == "__main__":
    sys.stdout.write(settings_table())
