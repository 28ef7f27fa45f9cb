"""What if a byte of the model that serves is no longer what was tested? It is refused with the reason."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.e2e.conftest import Life

pytestmark = pytest.mark.e2e


@contextmanager
def flipped(path: Path) -> Iterator[None]:
    """One bit of the file is different while the block runs."""
    content = path.read_bytes()
    mode = path.stat().st_mode
    path.chmod(0o644)
    path.write_bytes(content[:-40] + bytes([content[-40] ^ 1]) + content[-39:])
    try:
        yield
    finally:
        path.write_bytes(content)
        path.chmod(mode)


def model_file(directory: Path) -> Path:
    """The payload of one model inside a sealed bundle."""
    return max((path for path in directory.rglob("*") if "lightgbm" in path.name and path.is_file()), key=str)


def registered(life: Life) -> Path:
    """The bundle of the first model's version 1 in MLflow's artifact store."""
    manifests = [
        path.parent
        for path in (life.home / "mlflow-artifacts").rglob("manifest.json")
        if path.read_bytes() == (life.champion_bundle / "manifest.json").read_bytes()
    ]
    (found,) = manifests
    return found


def test_a_byte_in_the_registry_is_found(life, lockstep):
    """``models verify`` refuses the version and names the file; what serves comes from the sound copy."""
    damaged = model_file(registered(life))
    with flipped(damaged):
        answer = lockstep.ask("models", "verify", 1, "--home", life.home)
        assert answer.code == 1
        assert len(answer.lines) == 1, answer.err
        assert damaged.name in answer.lines[0]
        assert "What to do: " in answer.lines[0]


def test_a_byte_in_the_cached_bundle_is_healed_from_the_registry(life, lockstep):
    """The doctor names the damaged file; the next use fetches the sound copy and is well again."""
    damaged = model_file(life.champion_bundle)
    sound = damaged.read_bytes()
    with flipped(damaged):
        answer = lockstep.ask("doctor", "--home", life.home)
        assert answer.code == 1
        assert damaged.name in answer.out
        served = lockstep.ask("serve", "--replay", "2025-01-30", "2025-01-30T00:30", "--home", life.home, "--json")
        assert served.json["cause"] == "ok"
        assert damaged.read_bytes() == sound
    assert lockstep.ask("doctor", "--home", life.home).code == 0


def test_a_byte_in_both_stands_flat(life, lockstep):
    """No sound copy anywhere: bars are answered FLAT with the reason, and nothing is traded."""
    with flipped(model_file(life.champion_bundle)), flipped(model_file(registered(life))):
        before = _bars(life)
        shown = lockstep.ask("models", "show", 1, "--home", life.home)
        assert shown.code == 1
        assert len(shown.lines) == 1, shown.err
        served = lockstep.ask("serve", "--once", "--home", life.home, "--json").json
        again = lockstep.ask("serve", "--replay", "2025-01-27", "2025-01-27T01:00", "--home", life.home, "--json").json
        assert served["cause"] == again["cause"] == "bundle_refused"
        assert "lightgbm" in again["detail"]
        with life.engine.connect() as connection:
            rows = connection.execute(
                text("SELECT bar_ms, state, reason, action FROM signals WHERE model_name = 'lockstep-synthetic'")
            ).all()
        new = [row for row in rows if row.bar_ms not in before]
        assert new
        assert {row.state for row in new} == {"FLAT"}
        assert {row.action for row in new} == {0}
    assert lockstep.ask("doctor", "--home", life.home).code == 0


def _bars(life: Life) -> set[int]:
    with life.engine.connect() as connection:
        found = connection.execute(text("SELECT bar_ms FROM signals WHERE model_name = 'lockstep-synthetic'"))
        return {row.bar_ms for row in found}
