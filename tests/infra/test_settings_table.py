"""The page of settings is the settings."""

from pathlib import Path

from infra.settings import setting_fields
from infra.settings_table import settings_table

_PAGE = Path(__file__).resolve().parents[2] / "docs" / "settings.md"


def test_the_page_is_current():
    """docs/settings.md is what the models say; `python -m infra.settings_table > docs/settings.md` renews it."""
    assert _PAGE.read_text("utf-8") == settings_table()


def test_every_setting_has_its_line():
    """One row each, with a meaning."""
    rows = [line for line in settings_table().splitlines() if line.startswith("| `")]
    assert len(rows) == len(list(setting_fields()))
    assert all(len(row.split(" | ")[-1].strip(" |")) > 5 for row in rows)
