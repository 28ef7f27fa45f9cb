"""Parts of a history, cut and overlapping anyhow, join to that history or are refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from infra.errors import SourceError
from infra.open_interest import OpenInterestStamps
from infra.sources.joining import join_candles, join_funding, join_open_interest
from market.funding import FundingStamps
from tests.infra.lake_data import FIVE, JANUARY_31, same, walk

BARS = walk(60)
_CUTS = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 30)), min_size=1, max_size=6)


def parts(cuts):
    """The bars of each cut, under a name of its own."""
    spans = [(JANUARY_31 + lo * FIVE.ms, JANUARY_31 + (lo + n) * FIVE.ms) for lo, n in cuts]
    return [(Path(f"{number}.csv"), BARS.between(*span)) for number, span in enumerate(spans)]


@settings(max_examples=100, deadline=None)
@given(_CUTS)
@example([(60, 1), (60, 1)])  # only empty parts
def test_parts_join_to_what_they_were_cut_from(cuts):
    """Every bar that is in some part is there once, in order, bit for bit; no other is."""
    wanted = {lo + i for lo, n in cuts for i in range(n) if lo + i < 60}
    joined = join_candles(parts(cuts))
    assert (joined.open_time - JANUARY_31).tolist() == [i * FIVE.ms for i in sorted(wanted)]
    at = sorted(wanted)
    names = ("open_time", "open", "high", "low", "close", "volume")
    assert same(joined, replace(BARS, **{name: getattr(BARS, name)[at] for name in names}))


@settings(max_examples=50, deadline=None)
@given(_CUTS, st.sampled_from(["open", "high", "low", "close", "volume"]), st.integers(0, 59))
def test_one_other_value_is_refused_where_files_overlap(cuts, name, at):
    """Whichever column of whichever bar differs, as soon as two files hold that bar."""
    column = getattr(BARS, name).copy()
    column[at] = np.nextafter(column[at], np.inf)
    strange = (Path("strange.csv"), replace(BARS, **{name: column}))
    known = parts(cuts)
    if any(JANUARY_31 + at * FIVE.ms in bars.open_time for _, bars in known):
        with pytest.raises(SourceError, match=r"strange.csv.*disagree on 2025-01-31T0"):
            join_candles([*known, strange])
    else:
        assert len(join_candles([*known, strange])) == 60


def test_stamps_join_as_bars_do():
    """Funding and open interest: once each, in order; a value that differs is refused with both names."""
    times = np.array([JANUARY_31, JANUARY_31 + 7, JANUARY_31 + 9])
    first, second = Path("a.zip"), Path("b.zip")
    rates = FundingStamps(symbol="BTCUSDT", time=times, rate=np.array([1e-4, 2e-4, 3e-4]))
    later = FundingStamps(symbol="BTCUSDT", time=times[1:], rate=np.array([2e-4, 3e-4]))
    assert join_funding([(second, later), (first, rates)]).rate.tolist() == [1e-4, 2e-4, 3e-4]
    held = OpenInterestStamps(symbol="BTCUSDT", time=times[:2], value=np.array([0.0, 5.0]))
    other = OpenInterestStamps(symbol="BTCUSDT", time=times[1:], value=np.array([5.0, 6.0]))
    assert join_open_interest([(first, held), (second, other)]).value.tolist() == [0.0, 5.0, 6.0]
    wrong = replace(other, value=np.array([5.5, 6.0]))
    with pytest.raises(SourceError, match=r"a.zip and b.zip disagree on .*\(5 and 5.5\)"):
        join_open_interest([(first, held), (second, wrong)])
