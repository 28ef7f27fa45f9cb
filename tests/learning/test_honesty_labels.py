"""With labels dealt out anew every metric falls to chance, and every one of them stands out when they are not."""

from dataclasses import replace

import numpy as np
import pytest

from learning.bootstrap import block_bootstrap_mean
from learning.metrics import brier_rows, log_loss_rows
from learning.significance import bar_series
from tests.learning.honest_market import HORIZON, market_panel
from tests.learning.honest_runs import edge_market, judge

BLOCK_BARS = 20
SURE = 0.999
SIGMAS = 4.0
EVERY_METRIC = {
    *(
        f"{score} of {name}"
        for score in ("log loss", "brier")
        for name in ("ensemble", "lightgbm", "xgboost", "logistic")
    ),
    "ranking",
    "calibration",
    "hit rate",
    "sharpe",
    "profit factor",
    "deflated sharpe",
    "shadow skill",
    "shadow trades",
    "gates",
}


def dealt_by_row(panel, rng):
    """New row to old row: outcomes of single rows, over all symbols and times."""
    order, known = np.arange(len(panel)), np.flatnonzero(panel.y >= 0)
    order[known] = rng.permutation(known)
    return order


def dealt_by_block(panel, rng):
    """New row to old row: outcomes of 20 bars stay together, and no block stays where it was."""
    size = BLOCK_BARS * len(panel.symbols)
    whole = int((panel.y >= 0).argmin() // size)
    cycle = rng.permutation(whole)
    source = np.empty(whole, dtype=np.int64)
    source[cycle] = np.roll(cycle, 1)
    moved = (source[:, None] * size + np.arange(size)).ravel()
    return np.concatenate((moved, np.arange(moved.size, len(panel))))


def with_outcomes_of(panel, order):
    """The same features, with class, returns and how long each trade took taken from other rows."""
    later = panel.bar_index - panel.bar_index[order]
    moved = {name: getattr(panel, name)[order] for name in ("y", "net", "gross", "funding", "barrier")}
    ends = panel.exit_index[order]
    return replace(
        panel,
        **moved,
        exit_index=np.where(ends < 0, -1, ends + later[:, None]),
        label_end=panel.label_end[order] + later,
    )


def gains(values, bar_index):
    """Whether the mean over bars is above zero beyond chance."""
    series = bar_series(values, bar_index=bar_index)
    return block_bootstrap_mean(series, horizon_bars=HORIZON, seed=3, confidence=SURE).low > 0.0


def ranks(scored):
    """Whether BUY rows rank above SELL rows by P(BUY) - P(SELL) beyond chance; the mean is 4 (AUC - 1/2)."""
    sides = scored.y > 0
    lean = (scored.ensemble[:, 1] - scored.ensemble[:, 2])[sides]
    place = (np.argsort(np.argsort(lean, kind="stable"), kind="stable") + 0.5) / lean.size - 0.5
    bought = scored.y[sides] == 1
    share = bought.mean()
    return gains(np.where(bought, place / share, -place / (1.0 - share)), scored.bar_index[sides])


def follows(reliability):
    """Whether any class comes more or less often where it was said to, beyond chance for labels of six bars."""
    rows = reliability.rows.sum(axis=1, keepdims=True)
    base = (reliability.observed * reliability.rows).sum(axis=1, keepdims=True) / rows
    error = np.sqrt(base * (1.0 - base) / (reliability.rows / HORIZON))
    return bool((np.abs(reliability.observed - base) > SIGMAS * error).any())


def hits(one):
    """Whether trades win more often than all rows of their side do, beyond chance."""
    trades, scored = one.result.trades, one.result.scored
    inside = (one.panel.bar_index >= scored.bar_index.min()) & (one.panel.bar_index <= scored.bar_index.max())
    rates = np.nanmean(np.where(np.isnan(one.panel.net), np.nan, one.panel.net > 0.0)[inside], axis=0)
    won = trades.net[trades.resolved] > 0.0
    if won.size == 0:
        return False
    base = rates[(trades.side[trades.resolved] < 0).astype(np.int64)].mean()
    return won.mean() > base + SIGMAS * np.sqrt(base * (1.0 - base) / won.size)


def above_chance(one):
    """Names of the metrics that claim to know something."""
    result, scored = one.result, one.result.scored
    forecasts = {"ensemble": scored.ensemble, **dict(zip(scored.model_names, scored.models, strict=True))}
    found = set()
    for score, rows in (("log loss", log_loss_rows), ("brier", brier_rows)):
        base = rows(scored.climatology, scored.y)
        found |= {
            f"{score} of {name}" for name, p in forecasts.items() if gains(base - rows(p, scored.y), scored.bar_index)
        }
    results = result.trades.results
    claims = {
        "ranking": ranks(scored),
        "calibration": follows(result.reliability),
        "hit rate": hits(one),
        "sharpe": gains(result.bar_returns["ensemble"], result.equity_index),
        "profit factor": results.sum() > SIGMAS * np.sqrt(np.square(results).sum()),
        "deflated sharpe": (one.evidence["deflated_sharpe"]["probability"] or 0.0) >= 0.90,
        "shadow skill": one.shadow.e_superiority > 20.0 and one.shadow.ci_low > 0.0,
        "shadow trades": not {"shadow_sharpe_min", "shadow_profit_factor_min", "shadow_trades_min"} & one.failed,
        "gates": one.verdict == "promote",
    }
    return found | {name for name, claimed in claims.items() if claimed}


@pytest.fixture(scope="module")
def panel():
    """A market with a large edge."""
    return market_panel(edge=0.6, seed=0, bars=3400, symbols=3)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("deal", [dealt_by_row, dealt_by_block])
def test_dealt_labels_fall_to_chance_in_every_metric(panel, deal, seed):
    """Scores, ranking, calibration, hit rate, profit, shadow and gates: none claims to know anything."""
    one = judge(with_outcomes_of(panel, deal(panel, np.random.default_rng(seed))))
    claimed = above_chance(one)
    assert claimed <= {"shadow trades"}, "a lucky shadow is for the other gates to see"
    assert {"skill_climatology_min", "deflated_sharpe_min"} <= one.failed
    scores = one.result.evaluation["strategies"]
    assert abs(scores["ensemble"]["log_loss"] - scores["climatology"]["log_loss"]) < 0.02


def test_each_of_these_metrics_sees_the_labels_that_were_not_dealt():
    """The same functions on such a market as it is: every metric claims to know something, and rightly."""
    assert above_chance(edge_market(0, 0.8)) == EVERY_METRIC


@pytest.mark.parametrize("deal", [dealt_by_row, dealt_by_block])
def test_dealing_moves_outcomes_whole_and_nothing_else(panel, deal):
    """Features stay, every outcome is there once more, with its returns, its class and its length."""
    dealt = with_outcomes_of(panel, deal(panel, np.random.default_rng(1)))
    assert dealt.X is panel.X
    assert (dealt.y != panel.y).mean() > 0.3
    for name in ("y", "net", "barrier"):
        np.testing.assert_array_equal(
            np.sort(getattr(dealt, name), axis=None), np.sort(getattr(panel, name), axis=None)
        )
    known = dealt.y >= 0
    assert (dealt.label_end - dealt.bar_index)[known].max() <= HORIZON
    assert (dealt.exit_index[known].max(axis=1) == dealt.label_end[known]).all()
    side = np.where(dealt.net[known, 0] >= dealt.net[known, 1], 1, 2)
    np.testing.assert_array_equal(np.where(dealt.net[known].max(axis=1) > 0.0, side, 0), dealt.y[known])
