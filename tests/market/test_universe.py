"""The universe is a function of the facts: of all of them, of nothing else, in no order."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.timeframe import DAY_MS
from market.universe import DELISTED, Judged, MarketFacts, UniverseRule, members_hash, select_universe

NOW = 1_756_684_800_000
RULE = UniverseRule(top_n=2, min_turnover=5e7, min_price=0.05, min_age_days=30, quote="USDT", include=(), exclude=())
NAMES = [f"{letter}USDT" for letter in "ABCDEFGH"] + ["IUSDC"]
AMOUNTS = st.sampled_from([0.0, 1e6, 4.9e7, 5e7, 5e7, 1e9]) | st.none() | st.floats(0, 1e12)


@st.composite
def market_facts(draw):
    """Facts of some markets, each name once, some of them unknown, old, new or gone."""
    names = draw(st.lists(st.sampled_from(NAMES), unique=True))
    return [
        MarketFacts(
            symbol=name,
            turnover_24h=draw(AMOUNTS),
            price=draw(st.none() | st.sampled_from([0.01, 0.05, 3.0])),
            listed_ms=draw(st.none() | st.integers(NOW - 60 * DAY_MS, NOW)),
            active=draw(st.booleans() | st.just(True)),
        )
        for name in names
    ]


@st.composite
def rules(draw):
    """Rules over the same names; nothing is included and excluded at once."""
    include = draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=3))
    rest = [name for name in NAMES if name not in include]
    return UniverseRule(
        top_n=draw(st.integers(1, 5)),
        min_turnover=draw(st.sampled_from([0.0, 5e7])),
        min_price=draw(st.sampled_from([0.0, 0.05])),
        min_age_days=draw(st.sampled_from([0, 30])),
        quote="USDT",
        include=tuple(include),
        exclude=tuple(draw(st.lists(st.sampled_from(rest), unique=True, max_size=3))),
    )


previous_members = st.lists(st.sampled_from([*NAMES, "GONEUSDT"]), unique=True)


def one(facts, *, rule=RULE, previous=()):
    """The verdict on a single market."""
    (found,) = select_universe([facts], rule, previous=previous, as_of_ms=NOW)
    return found


def sound(symbol="AUSDT", *, turnover=1e9, price=3.0, age_days=90, active=True):
    """A market that meets every condition, but for what is changed."""
    listed = None if age_days is None else NOW - int(age_days * DAY_MS)
    return MarketFacts(symbol=symbol, turnover_24h=turnover, price=price, listed_ms=listed, active=active)


@given(facts=market_facts(), rule=rules(), previous=previous_members, data=st.data())
def test_the_order_of_the_facts_means_nothing(facts, rule, previous, data):
    """Shuffled facts, earlier members and lists give the same verdicts."""
    expected = select_universe(facts, rule, previous=previous, as_of_ms=NOW)
    turned = replace(rule, include=rule.include[::-1], exclude=rule.exclude[::-1])
    shuffled = data.draw(st.permutations(facts))
    assert select_universe(shuffled, turned, previous=previous[::-1], as_of_ms=NOW) == expected
    assert turned.fingerprint == rule.fingerprint


@given(facts=market_facts(), rule=rules(), previous=previous_members, later=st.integers(1, 100 * DAY_MS))
def test_what_is_listed_later_changes_nothing(facts, rule, previous, later):
    """A market that did not exist yet is no member, and nobody else's verdict depends on it."""
    expected = select_universe(facts, rule, previous=previous, as_of_ms=NOW)
    coming = replace(sound("ZUSDT", turnover=1e12), listed_ms=NOW + later)
    found = select_universe([*facts, coming], rule, previous=previous, as_of_ms=NOW)
    assert [judged for judged in found if judged.symbol != "ZUSDT"] == list(expected)
    assert [(judged.member, judged.reason) for judged in found if judged.symbol == "ZUSDT"] == [
        (False, "not listed yet")
    ]


@given(facts=market_facts(), rule=rules(), previous=previous_members)
def test_the_universe_keeps_its_promises(facts, rule, previous):
    """Never more than top_n and the included; never an excluded, dead or unknown market; changes fit the members."""
    found = select_universe(facts, rule, previous=previous, as_of_ms=NOW)
    known = {fact.symbol: fact for fact in facts}
    members = {judged.symbol for judged in found if judged.member}
    picked = members - set(rule.include)
    assert len(picked) <= rule.top_n
    assert not members & set(rule.exclude)
    assert all(known[name].active for name in members)
    assert all((known[name].turnover_24h or 0.0) >= max(rule.min_turnover, 5e-324) for name in picked)
    assert {judged.symbol for judged in found} == set(known) | set(previous) | set(rule.include)
    for judged in found:
        was = judged.symbol in previous
        assert judged.change == {(True, True): "stayed", (True, False): "entered", (False, True): "left"}.get(
            (judged.member, was), "out"
        )


@given(facts=market_facts(), rule=rules())
def test_members_are_the_most_traded_of_those_that_may_be(facts, rule):
    """An oracle by brute force: a picked market has fewer than top_n better ones before it, ties go by name."""
    found = select_universe(facts, rule, previous=(), as_of_ms=NOW)
    traded = {fact.symbol: fact.turnover_24h for fact in facts}
    ranked = [judged for judged in found if judged.rank is not None]
    for judged in ranked:
        place = (-traded[judged.symbol], judged.symbol)
        better = [other for other in ranked if (-traded[other.symbol], other.symbol) < place]
        assert judged.rank == len(better) + 1
        assert judged.member == (len(better) < rule.top_n or judged.symbol in rule.include)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (sound(turnover=None), "no turnover known"),
        (sound(turnover=float("nan")), "no turnover known"),
        (sound(turnover=0.0), "nothing traded in 24 hours"),
        (sound(turnover=12_345_678.0), "turnover 12.3 M below 50 M"),
        (sound(turnover=49_999_999.0), "turnover 49999999.0 below 50000000.0"),
        (sound(turnover=950.0), "turnover 950 below 50 M"),
        (sound(price=0.01), "price 0.01 below 0.05"),
        (sound(price=None), "no price known"),
        (sound(age_days=None), "no listing date known"),
        (sound(age_days=12.9), "listed 12 days ago, 30 asked"),
        (sound(age_days=29.9999), "listed 29 days ago, 30 asked"),
        (sound(age_days=-1), "not listed yet"),
        (sound(active=False), DELISTED),
        (sound("AUSDC"), "not quoted in USDT"),
    ],
)
def test_a_market_stays_out_for_a_reason_in_words(facts, reason):
    """With its numbers and those that were asked; one that was a member leaves for the same reason."""
    judged = one(facts)
    assert (judged.member, judged.change, judged.reason, judged.rank) == (False, "out", reason, None)
    assert one(facts, previous=(facts.symbol,)).change == "left"


def test_a_condition_that_is_not_asked_needs_no_fact():
    """Without a least age or price, nobody has to know them; a turnover is always needed."""
    easy = replace(RULE, min_age_days=0, min_price=0.0, min_turnover=0.0)
    assert one(sound(age_days=None, price=None), rule=easy).reason == "rank 1 of 2 by turnover"
    assert one(sound(turnover=None), rule=easy).reason == "no turnover known"


def test_ranks_are_told_with_their_limit():
    """Inside and beyond; equal turnovers go by name."""
    facts = [sound("CUSDT", turnover=6e7), sound("BUSDT", turnover=7e7), sound("AUSDT", turnover=6e7)]
    found = {judged.symbol: judged for judged in select_universe(facts, RULE, previous=("CUSDT",), as_of_ms=NOW)}
    assert found["BUSDT"].reason == "rank 1 of 2 by turnover"
    assert found["AUSDT"].reason == "rank 2 of 2 by turnover"
    assert (found["CUSDT"].reason, found["CUSDT"].change) == ("rank 3, beyond 2", "left")
    assert found["BUSDT"] == Judged(
        symbol="BUSDT",
        member=True,
        change="entered",
        reason="rank 1 of 2 by turnover",
        rank=1,
        turnover=7e7,
        price=3.0,
        age_days=90.0,
    )


def test_included_markets_belong_unless_nobody_can_trade_them():
    """Unknown, small and young ones too; a delisted or never listed one does not."""
    rule = replace(RULE, include=("AUSDT",))
    for facts in (sound(turnover=None), sound(turnover=1.0), sound(age_days=None), sound(age_days=0)):
        assert one(facts, rule=rule).reason == "included by setting"
    assert one(sound(), rule=rule).reason == "rank 1 of 2 by turnover"
    assert one(sound(active=False), rule=rule).reason == DELISTED
    (missing,) = select_universe([], rule, previous=(), as_of_ms=NOW)
    assert (missing.member, missing.reason) == (False, "not listed")
    assert one(sound(), rule=replace(RULE, exclude=("AUSDT",))).reason == "excluded by setting"


def test_a_member_that_vanished_is_judged_as_delisted():
    """It left, with its reason, and is not forgotten."""
    (gone,) = select_universe([], RULE, previous=("LUNAUSDT",), as_of_ms=NOW)
    assert (gone.symbol, gone.change, gone.reason) == ("LUNAUSDT", "left", DELISTED)


@pytest.mark.parametrize(
    "change",
    [
        {"top_n": 3},
        {"min_turnover": 1.0},
        {"min_price": 1.0},
        {"min_age_days": 31},
        {"quote": "USDC"},
        {"include": ("AUSDT",)},
        {"exclude": ("AUSDT",)},
    ],
)
def test_every_number_of_the_rule_is_in_its_fingerprint(change):
    """Another rule is another universe; 50 and 50.0 are the same."""
    assert replace(RULE, **change).fingerprint != RULE.fingerprint
    assert replace(RULE, min_turnover=50_000_000).fingerprint == RULE.fingerprint


def test_the_hash_of_members_is_that_of_the_set():
    """One market more or less is another hash; names do not run into each other."""
    assert members_hash(["A", "B"]) == members_hash(["B", "A", "A"])
    assert len({members_hash(names) for names in (["A", "B"], ["AB"], ["A"], [])}) == 4
