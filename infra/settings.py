"""Where does each setting come from, and what if it is wrong?

Built once at start and handed down; nothing here is global. Highest first: what the command line gives, the environment
(``LOCKSTEP_<GROUP>__<NAME>``), ``<home>/lockstep.toml``, the defaults in the groups. An unknown name,
wherever it is written, is refused with the nearest known one; nothing is ever guessed. An empty environment variable
counts as not set.

    >>> settings = load_settings(Path("/srv/lockstep"), environ={"LOCKSTEP_TRAINING__FOLDS": "7"})
    >>> settings.training.folds, settings.labels.horizon_bars, settings.home.as_posix()
    (7, 48, '/srv/lockstep')
"""

import difflib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings import (
    SettingsError as SourceParseError,
)

from infra.errors import SettingsError
from infra.settings_api import ApiSettings
from infra.settings_decision import DecisionSettings, GuardSettings, RegimeSettings
from infra.settings_file import SETTINGS_FILE, read_settings_file, write_settings_file
from infra.settings_groups import (
    DatabaseSettings,
    DataSettings,
    EnsembleSettings,
    EventSettings,
    ExecutionSettings,
    FeatureSettings,
    GateSettings,
    LabelSettings,
    RegistrySettings,
    RollbackSettings,
    ServingSettings,
    SettingsGroup,
    ShadowSettings,
    TrainingSettings,
    TuningSettings,
    UniverseSettings,
)
from infra.settings_ramp import RampSettings

__all__ = [
    "DEFAULT_HOME",
    "ENV_PREFIX",
    "Settings",
    "environment_name",
    "load_settings",
    "setting_fields",
    "write_home_settings",
]

DEFAULT_HOME = Path(".lockstep")
ENV_PREFIX = "LOCKSTEP_"
_NOT_SETTINGS = frozenset({"LOCKSTEP_TEST_DATA"})
"""Names with the prefix that belong to the test suite, not to the product."""
_ENVIRONMENT_ONLY = frozenset({"api.token"})
"""What gives power over a running system is not written into a file that is copied and backed up."""


class Settings(BaseSettings):
    """All settings of one process; frozen."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=ENV_PREFIX, env_nested_delimiter="__", env_ignore_empty=True
    )

    home: Path = Field(description="Directory that holds everything on one machine; absolute")
    database: DatabaseSettings = DatabaseSettings()
    data: DataSettings = DataSettings()
    universe: UniverseSettings = UniverseSettings()
    features: FeatureSettings = FeatureSettings()
    labels: LabelSettings = LabelSettings()
    events: EventSettings = EventSettings()
    training: TrainingSettings = TrainingSettings()
    tuning: TuningSettings = TuningSettings()
    ensemble: EnsembleSettings = EnsembleSettings()
    execution: ExecutionSettings = ExecutionSettings()
    decision: DecisionSettings = DecisionSettings()
    regime: RegimeSettings = RegimeSettings()
    guard: GuardSettings = GuardSettings()
    gates: GateSettings = GateSettings()
    shadow: ShadowSettings = ShadowSettings()
    serving: ServingSettings = ServingSettings()
    rollback: RollbackSettings = RollbackSettings()
    ramp: RampSettings = RampSettings()
    registry: RegistrySettings = RegistrySettings()
    api: ApiSettings = ApiSettings()

    @classmethod
    def settings_customise_sources(  # the signature is pydantic-settings' own
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take values only from the arguments: ``load_settings`` has already merged the sources."""
        return (init_settings,)


def setting_fields() -> Iterator[tuple[str, FieldInfo]]:
    """Every leaf setting as its dotted name (``home``, ``database.url``, ...) and its field, in order."""
    for name, field in Settings.model_fields.items():
        group = field.annotation
        if isinstance(group, type) and issubclass(group, SettingsGroup):
            for leaf, leaf_field in group.model_fields.items():
                yield f"{name}.{leaf}", leaf_field
        else:
            yield name, field


def environment_name(dotted: str) -> str:
    """``training.folds`` as ``LOCKSTEP_TRAINING__FOLDS``."""
    return ENV_PREFIX + dotted.replace(".", "__").upper()


def load_settings(
    home: Path | None = None, *, environ: Mapping[str, str], overrides: Mapping[str, object] | None = None
) -> Settings:
    """Settings of the home, or a ``SettingsError`` that names the setting and where the value stands.

    Args:
        home: the home directory; otherwise ``LOCKSTEP_HOME``, otherwise ``.lockstep``. A relative one is made absolute.
        environ: usually ``os.environ``.
        overrides: values that win over everything, nested (``{"training": {"folds": 7}}``) or dotted
            (``{"training.folds": 7}``).
    """
    _refuse_unknown_environment(environ)
    from_environment = _environment_values(environ)
    from_overrides = _nested(overrides or {})
    chosen = home or from_overrides.get("home") or from_environment.get("home") or DEFAULT_HOME
    found = _absolute_home(Path(chosen))
    from_file = read_settings_file(found)
    _refuse_in_file(from_file)
    origins = {"the command line": from_overrides, "the environment": from_environment, SETTINGS_FILE: from_file}
    merged = _merged(_merged(from_file, from_environment), from_overrides) | {"home": found}
    try:
        return Settings(**merged)
    except ValidationError as error:
        raise _refusal(error, origins) from None


def write_home_settings(settings: Settings, changed: Mapping[str, object]) -> None:
    """Write ``changed`` (nested or dotted) into ``<home>/lockstep.toml``; a value equal to its default is taken out.

    The file is replaced atomically, keeps its comments, and is only written when every value in it is valid.
    """
    nested = _nested(changed)
    if "home" in nested:
        raise SettingsError(
            f"{SETTINGS_FILE} cannot hold home", why="the file lies in the home", remedy="move the directory instead"
        )
    _refuse_in_file(nested)
    merged = _merged(read_settings_file(settings.home), nested)
    try:
        valid = Settings(**merged, home=settings.home)
    except ValidationError as error:
        raise _refusal(error, {"the change": nested, SETTINGS_FILE: merged}) from None
    values: dict[str, object] = {}
    for group, names in nested.items():
        for name in names if isinstance(names, Mapping) else ():
            leaf = getattr(getattr(valid, group), name)
            field = type(getattr(valid, group)).model_fields[name]
            values[f"{group}.{name}"] = None if leaf == field.default else leaf
    write_settings_file(settings.home, values)


def _environment_values(environ: Mapping[str, str]) -> dict[str, Any]:
    """What pydantic-settings makes of ``environ``, which is never the process's own by accident."""
    source = EnvSettingsSource(Settings)
    source.env_vars = {name.lower(): value for name, value in environ.items() if value}
    try:
        return source()
    except SourceParseError as error:
        raise SettingsError(
            str(error), why="the value cannot be read", remedy="write it as in docs/settings.md"
        ) from None


def _refuse_unknown_environment(environ: Mapping[str, str]) -> None:
    known = [environment_name(dotted) for dotted, _ in setting_fields()]
    for name in sorted(environ):
        if name.upper().startswith(ENV_PREFIX) and name.upper() not in known and name not in _NOT_SETTINGS:
            raise SettingsError(
                f"environment variable {name}",
                why="no setting has this name, so it would be silently ignored",
                remedy=f"unset it{_nearest(name.upper(), known)}",
            )


def _refuse_in_file(values: Mapping[str, Any]) -> None:
    for dotted in sorted(_ENVIRONMENT_ONLY):
        if _holds(values, dotted):
            raise SettingsError(
                f"{dotted} in {SETTINGS_FILE}",
                why="a file is copied and backed up, and whoever reads it could stop and start trading",
                remedy=f"remove it there, choose another one, and set {environment_name(dotted)}",
            )


def _absolute_home(home: Path) -> Path:
    absolute = Path(os.path.abspath(home.expanduser()))  # noqa: PTH100  # resolve() would follow a home that is a symlink
    if absolute.exists() and not absolute.is_dir():
        raise SettingsError(
            f"home {absolute}", why="it is a file, not a directory", remedy="give another directory with --home"
        )
    return absolute


def _nested(values: Mapping[str, object]) -> dict[str, Any]:
    """Dotted keys as nested ones; nested ones stay."""
    result: dict[str, Any] = {}
    for key, value in values.items():
        group, _, name = key.partition(".")
        result = _merged(result, {group: {name: value}} if name else {group: value})
    return result


def _merged(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    """``low`` with ``high`` on top, group by group."""
    result = dict(low)
    for key, value in high.items():
        below = result.get(key)
        result[key] = {**below, **value} if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return result


def _refusal(error: ValidationError, origins: Mapping[str, Mapping[str, Any]]) -> SettingsError:
    known = [dotted for dotted, _ in setting_fields()]
    secret = {dotted for dotted, field in setting_fields() if SecretStr in get_args(field.annotation)}
    what, remedies = [], []
    for problem in error.errors(include_url=False, include_context=False):
        dotted = ".".join(str(part) for part in problem["loc"][:2])
        origin = next((name for name, values in origins.items() if _holds(values, dotted)), "the settings")
        where = environment_name(dotted) if origin == "the environment" else f"{dotted} in {origin}"
        if problem["type"] == "extra_forbidden":
            what.append(f"{where} is not a setting")
            remedies.append(
                f"remove {dotted}{_nearest(dotted, known if '.' in dotted else list(Settings.model_fields))}"
            )
        else:
            shown = "" if dotted in secret or isinstance(problem["input"], Mapping) else f" = {problem['input']!r}"
            what.append(f"{where}{shown}: {problem['msg'].removeprefix('Value error, ')}")
            remedies.append(f"correct {dotted}")
    return SettingsError(
        "; ".join(what),
        why="a setting that is wrong or unknown must not be replaced by a default in silence",
        remedy=f"{'; '.join(remedies)} (docs/settings.md lists all)",
    )


def _holds(values: Mapping[str, Any], dotted: str) -> bool:
    group, _, name = dotted.partition(".")
    return group in values and (not name or (isinstance(values[group], Mapping) and name in values[group]))


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f", or did you mean {close[0]}" if close else ""
