"""Cutting the symbols of a model into shares."""

import pytest

from registry.policy import DecisionPolicy
from serving.errors import ReplayError
from serving.round_start import round_start
from serving.shares import lease_name, policy_of_share, share_of, symbols_of_share
from serving.summary import combined
from serving.worker import replay
from tests.fakes.small_market import END_INDEX, SYMBOLS, TRAIN_END
from tests.serving.replays import content, lineup_of, plan_for

MANY = tuple(f"COIN{k}USDT" for k in range(200))


@pytest.mark.parametrize("shares", [1, 2, 3, 7])
def test_every_symbol_is_in_exactly_one_share_and_stays_there(shares):
    """The shares are a partition, about equally large, and do not depend on what else is listed."""
    parts = [symbols_of_share(MANY, share, shares) for share in range(shares)]
    assert sorted(name for part in parts for name in part) == sorted(MANY)
    assert all(len(part) > 200 / shares / 2 for part in parts)
    assert all(symbols_of_share((name,), share_of(name, shares), shares) == (name,) for name in MANY)


def test_limits_are_shared_out_and_never_exceeded():
    """Two shares of five positions hold two each; a share that could hold none is refused."""
    policy = DecisionPolicy(thresholds=(0.4, 0.4), horizon_bars=4, max_positions=5, max_exposure=1.0, max_correlated=3)
    half = policy_of_share(policy, 2)
    assert (half.max_positions, half.max_exposure, half.max_correlated) == (2, 0.5, 1)
    assert policy_of_share(policy, 1) is policy
    with pytest.raises(ReplayError, match=r"serving\.shares"):
        policy_of_share(policy, 6)


def test_a_lease_says_what_it_is_for():
    """One share is the whole model, under the name it always had."""
    assert lease_name("m", 0, 1) == "serving of m"
    assert lease_name("m", 1, 4) == "serving of m, share 2 of 4"


def test_shares_served_apart_make_whole_bars(engine, market, bundles):
    """Two replays of one share each leave every signal once; a share alone sees its own symbols and nothing else."""
    lineup = lineup_of((bundles[0],))
    plans = [plan_for(market, symbols=symbols_of_share(SYMBOLS, share, 2), share=share, shares=2) for share in range(2)]
    assert all(plan.symbols for plan in plans)
    first = replay(engine, market.lake, lineup, plan=plans[0], start_index=TRAIN_END, end_index=TRAIN_END + 60)
    with engine.connect() as connection:
        assert round_start(connection, plans[0]).served_ms is not None
        assert round_start(connection, plans[1]).served_ms is None
    second = replay(engine, market.lake, lineup, plan=plans[1], start_index=TRAIN_END, end_index=TRAIN_END + 60)
    both = combined([first, second])
    assert both.bars == 60
    assert both.signals == len(content(engine)["signals"]) == 60 * len(SYMBOLS)
    assert sum(both.funnel.values()) == 60 * len(SYMBOLS)


def test_a_share_started_again_goes_on_as_if_it_had_not_stopped(engine, market, bundles):
    """Its memory is recalled from its own rows, whatever another share did in between."""
    lineup = lineup_of((bundles[0],))
    mine, other = (
        plan_for(market, symbols=symbols_of_share(SYMBOLS, share, 2), share=share, shares=2) for share in range(2)
    )
    end = min(TRAIN_END + 90, END_INDEX)
    replay(engine, market.lake, lineup, plan=mine, start_index=TRAIN_END, end_index=end)
    whole = content(engine)["predictions"]
    with engine.begin() as connection:
        for table in ("position_checks", "paper_trades", "predictions", "signals", "feature_rows"):
            connection.exec_driver_sql(f"DELETE FROM {table}")
    replay(engine, market.lake, lineup, plan=other, start_index=TRAIN_END, end_index=end)
    for stop in (TRAIN_END + 13, TRAIN_END + 50, end):
        replay(engine, market.lake, lineup, plan=mine, start_index=TRAIN_END, end_index=stop)
    again = [row for row in content(engine)["predictions"] if any(symbol in row for symbol in mine.symbols)]
    assert again == whole


def test_the_heartbeat_names_the_share(market):
    """Two workers that beat do not hide each other."""
    names = [plan_for(market, share=share, shares=shares).component for share, shares in ((0, 1), (0, 2), (1, 2))]
    assert names == ["worker", "worker 1 of 2", "worker 2 of 2"]
