"""What a demo chose is remembered in the home, and is checked before anything is made."""

import tomllib

import pytest

from infra.settings import load_settings
from market.errors import LockstepError
from tasks.demo_plan import plan_demo
from tasks.plan import NotEnoughHistoryError
from tests.tasks.test_collecting import write


def test_the_synthetic_market_is_remembered_under_its_own_model(tmp_path):
    """Symbols, days, reference and a model name of its own; the reference is always brought in."""
    plan = plan_demo(tmp_path / "home", files=None, symbols=("SYNETHUSDT",), days=60)
    assert plan.symbols == ("SYNETHUSDT", "SYNBTCUSDT")
    assert (plan.folder, plan.days, plan.start_ms) == (None, 60, None)
    settings = load_settings(tmp_path / "home", environ={})
    assert settings.data.symbols == ("SYNETHUSDT",)
    assert settings.registry.model_name == "lockstep-synthetic"
    assert settings.features.reference_symbol == "SYNBTCUSDT"
    again = plan_demo(tmp_path / "home", files=None, symbols=("SYNETHUSDT",), days=60)
    assert again == plan
    assert load_settings(tmp_path / "home", environ={}).registry.model_name == "lockstep-synthetic"


def test_files_follow_a_synthetic_demo_in_the_same_home(tmp_path, monkeypatch):
    """Model and reference go back to the real ones; the window ends with the newest bar."""
    monkeypatch.setenv("LOCKSTEP_SHADOW__SHADOW_DAYS", "1")
    monkeypatch.setenv("LOCKSTEP_SHADOW__SERVE_DAYS", "1")
    monkeypatch.setenv("LOCKSTEP_TRAINING__MIN_TRAIN_DAYS", "1")
    folder = tmp_path / "candles"
    folder.mkdir()
    write(folder, "BTCUSDT", bars=2700)
    write(folder, "ETHUSDT", bars=2699)
    plan_demo(tmp_path / "home", files=None, symbols=(), days=90)
    plan = plan_demo(tmp_path / "home", files=folder, symbols=("ETHUSDT",), days=9)
    assert plan.symbols == ("ETHUSDT", "BTCUSDT")
    assert plan.end_ms - plan.start_ms == 9 * 86_400_000
    written = tomllib.loads((tmp_path / "home" / "lockstep.toml").read_text())
    assert written["data"] == {"symbols": ["ETHUSDT"]}
    longest = plan_demo(tmp_path / "home", files=folder, symbols=(), days=None)
    assert longest.end_ms - longest.start_ms == 120 * 86_400_000, "an earlier demo's days are not this one's"
    settings = load_settings(tmp_path / "home", environ={})
    assert (settings.registry.model_name, settings.features.reference_symbol) == ("lockstep", "BTCUSDT")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"symbols": ("BTCUSDT",), "days": 90}, LockstepError),
        ({"symbols": (), "days": 20}, NotEnoughHistoryError),
    ],
)
def test_a_refusal_makes_no_home(tmp_path, arguments, error):
    """A symbol of no synthetic market, or too few days."""
    with pytest.raises(error, match="What to do: "):
        plan_demo(tmp_path / "home", files=None, **arguments)
    assert not (tmp_path / "home").exists()
