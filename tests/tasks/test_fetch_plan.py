"""A run asks for what is due and for nothing else."""

from itertools import pairwise

from infra.sources.protocol import FetchRequest, Kind
from market.timeframe import DAY_MS, HOUR_MS, MINUTE_MS, Timeframe
from tasks.fetch_plan import (
    ASKED,
    Known,
    Window,
    backfill_requests,
    collect_requests,
    final_end,
    heal_requests,
    steps_of,
)

FIVE = Timeframe.parse("5m")
NOON = 1_738_324_800_000  # 2025-01-31 12:00 UTC
SETTLE = 5000
NOW = NOON + 7 * MINUTE_MS  # the bar of 12:05 forms; it closes at 12:10
OLDEST = NOON - 2 * DAY_MS
CLOSED = NOON + 5 * MINUTE_MS


def window(*, now_ms=NOW, start_ms=OLDEST, end_ms=None):
    """What a collection at this moment may ask for."""
    return Window(
        timeframe=FIVE,
        start_ms=start_ms,
        end_ms=now_ms + 1 if end_ms is None else end_ms,
        now_ms=now_ms,
        settle_delay_ms=SETTLE,
    )


def answered(*, candles=CLOSED, funding=NOW, open_interest=NOW, mark=NOW, in_lake=True):
    """A market answered for from the oldest time on, up to these moments."""
    ends = {Kind.CANDLES: candles, Kind.FUNDING: funding, Kind.OPEN_INTEREST: open_interest, Kind.MARK: mark}
    return {"BTCUSDT": Known(in_lake=in_lake, answered={kind: [(OLDEST, end)] for kind, end in ends.items()})}


def asked(requests):
    """Kind and window of each request."""
    return [(one.kind, one.start_ms, one.end_ms) for one in requests]


def test_with_nothing_new_only_the_last_bars_are_asked_for_again():
    """One request a market, for exactly the bars that may still be revised."""
    found = collect_requests(answered(), window(), revise_bars=3)
    assert asked(found) == [(Kind.CANDLES, CLOSED - 3 * FIVE.ms, CLOSED)]


def test_a_bar_that_forms_is_never_asked_for():
    """Not before its close, and not before the settle delay is over."""
    for now_ms, closed in ((NOON + SETTLE - 1, NOON - FIVE.ms), (NOON + SETTLE, NOON)):
        assert window(now_ms=now_ms).candles[1] == closed


def test_new_bars_come_with_the_last_ones_in_one_request():
    """From so many bars before the first new one."""
    found = collect_requests(answered(candles=CLOSED - 10 * FIVE.ms), window(), revise_bars=3)
    assert asked(found) == [(Kind.CANDLES, CLOSED - 13 * FIVE.ms, CLOSED)]


def test_what_failed_earlier_is_asked_for_as_well():
    """A hole in what was answered is a request of its own."""
    hole = (OLDEST + 10 * FIVE.ms, OLDEST + 20 * FIVE.ms)
    known = answered()["BTCUSDT"]
    holed = {**known.answered, Kind.CANDLES: [(OLDEST, hole[0]), (hole[1], CLOSED)]}
    found = collect_requests({"BTCUSDT": Known(in_lake=True, answered=holed)}, window(), revise_bars=3)
    assert asked(found) == [(Kind.CANDLES, *hole), (Kind.CANDLES, CLOSED - 3 * FIVE.ms, CLOSED)]


def test_a_new_market_is_asked_for_from_the_oldest_time_on():
    """All kinds; and so is one whose files have gone from the lake, whatever was answered for it."""
    everything = [
        (Kind.CANDLES, OLDEST, CLOSED),
        (Kind.FUNDING, OLDEST, NOW + 1),
        (Kind.OPEN_INTEREST, OLDEST, NOW + 1),
        (Kind.MARK, OLDEST, NOW - SETTLE + 1),
    ]
    for known in ({"BTCUSDT": Known(in_lake=False, answered={})}, answered(in_lake=False)):
        assert asked(collect_requests(known, window(), revise_bars=3)) == everything


def test_funding_is_asked_for_when_a_settlement_can_have_come():
    """At each full hour, as a market may settle hourly from one moment to the next, and not in between."""
    just_after = NOON + 5
    for now_ms, due in ((NOON - 1, False), (NOON, True), (NOW, False), (NOON + HOUR_MS - 1, False)):
        end = just_after if now_ms > NOON else NOON - HOUR_MS + 5
        found = collect_requests(answered(funding=end, open_interest=now_ms + 1), window(now_ms=now_ms), revise_bars=3)
        assert [(Kind.FUNDING, end, now_ms + 1)] * due == [one for one in asked(found) if one[0] is Kind.FUNDING]


def test_open_interest_is_asked_for_when_a_slot_has_closed():
    """The stamp of 12:05 exists from then on."""
    for end, due in ((CLOSED, True), (CLOSED + 1, False)):
        found = asked(collect_requests(answered(open_interest=end), window(), revise_bars=3))
        assert [(Kind.OPEN_INTEREST, end, NOW + 1)] * due == [one for one in found if one[0] is Kind.OPEN_INTEREST]


def test_mark_prices_are_asked_for_once_an_hour():
    """When an hour has closed and settled, and then not again for the rest of the next; always as hours."""
    for now_ms, due in ((NOON + SETTLE - 1, False), (NOON + SETTLE, True), (NOW, True), (NOON + HOUR_MS - 1, True)):
        known = answered(mark=NOON - HOUR_MS + 1, funding=now_ms + 1, open_interest=now_ms + 1)
        found = collect_requests(known, window(now_ms=now_ms), revise_bars=3)
        marks = [one for one in found if one.kind is Kind.MARK]
        assert [(one.timeframe.name, one.end_ms) for one in marks] == [("1h", now_ms - SETTLE + 1)] * due
    later = NOON + HOUR_MS + SETTLE - 1
    known = answered(mark=NOON + 1, funding=later + 1, open_interest=later + 1)
    assert {kind for kind, _, _ in asked(collect_requests(known, window(now_ms=later), revise_bars=3))} == {
        Kind.CANDLES
    }


def test_a_backfill_leaves_out_what_was_answered_for_and_what_is_held():
    """Few held bars between two holes are asked for again, many are not; a second run asks for nothing."""
    bars = window(end_ms=NOON).candles[1]
    others = {kind: [(0, NOW)] for kind in (Kind.FUNDING, Kind.OPEN_INTEREST, Kind.MARK)}
    nothing = {"BTCUSDT": Known(in_lake=True, answered=others)}
    few, many = (OLDEST + FIVE.ms, OLDEST + 21 * FIVE.ms), (OLDEST, OLDEST + 520 * FIVE.ms)
    one = backfill_requests(nothing, {"BTCUSDT": [few]}, window(end_ms=NOON))
    assert asked(one) == [(Kind.CANDLES, OLDEST, bars)]
    two = backfill_requests(nothing, {"BTCUSDT": [many]}, window(end_ms=NOON))
    assert asked(two) == [(Kind.CANDLES, many[1], bars)]
    assert backfill_requests(answered(), {}, window(end_ms=NOON)) == ()


def test_a_backfill_ends_where_time_does():
    """Whatever end was asked for, nothing of the future is."""
    found = backfill_requests({"BTCUSDT": Known(in_lake=False, answered={})}, {}, window(end_ms=NOW + DAY_MS))
    assert [end for _, _, end in asked(found)] == [CLOSED, NOW + 1, NOW + 1, NOW - SETTLE + 1]


def test_long_windows_are_cut_into_parts_that_meet():
    """Each is stored as it arrives; together they are the window, of ten thousand steps each at most."""
    start = NOON - 1000 * DAY_MS
    found = backfill_requests({"X": Known(in_lake=False, answered={})}, {}, window(start_ms=start, end_ms=NOON))
    for kind in ASKED:
        parts = [one for one in found if one.kind is kind]
        assert parts[0].start_ms == start
        assert all(left.end_ms == right.start_ms for left, right in pairwise(parts))
        assert max(steps_of(one) for one in parts) == 10_000


def test_near_holes_are_healed_by_one_request_and_long_ones_in_parts():
    """Holes 100 bars apart are one request, 600 apart two; 25,000 bars come in three parts."""

    def bars(*spans):
        return [(NOON + lo * FIVE.ms, NOON + hi * FIVE.ms) for lo, hi in spans]

    near = heal_requests({"X": bars((10, 20), (120, 130), (800, 810)), "Y": []}, FIVE)
    assert asked(near) == [(Kind.CANDLES, *span) for span in bars((10, 130), (800, 810))]
    assert {one.symbol for one in near} == {"X"}
    long = heal_requests({"X": bars((0, 25_000))}, FIVE)
    assert [(one.end_ms - one.start_ms) // FIVE.ms for one in long] == [10_000, 10_000, 5_000]


def test_silence_about_the_last_minutes_is_no_answer_yet():
    """An answer ends behind its newest row, or where the venue has had time to bring more; never beyond the window."""
    request = FetchRequest(symbol="X", kind=Kind.CANDLES, timeframe=FIVE, start_ms=OLDEST, end_ms=CLOSED)
    arguments = {"answered_end_ms": CLOSED, "now_ms": NOW}
    assert final_end(request, newest_ms=CLOSED - FIVE.ms, **arguments) == CLOSED
    assert final_end(request, newest_ms=CLOSED - 2 * FIVE.ms, **arguments) == CLOSED - FIVE.ms
    assert final_end(request, newest_ms=None, **arguments) == NOON - 15 * MINUTE_MS
    assert final_end(request, newest_ms=OLDEST, answered_end_ms=NOON - DAY_MS, now_ms=NOW) == NOON - DAY_MS
    funding = FetchRequest(symbol="X", kind=Kind.FUNDING, timeframe=FIVE, start_ms=NOON - 5, end_ms=NOON + 6001)
    early = {"answered_end_ms": NOON + 6001, "now_ms": NOON + 6000}
    assert final_end(funding, newest_ms=None, **early) == NOON - 5, "a settlement may be published a moment late"
    assert final_end(funding, newest_ms=NOON + 3, **early) == NOON + 4
    assert final_end(funding, newest_ms=None, answered_end_ms=NOW, now_ms=NOW) == NOW - MINUTE_MS
