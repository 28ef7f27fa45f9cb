"""The panel: valid rows only, in order, with the features and trades of their own bar."""

from dataclasses import replace

import numpy as np
import pytest

from learning.errors import PanelError
from learning.panel import build_panel, known_by
from market.barriers import simulate_trades
from tests.learning.planted import CONTRACT, FIRST, NAMES, SPEC, planted_histories, planted_panel


def test_rows_are_ordered_and_carry_their_own_features():
    """Sorted by bar, then symbol; every row is found again in its symbol's block."""
    histories = planted_histories(bars=60)
    panel = build_panel(histories, contract=CONTRACT, spec=SPEC)
    keys = list(zip(panel.bar_index.tolist(), panel.symbol_id.tolist(), strict=True))
    assert keys == sorted(keys)
    assert len(keys) == 180
    for i in range(0, 180, 7):
        block = histories[panel.symbol_id[i]].features
        np.testing.assert_array_equal(panel.X[i], block.values[panel.bar_index[i] - FIRST])


def test_outcomes_are_those_of_the_exit_rules():
    """Net, exits and barriers are what market.barriers gives for the row's bar, ATR and volatility ratio."""
    histories = planted_histories(bars=200)
    panel = build_panel(histories, contract=CONTRACT, spec=SPEC)
    mine = panel.symbol_id == 1
    direct = simulate_trades(
        histories[1].path,
        panel.bar_index[mine],
        atr_fraction=np.full(200, np.float32(0.0025), dtype=np.float64),
        vol_ratio=np.ones(200),
        spec=SPEC,
    )
    np.testing.assert_array_equal(panel.net[mine], direct.net)
    np.testing.assert_array_equal(panel.exit_index[mine], direct.exit_index)
    assert (panel.y[mine][-SPEC.horizon_bars :] == -1).any()
    assert set(panel.y[mine].tolist()) == {-1, 0, 1, 2}


def test_rows_with_a_reason_are_left_out():
    """A bar whose features are not valid is neither learnt from nor judged on."""
    history = planted_histories(bars=50, symbols=1)[0]
    reason = np.zeros(50, dtype=np.uint16)
    reason[[0, 7, 49]] = 4
    block = replace(history.features, reason=reason)
    panel = build_panel([replace(history, features=block)], contract=CONTRACT, spec=SPEC)
    assert panel.bar_index.tolist() == [FIRST + i for i in range(50) if i not in {0, 7, 49}]


def test_rows_outside_the_universe_are_left_out():
    """Only bars at which the market was a member stay, with the trades they would have had anyway."""
    histories = planted_histories(bars=200, symbols=2)
    member = np.zeros(200, dtype=bool)
    member[50:120] = True
    member[60] = False
    whole = build_panel(histories, contract=CONTRACT, spec=SPEC)
    panel = build_panel([histories[0], replace(histories[1], member=member)], contract=CONTRACT, spec=SPEC)
    mine = panel.symbol_id == 1
    assert panel.bar_index[mine].tolist() == [FIRST + i for i in range(50, 120) if i != 60]
    assert (panel.symbol_id == 0).sum() == 200
    same = (whole.symbol_id == 1) & np.isin(whole.bar_index, panel.bar_index[mine])
    for name in ("X", "y", "net", "exit_index", "carry"):
        np.testing.assert_array_equal(getattr(panel, name)[mine], getattr(whole, name)[same], err_msg=name)


def test_membership_of_other_bars_is_refused():
    """As many bars of membership as of features, or a row would be judged by another bar's."""
    history = planted_histories(bars=30, symbols=1)[0]
    with pytest.raises(PanelError, match="29 bars of membership, 30 of features"):
        build_panel([replace(history, member=np.ones(29, dtype=bool))], contract=CONTRACT, spec=SPEC)
    nobody = replace(history, member=np.zeros(30, dtype=bool))
    with pytest.raises(PanelError, match="outside the universe"):
        build_panel([nobody], contract=CONTRACT, spec=SPEC)


def test_features_may_reach_further_than_the_bars():
    """Rows without a bar of their own in the path are left out, and the others keep their index."""
    history = planted_histories(bars=50, symbols=1)[0]
    shifted = replace(history.features, first_index=FIRST - 10)
    panel = build_panel([replace(history, features=shifted)], contract=CONTRACT, spec=SPEC)
    assert panel.bar_index.tolist() == list(range(FIRST, FIRST + 40))
    np.testing.assert_array_equal(panel.X[0], shifted.values[10])


def test_volatility_is_daily():
    """The per-bar deviation of 0.2 % over 288 bars a day."""
    panel = planted_panel(bars=20, symbols=1)
    np.testing.assert_allclose(panel.volatility, 0.002 * np.sqrt(288), rtol=1e-6)


def test_carry_is_the_funding_a_long_has_paid():
    """The difference between two bars is every settlement between them on its bar's open."""
    history = planted_histories(bars=200, symbols=1)[0]
    panel = build_panel([history], contract=CONTRACT, spec=SPEC)
    assert panel.carry[150] - panel.carry[50] == pytest.approx(1e-4 * history.path.open[96])


def test_no_valid_row_is_refused():
    """Nothing to learn from is said, not returned."""
    history = planted_histories(bars=30, symbols=1)[0]
    nothing = replace(history.features, reason=np.ones(30, dtype=np.uint16))
    with pytest.raises(PanelError, match="no valid rows in 1 symbols"):
        build_panel([replace(history, features=nothing)], contract=CONTRACT, spec=SPEC)


def test_features_of_another_contract_are_refused():
    """A column more or less would be read as another feature."""
    history = planted_histories(bars=30, symbols=1)[0]
    with pytest.raises(PanelError, match="12 feature columns, the contract names 11"):
        build_panel([history], contract=replace(CONTRACT, names=NAMES[:-1]), spec=SPEC)


def test_what_is_known_by_a_bar_equals_a_panel_built_then():
    """Cutting the history at a bar and cutting the panel at it give the same labels and trades."""
    histories = planted_histories(bars=300)
    cut = FIRST + 200
    shorter = [
        replace(
            one,
            features=replace(one.features, values=one.features.values[:200], reason=one.features.reason[:200]),
            path=replace(
                one.path,
                **{
                    name: getattr(one.path, name)[:200]
                    for name in ("open", "high", "low", "close", "real", "funding_paid", "funding_known")
                },
            ),
        )
        for one in histories
    ]
    then = build_panel(shorter, contract=CONTRACT, spec=SPEC)
    now = known_by(build_panel(histories, contract=CONTRACT, spec=SPEC), cut)
    for name in ("bar_index", "symbol_id", "y", "net", "gross", "funding", "exit_index", "barrier", "X", "carry"):
        np.testing.assert_array_equal(getattr(now, name), getattr(then, name), err_msg=name)
    resolved = then.y >= 0
    np.testing.assert_array_equal(now.label_end[resolved], then.label_end[resolved])
    assert (now.label_end[~resolved] >= cut).all()
