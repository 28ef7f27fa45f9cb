"""Everything a command needs is opened together, or nothing is."""

import pytest
from sqlalchemy import text

from infra.bootstrap import open_app
from infra.errors import DatabaseError, SettingsError, VersionError

pytestmark = pytest.mark.integration


def test_settings_database_and_lake_belong_to_one_home(settings, engine):
    """The same home gives the same database, and the lake lies in it with the settings' settle delay."""
    assert engine.url.database == "lockstep"
    environ = {"LOCKSTEP_DATA__SETTLE_DELAY_S": "7"}
    with open_app(settings.home, environ=environ) as app:
        assert app.settings.home == settings.home
        assert app.lake.root == settings.home / "lake"
        assert app.lake.settle_delay_ms == 7000
        with app.engine.connect() as connection:
            assert connection.execute(text("SELECT count(*) FROM probe")).scalar_one() == 0


def test_the_environment_given_is_the_one_read(settings, monkeypatch):
    """Not the process's own, when another is handed in."""
    monkeypatch.setenv("LOCKSTEP_NO_SUCH_SETTING", "1")
    with open_app(settings.home, environ={}) as app:
        assert app.settings.training.folds == 5
    with pytest.raises(SettingsError, match="LOCKSTEP_NO_SUCH_SETTING"), open_app(settings.home):
        pytest.fail("opened")


def test_a_refusal_opens_and_makes_nothing(tmp_path):
    """A wrong setting or address is found before a home exists."""
    home = tmp_path / "home"
    for environ, error in (
        ({"LOCKSTEP_TRAINING__FOLDS": "1"}, SettingsError),
        ({"LOCKSTEP_DATABASE__URL": "mysql://x/y"}, DatabaseError),
    ):
        with pytest.raises(error), open_app(home, environ=environ):
            pytest.fail("opened")
    assert not home.exists()


def test_a_library_that_does_not_work_is_refused_first(tmp_path, monkeypatch):
    """Before settings are read."""

    def refuse():
        raise VersionError("pandas 2", why="x", remedy="y")

    monkeypatch.setattr("infra.bootstrap.check_versions", refuse)
    with pytest.raises(VersionError), open_app(tmp_path / "home", environ={"LOCKSTEP_NONSENSE": "1"}):
        pytest.fail("opened")
