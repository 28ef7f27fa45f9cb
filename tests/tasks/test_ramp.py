"""A champion's stages of capital on a real database: forward, back, restarts, kills and two checks at once."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest
from sqlalchemy import Engine, insert, text

from infra.bootstrap import App
from infra.capital_tables import capital_stages
from infra.database import open_database
from infra.lake import Lake
from infra.locks import LockHeldError
from infra.settings import load_settings
from serving.errors import ServingError
from serving.halt import set_halt
from serving.ramp import Stage
from serving.stages import current_stage, record_stop, stage_history
from tasks import ramp
from tests.tasks.ramp_life import HOUR, M5, START, Life

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def shared_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A migrated database of this module's own."""
    with open_database(load_settings(tmp_path_factory.mktemp("ramp"), environ={})) as opened:
        yield opened


@pytest.fixture
def life(shared_engine: Engine, tmp_path: Path) -> Life:
    """A champion trained on a real market, nothing served yet."""
    settings = load_settings(tmp_path, environ={}, overrides={"ramp.min_predictions": 10})
    made = Life(app=App(settings=settings, engine=shared_engine, lake=Lake(tmp_path / "lake", settle_delay_ms=5000)))
    made.clear()
    made.champion("a")
    return made


def test_a_good_life_goes_from_observe_to_full_capital(life: Life) -> None:
    """One row a stage, each with its evidence, a check for each, and the stage is what everybody else reads."""
    life.grow("capital_full")
    assert life.stages() == [stage.value for stage in Stage]
    assert current_stage(life.engine, life.model) is Stage.CAPITAL_FULL
    assert life.checks()[1:3] == [("fired", "observe -> paper"), ("fired", "paper -> capital_10")]
    life.serve(25)
    assert life.check()["verdict"] == "quiet"
    assert len(life.stages()) == 5
    shown = ramp.show_ramp(life.app)
    assert (shown["stage"], shown["capital_share"], shown["max_positions"]) == ("capital_full", 1.0, None)
    assert [one["stage"] for one in shown["history"]] == [stage.value for stage in reversed(Stage)]


def test_without_a_champion_there_is_nothing_to_judge(life: Life) -> None:
    """And nothing is written."""
    life.clear()
    assert life.check()["verdict"] == "none"
    assert (life.stages(), life.checks()) == ([], [])
    assert current_stage(life.engine, life.model) is Stage.OBSERVE


def test_a_champion_of_which_nothing_is_stored_waits(life: Life) -> None:
    """Rows of a replay are no evidence either."""
    life.check()
    life.serve(2)
    with life.engine.begin() as connection:
        connection.execute(text("UPDATE signals SET run = 'replay'"))
        connection.execute(text("UPDATE predictions SET run = 'replay'"))
    found = life.check()
    assert (found["verdict"], found["stage"]) == ("unknown", "observe")


@pytest.mark.parametrize(
    ("trouble", "to"),
    [
        ({"reason": "feature_invalid"}, "observe"),
        ({"reason": "model_error"}, "observe"),
        ({"reason": "drawdown"}, "paper"),
        ({"reason": "guard_paused"}, "paper"),
        ({"net": -0.2}, "paper"),
    ],
)
def test_a_breach_with_capital_demotes_at_the_next_check(life: Life, trouble: dict[str, object], to: str) -> None:
    """Half an hour of it, long before the stage's time is over."""
    life.grow("capital_25")
    life.serve(0.5, **trouble)  # type: ignore[arg-type]
    found = life.check()
    assert (found["verdict"], found["from_stage"], found["stage"]) == ("fired", "capital_25", to)
    assert found["since_ms"] == life.now_ms
    assert "breach" in str(found["reason"])


def test_a_gap_in_the_data_is_no_breach(life: Life) -> None:
    """A bar the venue did not give is not the champion's fault."""
    life.grow("capital_25")
    life.serve(1, reason="gap")
    assert life.check()["verdict"] == "quiet"


def test_a_check_of_the_watch_that_fired_demotes_and_one_of_the_ramp_does_not(life: Life) -> None:
    """The ramp's own checks fire at each promotion and are no evidence."""
    life.grow("capital_25")
    life.serve(1)
    life.fire("ramp")
    assert life.check()["verdict"] == "quiet"
    life.fire("harm")
    assert life.check()["stage"] == "paper"


def test_a_halt_by_hand_demotes_too(life: Life) -> None:
    """Before any bar has said so."""
    life.grow("capital_10")
    life.serve(0.5)
    set_halt(life.engine, on=True, why="test", who="test")
    assert life.check()["stage"] == "paper"


def test_losing_when_the_time_is_over_goes_one_stage_down(life: Life) -> None:
    """Not far enough for the drawdown."""
    life.grow("capital_25")
    life.serve(18.1, net=-0.0001)
    found = life.check()
    assert (found["from_stage"], found["stage"]) == ("capital_25", "capital_10")
    assert "profit" in str(found["reason"])


@pytest.mark.parametrize("how", ["passed over", "caught up"])
def test_an_unplanned_restart_restarts_the_clock(life: Life, how: str) -> None:
    """Whether its bars are missing or were written late, the stage's time counts from when the worker was back."""
    life.grow("capital_10")
    life.serve(3)
    gone = life.now_ms // M5.ms * M5.ms
    life.now_ms = gone
    if how == "passed over":
        life.now_ms += HOUR
        life.serve(3)
    else:
        life.serve(1, late=1000)
        life.serve(3)
    found = life.check()
    assert (found["verdict"], found["stage"]) == ("fired", "capital_10")
    assert gone + HOUR <= found["since_ms"] <= gone + HOUR + M5.ms + 5000
    assert life.check()["verdict"] == "quiet", "the same silence restarts it once"


def test_a_planned_stop_restarts_no_clock(life: Life) -> None:
    """Its bars were caught up, late, by the next worker."""
    life.grow("capital_10")
    life.serve(3)
    life.stop()
    life.now_ms = life.now_ms // M5.ms * M5.ms
    life.serve(1, late=1000)
    life.serve(2.5)
    assert life.check()["stage"] == "capital_25"


def test_a_worker_that_is_gone_now_promotes_nobody(life: Life) -> None:
    """Its last sign is older than two bars."""
    life.check()
    life.serve(1.5)
    life.now_ms += 4 * M5.ms
    assert life.check()["verdict"] == "unknown"


@pytest.mark.parametrize("letters", ["b", "ba"])
def test_another_champion_is_at_paper_at_once(life: Life, letters: str) -> None:
    """Before any check, also where a rollback brings the same bundle back; the check then stores it."""
    life.grow("capital_25")
    for letter in letters:
        life.champion(letter)
    assert current_stage(life.engine, life.model) is Stage.PAPER
    assert life.check()["stage"] == "paper"
    assert life.stages()[-1] == "paper"


def test_a_synthetic_champion_stays_at_paper(life: Life) -> None:
    """However well it does."""
    life.champion("s", synthetic=True)
    life.grow("paper")
    life.serve(30)
    found = life.check()
    assert (found["verdict"], found["stage"]) == ("quiet", "paper")


_KILLED = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import create_engine
from infra.bootstrap import App
from infra.lake import Lake
from infra.settings import load_settings
from tasks import ramp

url, home, now, where = sys.argv[1:]
keep = getattr(ramp, where)
def killed(*given, **named):
    if where == "append_stage":
        keep(*given, **named)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(ramp, where, killed)
settings = load_settings(Path(home), environ={}, overrides={"ramp.min_predictions": 10})
lake = Lake(Path(home) / "lake", settle_delay_ms=5000)
app = App(settings=settings, engine=create_engine(url), lake=lake)
ramp.evaluate_ramp(app, now_ms=int(now))
"""


@pytest.mark.parametrize("where", ["_write", "append_stage"])
def test_a_check_killed_before_it_has_written_leaves_the_stage_as_it_was(life: Life, where: str) -> None:
    """By kill -9, after the evaluation or between stage and check: nothing is half written, the next one decides."""
    life.grow("observe")
    life.serve(1.1)
    before = (life.stages(), life.checks())
    url = life.engine.url.render_as_string(hide_password=False)
    arguments = [url, str(life.app.settings.home), str(life.now_ms), where]
    ended = subprocess.run([sys.executable, "-c", _KILLED, *arguments], check=False, timeout=120)
    assert ended.returncode == -9
    assert (life.stages(), life.checks()) == before
    assert life.check()["stage"] == "paper"
    assert life.stages() == ["observe", "paper"]


def test_of_two_checks_at_once_one_wins(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other is told so and writes nothing."""
    life.grow("observe")
    life.serve(1.1)
    inside, go_on, keep = Event(), Event(), ramp.read_evidence

    def slow(*given: object) -> object:
        inside.set()
        assert go_on.wait(60)
        return keep(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(ramp, "read_evidence", slow)
    first = Thread(target=life.check)
    first.start()
    assert inside.wait(60)
    with pytest.raises(LockHeldError, match="ramp of lockstep"):
        life.check()
    go_on.set()
    first.join(60)
    assert life.stages() == ["observe", "paper"]


def test_a_stage_nobody_knows_allows_nothing(life: Life) -> None:
    """It is refused, not read as something near."""
    row = {"model_name": life.model, "bundle_hash": "x", "deployment_id": 1, "stage": "capital_99", "reason": "r"}
    with life.engine.begin() as connection:
        connection.execute(insert(capital_stages).values(**row, since=text("now()"), inputs={}, who="w"))
    with pytest.raises(ServingError, match="capital_99"):
        current_stage(life.engine, life.model)


def test_the_history_survives_and_a_stop_is_stored(life: Life) -> None:
    """Rows are read back as they were written."""
    life.grow("paper")
    history = stage_history(life.engine, life.model)
    assert [row.clock.stage for row in history] == [Stage.OBSERVE, Stage.PAPER]
    assert history[0].clock.since_ms == START
    record_stop(life.engine, model_name=life.model, why="SIGTERM", who="test")
    with life.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM worker_stops")) == 1
