"""What is chosen for one training replaces settings, and nothing else does."""

from pathlib import Path

import pytest

from infra.settings import load_settings
from market.errors import LockstepError
from tasks.plan import config_facts
from tasks.training_choice import chosen_settings, require_trials


def loaded(**chosen):
    return load_settings(Path("/nowhere"), environ={}, overrides=chosen_settings(**chosen))


def test_choices_become_settings():
    """Symbols in any spelling, days and mode; what is not chosen stays."""
    found = loaded(symbols=["BTC/USDT:USDT", "ETHUSDT"], days=90, mode="meta")
    assert (found.data.symbols, found.training.max_days, found.events.mode) == (("BTCUSDT", "ETHUSDT"), 90, "meta")
    assert loaded() == load_settings(Path("/nowhere"), environ={})


def test_a_choice_is_checked_like_any_setting():
    """Words and numbers out of bounds are refused."""
    for wrong in ({"mode": "both"}, {"days": -1}):
        with pytest.raises(LockstepError):
            loaded(**wrong)


def test_a_mode_is_part_of_what_identifies_a_training():
    """Another mode is another configuration, so it is trained and not answered from what there is."""
    assert config_facts(loaded(mode="meta"))["events"] != config_facts(loaded())["events"]


def test_minutes_without_trials_are_refused():
    """Time to tune is not ignored in silence; with trials, from the command line or the settings, it counts."""
    with pytest.raises(LockstepError, match="5 minutes to tune, but no trials"):
        require_trials(chosen_settings(minutes=5.0), trials=0)
    require_trials(chosen_settings(minutes=5.0), trials=20)
    require_trials(chosen_settings(minutes=0.0), trials=0)
