"""The synthetic market: the same bytes for a seed, sound bars, and an edge only when asked for."""

import numpy as np
import pytest

from infra.errors import SourceError
from infra.lake import Lake
from infra.open_interest import check_open_interest
from infra.sources import FetchRequest, Kind, SyntheticSource, synthetic_market, synthetic_symbols
from infra.sources.synthetic_kernel import DRAWS, symbol_path
from market.basis import basis_on_grid, check_mark
from market.candles import check_candles
from market.funding import check_funding, funding_on_grid
from market.grid import to_grid
from market.taker_flow import check_taker, taker_on_grid
from market.timeframe import DAY_MS, HOUR_MS, Timeframe
from tasks.market_values import append
from tests.infra.lake_data import FIVE, JANUARY_31, same

PINNED = [59941.1, 59507.2, 60442.5]


def market(symbols=2, days=5, seed=7, edge=1.0, timeframe=FIVE):
    """A small market from a fixed start."""
    return synthetic_market(
        synthetic_symbols(symbols), timeframe=timeframe, start_ms=JANUARY_31, days=days, seed=seed, edge=edge
    )


def test_symbols_begin_with_the_reference_and_are_marked():
    """The reference first, every name marked as synthetic, more names than coins if need be."""
    names = synthetic_symbols(15)
    assert names[:3] == ("SYNBTCUSDT", "SYNETHUSDT", "SYNSOLUSDT")
    assert len(set(names)) == 15
    assert all(name.startswith("SYN") and name.endswith("USDT") for name in names)


def test_more_days_only_append():
    """The first days are the same bytes however long the market runs."""
    short, long = market(days=3), market(days=9)
    for name, history in short.items():
        end = JANUARY_31 + 3 * DAY_MS
        assert same(history.candles, long[name].candles.between(None, end))
        n = history.funding.time.size
        assert history.funding.rate.tobytes() == long[name].funding.rate[:n].tobytes()
        assert int(long[name].funding.time[n]) == end
        held = history.open_interest.value
        assert held.tobytes() == long[name].open_interest.value[: held.size].tobytes()
        assert history.mark.price.tobytes() == long[name].mark.price[: history.mark.price.size].tobytes()
        assert history.taker.share.tobytes() == long[name].taker.share[: history.taker.share.size].tobytes()


def test_more_symbols_change_nothing_for_the_others():
    """A symbol alone is the same as in company."""
    alone = synthetic_market(("SYNETHUSDT",), timeframe=FIVE, start_ms=JANUARY_31, days=5, seed=7)
    assert same(alone["SYNETHUSDT"].candles, market(symbols=4)["SYNETHUSDT"].candles)


def test_the_bytes_of_a_seed_are_pinned_and_another_seed_differs():
    """The closes of one small market are written down here; they change only when the market is changed on purpose."""
    closes = market(symbols=1, days=1)["SYNBTCUSDT"].candles.close
    assert closes[[0, 100, -1]].tolist() == PINNED
    assert not np.array_equal(closes, market(symbols=1, days=1, seed=8)["SYNBTCUSDT"].candles.close)


@pytest.mark.parametrize("name", ["5m", "1h", "1d"])
def test_bars_funding_and_open_interest_keep_every_rule(name):
    """At any timeframe the market's own checks pass, stamps fall on 8 hours, and funding is known."""
    timeframe = Timeframe.parse(name)
    for history in market(days=40, timeframe=timeframe).values():
        check_candles(history.candles)
        check_funding(history.funding)
        check_open_interest(history.open_interest)
        check_mark(history.mark)
        check_taker(history.taker)
        assert len(history.candles) == 40 * timeframe.bars_per_day
        assert (np.diff(history.candles.open_time) == timeframe.ms).all()
        assert (history.funding.time % (8 * HOUR_MS) == 0).all()
        assert (history.candles.open[1:] == history.candles.close[:-1]).all()
    if name == "5m":
        first = timeframe.index_of(JANUARY_31)
        grid = funding_on_grid(history.funding, timeframe=timeframe, first_index=first, n=len(history.candles))
        assert grid.known.all()


def test_the_mark_price_is_near_and_takers_buy_what_rises():
    """A mark price each hour, a basis of some hundredths of a percent like funding's; a share for every bar."""
    history = market(days=40)["SYNETHUSDT"]
    grid = to_grid(history.candles)
    assert history.mark.time.tolist() == list(range(JANUARY_31 + HOUR_MS, JANUARY_31 + 40 * DAY_MS + 1, HOUR_MS))
    basis = basis_on_grid(history.mark, grid)
    assert 5e-5 < np.nanstd(basis) < 1e-3
    settled = funding_on_grid(history.funding, timeframe=FIVE, first_index=grid.first_index, n=len(grid)).last_rate
    known = ~np.isnan(basis)
    assert np.corrcoef(basis[known], settled[known])[0, 1] > 0.1
    share = taker_on_grid(history.taker, grid)
    assert not np.isnan(share[grid.volume > 0]).any()
    returns = np.log(history.candles.close / history.candles.open)
    assert np.corrcoef(share, returns)[0, 1] > 0.4
    assert abs(np.corrcoef(share[:-1], returns[1:])[0, 1]) < 0.1


def test_it_moves_like_a_market():
    """Fat tails, clustered volatility, correlated symbols, volume that follows moves, funding that follows returns."""
    histories = list(market(symbols=3, days=60).values())
    returns = [np.diff(np.log(history.candles.close)) for history in histories]
    size = np.abs(returns[0])
    kurtosis = ((returns[0] - returns[0].mean()) ** 4).mean() / returns[0].var() ** 2
    assert kurtosis > 5
    assert np.corrcoef(size[1:], size[:-1])[0, 1] > 0.1
    assert 0.3 < np.corrcoef(returns[0], returns[1])[0, 1] < 0.9
    assert np.corrcoef(size, np.log(histories[0].candles.volume[1:]))[0, 1] > 0.3
    every = 8 * HOUR_MS // FIVE.ms
    trend = np.log(histories[1].candles.close[every - 1 :: every] / histories[1].candles.open[::every])
    assert np.corrcoef(trend[:-1], histories[1].funding.rate[1 : trend.size])[0, 1] > 0.2


def reversal(edge, seed):
    """Correlation of the last six hours' move with the next two hours', over three symbols."""
    past, future = [], []
    for history in market(symbols=3, days=60, seed=seed, edge=edge).values():
        log = np.log(history.candles.close)
        at = np.arange(72, log.size - 24, 24)
        past.append(log[at] - log[at - 72])
        future.append(log[at + 24] - log[at])
    return float(np.corrcoef(np.concatenate(past), np.concatenate(future))[0, 1])


def test_the_edge_is_there_when_asked_for_and_not_otherwise():
    """Past moves foretell a reversal at edge 1, more of it at edge 2, and nothing at edge 0."""
    for seed in (7, 8):
        none, one, two = (reversal(edge, seed) for edge in (0.0, 1.0, 2.0))
        assert abs(none) < 0.06
        assert two < one - 0.04
        assert one < -0.1


def test_the_edge_uses_nothing_of_the_future():
    """Chance drawn anew from one bar on leaves every bar before it as it was, edge and all, and changes that bar."""
    rng = np.random.default_rng(1)
    factor = np.column_stack((rng.normal(0, 1e-3, 900), np.ones(900)))
    draws = rng.standard_normal((900, DRAWS))
    other = np.concatenate((draws[:500], rng.standard_normal((400, DRAWS))))
    one, two = (
        symbol_path(factor, each, scale=1e-3, beta=1.0, wildness=1.0, edge=3.0, bars_of_5m=1.0)
        for each in (draws, other)
    )
    assert one[:500].tobytes() == two[:500].tobytes()
    assert (one[500, [1, 2, 3]] != two[500, [1, 2, 3]]).all()


def test_as_a_source_it_answers_requests_and_enters_the_lake_marked(tmp_path):
    """Windows are slices of the one market, and what was stored says that it is synthetic."""
    source = SyntheticSource(start_ms=JANUARY_31, seed=7)
    lake = Lake(tmp_path)
    end = JANUARY_31 + 5 * DAY_MS
    for kind in Kind:
        request = FetchRequest(symbol="SYNETHUSDT", kind=kind, timeframe=FIVE, start_ms=JANUARY_31 + DAY_MS, end_ms=end)
        (values,) = source.fetch(request)
        if kind is Kind.CANDLES:
            assert same(values, market()["SYNETHUSDT"].candles.between(JANUARY_31 + DAY_MS, end))
            lake.append_candles(values, source=source.name)
        elif kind is Kind.FUNDING:
            lake.append_funding(values, source=source.name)
            assert values.time.size == 12
        else:
            append(lake, values, source.name)
    assert lake.mark("SYNETHUSDT").time.tolist() == list(range(JANUARY_31 + DAY_MS, end, HOUR_MS))
    assert lake.taker("SYNETHUSDT", FIVE).open_time.size == 4 * 288
    assert lake.snapshot(["SYNETHUSDT"], FIVE).synthetic
    before = FetchRequest(symbol="SYNETHUSDT", kind=Kind.CANDLES, timeframe=FIVE, start_ms=0, end_ms=JANUARY_31)
    assert list(source.fetch(before)) == []


def test_real_names_and_crooked_starts_are_refused():
    """Made-up bars never carry a real market's name."""
    with pytest.raises(SourceError, match="BTCUSDT is not a synthetic symbol"):
        synthetic_market(("BTCUSDT",), timeframe=FIVE, start_ms=JANUARY_31, days=1, seed=1)
    with pytest.raises(SourceError, match="at least one day and a start on the 5m grid"):
        synthetic_market(("SYNBTCUSDT",), timeframe=FIVE, start_ms=JANUARY_31 + 1, days=1, seed=1)
