"""Membership at a moment is what the last snapshot by then said."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.membership import Membership, uncovered

times = st.lists(st.integers(0, 60), unique=True, max_size=8).map(sorted)


def ints(values):
    return np.array(values, dtype=np.int64)


def mask(taken, said, asked):
    """Whether market A was a member, by snapshots that each say so or not."""
    members = tuple(frozenset("A" if word else "B") for word in said)
    return Membership(taken_ms=ints(taken), members=members).mask("A", ints(asked))


@given(taken=times, asked=st.lists(st.integers(-5, 70)), data=st.data())
def test_the_mask_equals_a_search_by_hand(taken, asked, data):
    """Moment by moment, the last snapshot not after it decides; before the first nobody is a member."""
    said = data.draw(st.lists(st.booleans(), min_size=len(taken), max_size=len(taken)))
    found = mask(taken, said, asked)
    for moment, member in zip(asked, found.tolist(), strict=True):
        by_then = [is_member for at, is_member in zip(taken, said, strict=True) if at <= moment]
        assert member == bool(by_then and by_then[-1])


@given(taken=times, asked=st.lists(st.integers(-5, 40)), later=st.integers(41, 90), data=st.data())
def test_a_later_snapshot_changes_nothing_before_it(taken, asked, later, data):
    """Whatever it says."""
    taken = [at for at in taken if at < 41]
    said = data.draw(st.lists(st.booleans(), min_size=len(taken), max_size=len(taken)))
    before = mask(taken, said, asked)
    for word in (True, False):
        after = mask([*taken, later], [*said, word], asked)
        assert after.tolist() == before.tolist()


@given(taken=times, start=st.integers(0, 60), length=st.integers(1, 60), age=st.integers(1, 20))
def test_the_first_uncovered_part_is_found_by_walking(taken, start, length, age):
    """The oracle looks at every moment: covered means that some snapshot is there, younger than the limit."""
    end = start + length
    bare = [t for t in range(start, end) if not any(at <= t < at + age for at in taken)]
    found = uncovered(ints(taken), start_ms=start, end_ms=end, max_age_ms=age)
    if not bare:
        assert found is None
        return
    assert found is not None
    lo, hi = found
    assert lo == bare[0]
    assert all(t in bare for t in range(lo, hi))
    assert hi == end or hi in taken


@pytest.mark.parametrize(("symbol", "left"), [("A", 30), ("B", None), ("C", 0), ("D", 15)])
def test_when_a_market_left_for_the_last_time(symbol, left):
    """None while it is a member, 0 when it never was; a return undoes an exit."""
    who = tuple(frozenset(text) for text in ("AD", "B", "AB", "B"))
    members = Membership(taken_ms=ints([10, 15, 20, 30]), members=who)
    assert members.left_ms(symbol) == left


def test_since_when_any_of_some_markets_belonged():
    """The first moment of any of those asked for; without snapshots nobody ever did."""
    members = Membership(taken_ms=ints([10, 20]), members=(frozenset("B"), frozenset("AB")))
    assert (members.first_ms(frozenset("A")), members.first_ms(frozenset("AB"))) == (20, 10)
    assert members.first_ms(frozenset("C")) is None
    assert Membership(taken_ms=ints([]), members=()).mask("A", ints([5])).tolist() == [False]
