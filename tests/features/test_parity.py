"""Are real bars, fed live one by one, the same bytes as batch, and would a fault be seen?"""

from functools import cache

import numpy as np
import pytest

from features import BarInputs, FeatureStreams, compute_many
from features.inputs import Column
from tests.features.histories import FIVE, contract, inputs_of, real_inputs, real_symbols

START, DAYS = "2025-09-28", 15
LIVE_FROM = int(np.datetime64("2025-10-08T18:00", "ms").astype(np.int64)) // FIVE.ms  # before a block's boundary
LATE = "GIGGLEUSDT"  # listed after LIVE_FROM


@cache
def markets() -> list[BarInputs]:
    """All 33 real perpetuals over the crash of 2025-10-10, the late listing last."""
    found = [real_inputs(folder, symbol, start=START, days=DAYS) for folder, symbol in real_symbols()]
    return sorted(found, key=lambda one: one.symbol == LATE)


@cache
def batch() -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows and reasons of every bar from LIVE_FROM on."""
    blocks = compute_many(markets(), contract(), threads=2)
    return [tuple(x[max(LIVE_FROM - b.first_index, 0) :] for x in (b.values, b.reason)) for b in blocks]


def live(inputs, made, *, warm_bars=None, feed=lambda bars: bars, steps=None):
    """Warm the markets up to LIVE_FROM, then feed ``feed(bars)`` one by one; ``(markets, bars, F)`` and reasons."""
    streams = FeatureStreams(made, [one.symbol for one in inputs])
    held = [
        one.values[max(LIVE_FROM - one.first_index - (warm_bars or 10**6), 0) : LIVE_FROM - one.first_index]
        for one in inputs
    ]
    if inputs[0].first_index < LIVE_FROM:
        streams.warm(
            [
                inputs_of(x, first_index=LIVE_FROM - len(x), symbol=one.symbol)
                for x, one in zip(held, inputs, strict=True)
            ]
        )
    first = max(LIVE_FROM, inputs[0].first_index)
    bars = feed(np.stack([one.values[first - one.first_index :] for one in inputs]))
    rows = [streams.advance(first + k, bars[:, k]) for k in range(steps or bars.shape[1])]
    return np.stack([values for values, _ in rows], axis=1), np.stack([reason for _, reason in rows], axis=1)


def share_equal(got, want) -> float:
    """Share of rows whose bytes and reasons are equal."""
    equal, count = 0, 0
    for (values, reasons), (true_values, true_reasons) in zip(zip(*got, strict=True), want, strict=True):
        n = len(values)
        same = (values.view(np.uint32) == np.ascontiguousarray(true_values[:n]).view(np.uint32)).all(axis=1)
        equal += int((same & (reasons == true_reasons[:n])).sum())
        count += n
    return equal / count


def test_live_equals_batch_on_every_real_bar():
    """33 markets, over 30,000 bars through a boundary, a crash and a listing: 100.000 % identical."""
    *old, late = markets()
    assert late.symbol == LATE
    rows = live(old, contract())
    listed = live([late], contract())
    assert rows[0].shape[0] * rows[0].shape[1] + listed[0].shape[1] > 30_000
    assert share_equal(rows, batch()[:-1]) == 1.0
    assert share_equal(listed, batch()[-1:]) == 1.0
    assert np.mean(rows[1] == 0) > 0.9
    assert old[0].end_index // 2016 > LIVE_FROM // 2016


def swapped(first, second):
    """Exchange two columns of every bar."""

    def feed(bars):
        bars = bars.copy()
        bars[..., [first, second]] = bars[..., [second, first]]
        return bars

    return feed


@pytest.mark.parametrize(
    ("fault", "limit", "made", "options"),
    [
        ("one bar late", 0.02, {}, {"feed": lambda bars: np.concatenate((bars[:, :1], bars[:, :-1]), axis=1)}),
        ("short warm-up", 0.65, {}, {"warm_bars": 1100}),
        ("open and close swapped", 0.01, {}, {"feed": swapped(Column.OPEN, Column.CLOSE)}),
        ("high and low swapped", 0.01, {}, {"feed": swapped(Column.HIGH, Column.LOW)}),
        ("rate and hours swapped", 0.01, {}, {"feed": swapped(Column.FUNDING_RATE, Column.HOURS_TO_FUNDING)}),
        ("another warm-up", 0.99, {"warmup_bars": 1440}, {}),
        ("another block", 0.99, {"block_bars": 1008}, {}),
    ],
)
def test_an_injected_fault_is_seen(fault, limit, made, options):
    """Each fault drops the share: a short warm-up until the next boundary, another anchor by its long EMAs alone."""
    got = live(markets()[:8], contract(**made), steps=200, **options)
    assert share_equal(got, batch()[:8]) < limit, fault


def test_two_features_that_change_places_are_seen():
    """Columns are compared by position: a swapped pair leaves no row identical."""
    values, reasons = live(markets()[:8], contract(), steps=70)
    assert share_equal((values, reasons), batch()[:8]) == 1.0
    a, b = contract().index_of("return_5"), contract().index_of("return_12")
    values[..., [a, b]] = values[..., [b, a]]
    assert share_equal((values, reasons), batch()[:8]) < 0.01


def test_another_limit_on_fills_changes_reasons_only():
    """A parameter that decides validity alone is seen in the reasons of a market with gaps."""
    bars = markets()[0].values.copy()
    at = LIVE_FROM - markets()[0].first_index
    bars[at - 20 : at - 10, Column.REAL] = 0.0
    gappy = [inputs_of(bars, first_index=markets()[0].first_index, symbol="A")]
    strict, usual = (live(gappy, contract(max_filled=limit), steps=50) for limit in (5, 12))
    assert strict[0].tobytes() == usual[0].tobytes()
    assert (strict[1] != usual[1]).all()
