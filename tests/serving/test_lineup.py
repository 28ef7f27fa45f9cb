"""Who may speak: without a champion, with one that must not, with the last good one, with a broken one."""

from dataclasses import dataclass, replace

import pytest

from market.timeframe import DAY_MS
from registry.errors import PredictionError
from serving.errors import ReplayError
from serving.lineup import Lineup, ServedBundle
from tests.fakes.small_market import TIMEFRAME, TRAIN_END
from tests.serving.replays import lineup_of, run, said


def test_without_a_champion_every_signal_is_flat_and_the_challenger_is_still_scored(engine, market, bundles):
    """No champion: FLAT with that reason, no action, and shadow evidence all the same."""
    challenger = ServedBundle(bundle=bundles[1], version=2)
    summary = run(engine, market, Lineup(challengers=(challenger,)), bars=20)
    rows = said(engine)
    assert {(row.state, row.reason, row.action, row.bundle_hash) for row in rows} == {("FLAT", "no_champion", 0, None)}
    assert summary.predictions == 60


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"symbols": ["SYNBTCUSDT"]}, "symbol_not_covered"),
        ({"synthetic": False}, "synthetic_model"),
        ({"train_end_ms": TIMEFRAME.open_time(TRAIN_END) - 91 * DAY_MS}, "model_expired"),
        ({"train_end_ms": TIMEFRAME.open_time(TRAIN_END) - 89 * DAY_MS}, "ok"),
    ],
)
def test_a_champion_that_must_not_speak_here_is_flat(engine, market, bundles, facts, reason):
    """Uncovered symbol, other kind of market, too old: FLAT with the reason, on both sides of the age limit."""
    champion = replace(bundles[0], facts={**bundles[0].facts, **facts})
    run(engine, market, Lineup(champion=ServedBundle(bundle=champion, version=1)), bars=10)
    spoken = {row.symbol: row.reason for row in said(engine)}
    assert spoken["SYNETHUSDT"] == reason
    if reason == "symbol_not_covered":
        assert spoken["SYNBTCUSDT"] == "ok"


@pytest.mark.parametrize(
    ("cause", "has_champion", "state", "reason"),
    [
        ("bundle_refused", True, "LAST_GOOD", "bundle_refused"),
        ("registry_down", True, "LAST_GOOD", "registry_down"),
        ("contract_mismatch", True, "FLAT", "contract_mismatch"),
        ("bundle_refused", False, "FLAT", "no_champion"),
        ("contract_mismatch", False, "FLAT", "contract_mismatch"),
    ],
)
def test_the_last_good_champion_speaks_on_and_says_so(engine, market, bundles, cause, has_champion, state, reason):
    """LAST_GOOD acts like FULL under its own name; without a last good one there is nothing but FLAT."""
    lineup = replace(lineup_of(bundles), cause=cause, detail="why")
    run(engine, market, lineup if has_champion else replace(lineup, champion=None), bars=60)
    rows = said(engine)
    assert {(row.state, row.reason) for row in rows} == {(state, reason)}
    assert any(row.action for row in rows) == (state == "LAST_GOOD")


@dataclass(frozen=True)
class Failing:
    """A predictor that breaks."""

    name: str
    kind: str
    error: Exception

    def predict(self, X):
        """Break."""
        raise self.error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PredictionError("nan", why="w", remedy="r"), "model_error"),
        (RuntimeError("surprise"), "unknown_error"),
    ],
)
def test_a_broken_champion_is_flat_and_the_challenger_goes_on(engine, market, bundles, error, reason):
    """The champion's error is its own: FLAT with the cause, counted, and the other bundle is scored."""
    broken = replace(bundles[0], predictors=(Failing("x", "logistic", error), *bundles[0].predictors[1:]))
    lineup = replace(lineup_of(bundles), champion=ServedBundle(bundle=broken, version=1))
    summary = run(engine, market, lineup, bars=10)
    assert {(row.state, row.reason, row.action) for row in said(engine)} == {("FLAT", reason, 0)}
    assert summary.errors == {broken.hash: 10}
    assert summary.predictions == 30


def test_too_few_healthy_models_is_flat(engine, market, bundles):
    """A policy that wants more models than there are decides nothing."""
    lonely = replace(bundles[0], policy=replace(bundles[0].policy, min_healthy=4))
    run(engine, market, Lineup(champion=ServedBundle(bundle=lonely, version=1)), bars=5)
    assert {(row.state, row.reason) for row in said(engine)} == {("FLAT", "no_quorum")}


def test_a_plan_that_fits_no_bundle_is_refused(engine, market, bundles):
    """Doubled symbols and another contract are refused before anything is served."""
    with pytest.raises(ReplayError, match="each market"):
        run(engine, market, lineup_of(bundles), symbols=("SYNBTCUSDT", "SYNBTCUSDT"))
    with pytest.raises(ReplayError, match="max_filled"):
        run(engine, market, lineup_of(bundles), contract=replace(market.contract, max_filled=3))
    assert said(engine) == []
