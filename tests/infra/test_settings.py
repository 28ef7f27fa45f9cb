"""Settings come from where they should, are bounded, and a wrong name is never passed over."""

import doctest
from dataclasses import asdict
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

import infra.settings
from infra.errors import SettingsError
from infra.settings import Settings, environment_name, load_settings, setting_fields, write_home_settings
from infra.settings_decision import DecisionSettings, GuardSettings, RegimeSettings
from infra.settings_groups import FeatureSettings, LabelSettings
from market.barriers import BarrierSpec
from registry.policy import DecisionPolicy

LEAVES = [dotted for dotted, _ in setting_fields()]


def _file(home: Path, text: str) -> Path:
    home.mkdir(exist_ok=True)
    (home / "lockstep.toml").write_text(text)
    return home


def test_defaults_need_nothing(tmp_path):
    """Without environment and file every setting has its default."""
    settings = load_settings(tmp_path, environ={})
    assert settings == Settings(home=tmp_path)
    assert settings.data.timeframe == "5m"
    assert settings.gates.min_sharpe is None


def test_the_command_line_beats_the_environment_beats_the_file(tmp_path):
    """Each source wins over those below it, value by value and not group by group."""
    home = _file(tmp_path, "[training]\nfolds = 3\nseed = 3\ngap_bars = 3\n")
    environ = {"LOCKSTEP_TRAINING__FOLDS": "4", "LOCKSTEP_TRAINING__SEED": "4"}
    training = load_settings(home, environ=environ, overrides={"training": {"folds": 5}}).training
    assert (training.folds, training.seed, training.gap_bars) == (5, 4, 3)


def test_overrides_may_be_dotted(tmp_path):
    """``training.folds`` and a nested mapping mean the same."""
    nested = load_settings(tmp_path, environ={}, overrides={"training": {"folds": 9, "seed": 1}})
    assert load_settings(tmp_path, environ={}, overrides={"training.folds": 9, "training.seed": 1}) == nested


def test_the_process_environment_is_not_read(tmp_path, monkeypatch):
    """Only the mapping that is handed over counts."""
    monkeypatch.setenv("LOCKSTEP_TRAINING__FOLDS", "9")
    assert load_settings(tmp_path, environ={}).training.folds == 5
    assert Settings(home=tmp_path).training.folds == 5


def test_the_home_is_absolute_and_from_the_first_who_names_it(tmp_path, monkeypatch):
    """Argument, then LOCKSTEP_HOME, then .lockstep; a relative one counts from the working directory."""
    monkeypatch.chdir(tmp_path)
    environ = {"LOCKSTEP_HOME": "from-environment"}
    assert load_settings(Path("given"), environ=environ).home == tmp_path / "given"
    assert load_settings(environ=environ).home == tmp_path / "from-environment"
    assert load_settings(environ={}).home == tmp_path / ".lockstep"


def test_a_home_that_is_a_file_is_refused(tmp_path):
    """Before anything is written into it."""
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="it is a file, not a directory"):
        load_settings(tmp_path / "file", environ={})


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("LOCKSTEP_DATABASE_URL", "LOCKSTEP_DATABASE__URL"),
        ("LOCKSTEP_DATABASE", "LOCKSTEP_DATABASE__URL"),
        ("LOCKSTEP_TRAINING__FOLD", "LOCKSTEP_TRAINING__FOLDS"),
        ("LOCKSTEP_HOM", "LOCKSTEP_HOME"),
        ("lockstep_training__fold", "LOCKSTEP_TRAINING__FOLDS"),
    ],
)
def test_an_unknown_environment_name_is_refused_with_the_nearest(tmp_path, name, hint):
    """A typo is not silently ignored."""
    with pytest.raises(SettingsError, match=rf"{name}: no setting has this name.*did you mean {hint}\."):
        load_settings(tmp_path, environ={name: "1"})


def test_other_programs_variables_and_empty_ones_are_left_alone(tmp_path):
    """Only the prefix is ours; an empty value is how compose files say "not set"."""
    environ = {"PATH": "/bin", "LOCK": "1", "LOCKSTEP_TEST_DATA": "/x", "LOCKSTEP_DATABASE__URL": ""}
    assert load_settings(tmp_path, environ=environ).database.url is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[training]\nfold = 3", r"training\.fold in lockstep\.toml is not a setting.*did you mean training\.folds"),
        ("[trainin]\nfolds = 3", r"trainin in lockstep\.toml is not a setting.*did you mean training\b"),
        ("folds = 3", r"folds in lockstep\.toml is not a setting"),
        ("[training]\nfolds = 1", r"training\.folds in lockstep\.toml = 1: Input should be greater than or equal to 2"),
        ("[training]\nfolds = 3.5", r"training\.folds in lockstep\.toml = 3\.5: Input should be a valid integer"),
        ("[labels]\nprofit = nan", r"labels\.profit in lockstep\.toml = nan: Input should be a finite number"),
        ("[data]\ntimeframe = '7m'", r"data\.timeframe in lockstep\.toml = '7m': .*divides one day"),
        ("[data]\nsymbols = ['BTCUSDT', 'BTC/USDT:USDT']", r"data\.symbols.*each symbol once; repeated: BTCUSDT"),
        ("[data]\nsymbols = ['B T']", r"data\.symbols.*neither a venue spelling nor ccxt's"),
        ("[features]\nfill_window_bars = 3000", r"features in lockstep\.toml: fill_window_bars must not exceed"),
        ("[decision]\nsize_cap = 0.9", r"decision\.size_cap in lockstep\.toml = 0\.9: .*less than or equal to 0\.5"),
        ("[decision]\nsize_base = 0.2", r"decision in lockstep\.toml: size_base must not exceed size_cap"),
        ("home = '/x'", r"home in .*it cannot name it"),
        ("[training", r"lockstep\.toml cannot be read"),
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path, text, said):
    """Unknown keys, values out of bounds and unreadable text say where they stand and what is wrong."""
    with pytest.raises(SettingsError, match=said) as caught:
        load_settings(_file(tmp_path, text), environ={})
    assert "\n" not in str(caught.value)


def test_all_problems_are_told_at_once(tmp_path):
    """Two wrong values in two places need one look, not two starts."""
    home = _file(tmp_path, "[training]\nfolds = 1\n")
    with pytest.raises(SettingsError, match=r"LOCKSTEP_TRAINING__SEED = '-1'.*; |training\.folds") as caught:
        load_settings(home, environ={"LOCKSTEP_TRAINING__SEED": "-1"})
    assert "training.folds in lockstep.toml = 1" in str(caught.value)
    assert "LOCKSTEP_TRAINING__SEED = '-1'" in str(caught.value)


def test_symbols_may_be_spelt_in_every_way_we_know(tmp_path):
    """A list in one line, JSON, or ccxt's spelling: the venue's comes out."""
    for given in ("BTC/USDT:USDT, ethusdt", '["BTCUSDT", "ETH/USDT"]'):
        assert load_settings(tmp_path, environ={"LOCKSTEP_DATA__SYMBOLS": given}).data.symbols == ("BTCUSDT", "ETHUSDT")


def test_a_secret_is_never_printed(tmp_path):
    """Neither the settings nor a complaint about them show the database's password."""
    environ = {
        "LOCKSTEP_DATABASE__URL": "postgresql://u:hunter2@h/x",
        "LOCKSTEP_REGISTRY__TRACKING_URI": "http://u:hunter2@h",
    }
    assert "hunter2" not in repr(load_settings(tmp_path, environ=environ))
    with pytest.raises(SettingsError) as caught:
        load_settings(tmp_path, environ={}, overrides={"database": {"url": ["hunter2"]}})
    assert "hunter2" not in str(caught.value)


def test_settings_cannot_be_changed(tmp_path):
    """Neither the whole nor a group."""
    settings = load_settings(tmp_path, environ={})
    with pytest.raises(ValidationError, match="frozen"):
        settings.training.folds = 9
    with pytest.raises(ValidationError, match="frozen"):
        settings.home = tmp_path


def test_what_is_written_is_what_is_read(tmp_path):
    """A change lands in the file, and a value that returns to its default leaves it."""
    settings = load_settings(tmp_path / "new", environ={})
    changes = {"data.symbols": ["BTCUSDT"], "training": {"folds": 7, "mode": "rolling"}, "database.url": 'a"b\\c€'}
    write_home_settings(settings, changes)
    found = load_settings(tmp_path / "new", environ={})
    assert found.data.symbols == ("BTCUSDT",)
    assert (found.training.folds, found.training.mode) == (7, "rolling")
    assert found.database.url == SecretStr('a"b\\c€')
    assert (tmp_path / "new" / "lockstep.toml").stat().st_mode & 0o077 == 0
    write_home_settings(found, {"training.folds": 5, "database.url": None})
    assert (
        tmp_path / "new" / "lockstep.toml"
    ).read_text() == '[data]\nsymbols = ["BTCUSDT"]\n\n[training]\nmode = "rolling"\n\n[database]\n'


def test_writing_keeps_what_a_person_wrote(tmp_path):
    """Comments, order and other values stay; a layout that cannot be edited by line is written afresh."""
    home = _file(tmp_path, "# mine\n[training] # fit\nfolds = 7 # seven\nseed=1\n\n[labels]\nhorizon_bars = 12\n")
    write_home_settings(load_settings(home, environ={}), {"training.seed": 2, "labels.profit": 3.0})
    assert (home / "lockstep.toml").read_text() == (
        "# mine\n[training] # fit\nfolds = 7 # seven\nseed = 2\n\n[labels]\nprofit = 3.0\nhorizon_bars = 12\n"
    )
    _file(tmp_path, '[data]\nsymbols = [\n  "BTCUSDT",\n]\nhistory_days = 9\n')
    write_home_settings(load_settings(home, environ={}), {"data.symbols": ["ETHUSDT"]})
    data = load_settings(home, environ={}).data
    assert (data.symbols, data.history_days) == (("ETHUSDT",), 9)


def test_a_bad_value_is_never_written(tmp_path):
    """The file stays as it was."""
    home = _file(tmp_path, "[training]\nfolds = 7\n")
    settings = load_settings(home, environ={})
    for change in ({"training.folds": 1}, {"training.fold": 3}, {"home": "/x"}):
        with pytest.raises(SettingsError):
            write_home_settings(settings, change)
    assert (home / "lockstep.toml").read_text() == "[training]\nfolds = 7\n"
    assert [path.name for path in home.iterdir()] == ["lockstep.toml"]


@pytest.mark.parametrize("dotted", LEAVES)
def test_every_setting_is_described_and_bounded(dotted):
    """A description of its own, and bounds on both sides for every number."""
    field = dict(setting_fields())[dotted]
    assert field.description
    if any(kind in str(field.annotation) for kind in ("int", "float")):
        rules = {
            name
            for rule in field.metadata
            for name in ("ge", "gt", "le", "lt")
            if getattr(rule, name, None) is not None
        }
        assert rules & {"ge", "gt"}
        assert rules & {"le", "lt"}


def test_every_setting_has_an_environment_name_of_its_own():
    """No two settings share one, and each can be found again."""
    assert len({environment_name(dotted) for dotted in LEAVES}) == len(LEAVES)
    assert environment_name("training.min_train_days") == "LOCKSTEP_TRAINING__MIN_TRAIN_DAYS"


def test_defaults_that_exist_twice_agree():
    """The policy's and the label spec's own defaults are the settings' defaults."""
    policy = DecisionPolicy(thresholds=(0.5, 0.5), horizon_bars=LabelSettings().horizon_bars)
    for name, value in DecisionSettings().model_dump().items():
        assert getattr(policy, name) == value
    known = {"thresholds", "horizon_bars", "bars_per_day", "regime", "guard"}
    assert set(DecisionSettings.model_fields) == set(DecisionPolicy.__slots__) - known
    assert RegimeSettings().model_dump() == asdict(policy.regime)
    assert GuardSettings().model_dump() == asdict(policy.guard)
    labels, spec = LabelSettings(), BarrierSpec()
    for name in ("horizon_bars", "profit", "stop", "trail", "trail_after"):
        assert getattr(labels, name) == getattr(spec, name)
    for name in ("taker_fee_bps", "slippage_bps", "slippage_vol_floor"):
        assert getattr(labels, name) == getattr(spec.costs, name)
    assert FeatureSettings().block_bars == 2016


def test_the_example_in_the_module_holds():
    """The docstring's example runs."""
    assert doctest.testmod(infra.settings).failed == 0


def test_the_token_comes_from_the_environment_only(tmp_path):
    """A file is refused, whoever writes it; a short one is refused without being told; nothing prints it."""
    home = _file(tmp_path, '[api]\ntoken = "hunter2-hunter2-hunter2"\n')
    with pytest.raises(SettingsError, match="LOCKSTEP_API__TOKEN") as refusal:
        load_settings(home, environ={})
    (home / "lockstep.toml").unlink()
    found = load_settings(home, environ={"LOCKSTEP_API__TOKEN": "hunter2-hunter2-hunter2"})
    with pytest.raises(SettingsError, match="LOCKSTEP_API__TOKEN"):
        write_home_settings(found, {"api.token": "hunter2-hunter2-hunter2"})
    with pytest.raises(SettingsError, match="at least 16") as short:
        load_settings(home, environ={"LOCKSTEP_API__TOKEN": "hunter2"})
    assert "hunter2" not in f"{refusal.value} {short.value} {found!r}"


def test_host_names_are_a_list_of_names(tmp_path):
    """Lower case, without ports or schemes."""
    found = load_settings(tmp_path, environ={"LOCKSTEP_API__ALLOWED_HOSTS": "Lockstep.Internal,10.0.0.5"})
    assert found.api.allowed_hosts == ("lockstep.internal", "10.0.0.5")
    with pytest.raises(SettingsError, match="host name"):
        load_settings(tmp_path, environ={"LOCKSTEP_API__ALLOWED_HOSTS": "https://x"})
