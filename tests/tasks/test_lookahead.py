"""A training refuses feature rows that would be others if the future had not been there."""

from dataclasses import replace

import numpy as np
import pytest

from infra.block_cache import BlockCache
from learning.errors import LeakError
from tasks.histories import load_histories
from tasks.lookahead import require_causal
from tasks.training import training_panel, training_request
from tasks.windows import current_window
from tests.tasks.conftest import SYMBOLS

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def window(app):
    """The home's window."""
    return current_window(app)


@pytest.fixture(scope="module")
def histories(app, window, tmp_path_factory):
    """Both markets, as a training reads them."""
    span = window.stretches
    cache = BlockCache(tmp_path_factory.mktemp("blocks"))
    return load_histories(
        app.lake, SYMBOLS, window.contract, first_index=span.first, end_index=span.train_end, cache=cache
    )


def spoilt(history, window, name, values):
    """The same history with one feature replaced."""
    changed = history.features.values.copy()
    changed[:, window.contract.index_of(name)] = values
    return replace(history, features=replace(history.features, values=changed))


def test_honest_rows_pass_and_are_counted(app, window, histories):
    """Twelve rows of each of two markets come out the same from a lake that ends at their bar."""
    assert require_causal(app.lake, histories, window.contract) == 24


def test_a_feature_that_holds_the_next_return_is_refused_by_name(app, window, histories):
    """The strongest leak there is: what the next bar will do."""
    close = histories[1].path.close
    ahead = np.append(np.diff(close) / close[:-1], np.nan)
    leaking = [histories[0], spoilt(histories[1], window, "roc", ahead)]
    with pytest.raises(LeakError, match=rf"{SYMBOLS[1]} at bar \d+: roc of 1 differing features changes when the bars"):
        require_causal(app.lake, leaking, window.contract)


def test_a_training_does_not_begin_with_such_a_feature(app, window, histories, monkeypatch):
    """The check stands in the way of every training, before its panel is made."""
    close = histories[1].path.close
    ahead = np.append(np.diff(close) / close[:-1], np.nan)
    leaking = [histories[0], spoilt(histories[1], window, "roc", ahead)]
    monkeypatch.setattr("tasks.training.load_histories", lambda *_, **__: leaking)
    with pytest.raises(LeakError, match="roc of 1 differing features"):
        training_panel(app, training_request(app))
    monkeypatch.setattr("tasks.training.load_histories", lambda *_, **__: histories)
    assert len(training_panel(app, training_request(app))) > 1000


def test_a_feature_scaled_by_the_whole_history_is_refused(app, window, histories):
    """A mean over all bars, as of a scaler fitted before the split, is the future too."""
    column = histories[0].features.values[:, window.contract.index_of("roc")]
    centred = column - np.nanmean(column)
    with pytest.raises(LeakError, match="roc"):
        require_causal(app.lake, [spoilt(histories[0], window, "roc", centred)], window.contract)


def test_rows_of_another_history_are_refused(app, window, histories):
    """A stored block of the other market under this one's name."""
    swapped = replace(histories[0], features=replace(histories[1].features, symbol=SYMBOLS[0]))
    with pytest.raises(LeakError, match=f"{SYMBOLS[0]} at bar"):
        require_causal(app.lake, [swapped], window.contract)
