"""A market of pure noise never passes the gates, and the same code lets a market with a real edge through."""

import pytest
from scipy.stats import binom

from tests.learning.honest_runs import edge_market, noise_market

SEEDS, NEARLY_FREE = range(22), range(10, 22)


@pytest.fixture(scope="module")
def noise():
    """Twenty-two markets without any edge; in twelve trades are nearly free, so that costs do not help to refuse."""
    return {seed: noise_market(seed) for seed in SEEDS}


@pytest.fixture(scope="module")
def edges():
    """Twelve markets with a large real edge, costs paid in full."""
    return {seed: edge_market(seed) for seed in range(12)}


def test_pure_noise_is_refused_every_time(noise):
    """No seed is promoted, and none hangs by one gate."""
    for seed, one in noise.items():
        print(f"seed {seed}: {len(one.failed)} of {len(one.gates)} gates failed: {', '.join(sorted(one.failed))}")
    assert {one.verdict for one in noise.values()} == {"refuse"}
    assert min(len(one.failed) for one in noise.values()) >= 2


@pytest.mark.parametrize(
    ("gate", "false_pass"),
    [("skill_climatology_min", 0.025), ("deflated_sharpe_min", 0.10), ("calibration_slope_min", 0.25)],
)
def test_each_gate_of_skill_lets_noise_through_no_more_often_than_it_says(noise, gate, false_pass):
    """Interval, deflated Sharpe and slope each err at their own rate, so that no one of them does all the work."""
    passed = sum(gate not in one.failed for one in noise.values())
    assert passed <= binom.ppf(0.999, len(noise), false_pass)


def test_nearly_free_trades_do_not_promote_noise(noise):
    """Where costs take nothing, some trading gates are passed by luck, and skill still refuses."""
    cheap = [noise[seed] for seed in NEARLY_FREE]
    assert any("shadow_sharpe_min" not in one.failed for one in cheap), "luck must have had its chance"
    assert all({"skill_climatology_min", "deflated_sharpe_min"} & one.failed for one in cheap)


def test_a_real_edge_passes_the_same_gates(edges):
    """The refusals above are no refusal of everything: nearly all are promoted, none fails more than a gate or two."""
    for seed, one in edges.items():
        print(f"seed {seed}: {one.verdict}, failed: {', '.join(sorted(one.failed)) or 'none'}")
    assert sum(one.verdict == "promote" for one in edges.values()) >= 9
    assert max(len(one.failed) for one in edges.values()) <= 2


def test_every_gate_was_asked(noise, edges):
    """Noise and edge face the same 25 and more gates, with a number behind each that has a threshold."""
    names = {tuple(gate.name for gate in one.gates) for one in (*noise.values(), *edges.values())}
    assert len(names) == 1
    assert len(names.pop()) >= 25
