"""How does one bar of model probabilities become actions, in compiled code?

The one implementation of the decision: serving calls it for one bar, the backtest loops it over a history, so the two
cannot differ. Rules come as numbers, state as arrays that are changed in place (``decision_numbers``). Every symbol
leaves with exactly one ``step`` code: 0 where an action was taken and is said, else the first rule that kept it back.
An action that the guard, the day's loss or the drawdown keeps back is taken in the book all the same.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from features.sources import source_stamp
from serving import decision_numbers as to
from serving import vote_kernel
from serving.guard_kernel import GuardArrays, begin_day, book_trade, said_share
from serving.limit_kernel import close_one, limit, one_sided, open_one, position_size, regime_share
from serving.vote_kernel import agreement, cast_votes, finite

__all__ = ["book_trades", "close_trade", "decide_bars", "decide_one_bar", "effective_weights"]

# Any edit of these compiles anew.
_SOURCES = ("decision_kernel.py", "decision_numbers.py", "guard_kernel.py", "limit_kernel.py", "vote_kernel.py")

_F = NDArray[np.float64]
_I = NDArray[np.int64]
_B = NDArray[np.int8]
_BOOL = NDArray[np.bool_]


@njit()
def _clear(out: to.Decided, s: int) -> None:
    out.action[s] = 0
    out.confidence[s] = np.nan
    out.size[s] = 0.0
    out.book_size[s] = 0.0
    out.one_sided[s] = False
    out.share[s] = 0.0
    out.votes[s, :] = to.EXCLUDED


@njit()
def _propose(rules: to.Rules, used: _F, p: _F, healthy: _BOOL, facts: to.BarFacts, out: to.Decided, order: _I) -> int:
    """Vote per symbol; the candidates' rows go into ``order``, most confident first, ties by index."""
    quorum = used.sum() > 0.0
    n = 0
    for s in range(facts.eligible.size):
        _clear(out, s)
        if not facts.eligible[s]:
            out.step[s] = to.NOT_ELIGIBLE
        elif not quorum:
            out.step[s] = to.NO_QUORUM
        elif not finite(p[s], healthy, facts.volatility[s], facts.correlation[s]):
            out.step[s] = to.NOT_FINITE
        else:
            cast_votes(rules, p[s], healthy, out.votes[s])
            action, share, confidence, step = agreement(rules, p[s], used, out.votes[s])
            out.share[s] = share
            out.confidence[s] = confidence
            wild = facts.volatility[s] > rules.volatility_limit
            if step == to.TAKEN and wild and confidence <= rules.volatility_confidence:
                step = to.VOLATILITY
            out.step[s] = step
            if step == to.TAKEN:
                out.action[s] = action
                at = n
                while at > 0 and out.confidence[order[at - 1]] < confidence:
                    order[at] = order[at - 1]
                    at -= 1
                order[at] = s
                n += 1
    return n


@njit()
def _decide(
    rules: to.Rules,
    used: _F,
    state: to.PositionArrays,
    guard: GuardArrays,
    bar: int,
    p: _F,
    healthy: _BOOL,
    facts: to.BarFacts,
    out: to.Decided,
) -> None:
    begin_day(rules.guard, guard, bar)
    count = 0
    exposure = 0.0
    for s in range(facts.eligible.size):
        if state.side[s] != 0 and state.until[s] <= bar:
            close_one(rules, state, guard, bar, s, np.nan)
        if state.side[s] != 0:
            count += 1
            exposure += state.size[s]
    order = np.empty(facts.eligible.size, dtype=np.int64)
    for k in range(_propose(rules, used, p, healthy, facts, out, order)):
        s = order[k]
        action = out.action[s]
        out.one_sided[s] = one_sided(rules, state, action)
        share = regime_share(rules, facts.regime[s], action)
        size = position_size(rules, out.confidence[s], facts.volatility[s], share)
        step = limit(rules, state, bar, s, action, facts, (count, exposure, size))
        out.step[s] = step
        if step != to.TAKEN:
            out.action[s] = 0
            continue
        part, kept_back = said_share(
            rules.guard, guard, out.confidence[s], rules.buy if action == to.BUY else rules.sell
        )
        if kept_back:
            out.step[s] = to.KEPT_BACK + kept_back
        out.book_size[s] = size
        out.size[s] = size * part
        state.correlation[s] = facts.correlation[s]
        open_one(rules, state, bar, s, action, size, size * part)
        count += 1
        exposure += size


def _bound_to(stamp: int) -> Any:
    """Compile for these sources: numba's cache looks at one file and at what a function closes over."""

    @njit(cache=True)
    def decide_one_bar(
        rules: to.Rules,
        used: _F,
        state: to.PositionArrays,
        guard: GuardArrays,
        bar: int,
        p: _F,
        healthy: _BOOL,
        facts: to.BarFacts,
        out: to.Decided,
    ) -> None:
        """Decide all symbols of one bar; ``used (M,)`` are the effective weights, ``p (S, M, 3)``."""
        if stamp != 0:
            _decide(rules, used, state, guard, bar, p, healthy, facts, out)

    @njit(cache=True)
    def decide_bars(
        rules: to.Rules,
        weights: _F,
        state: to.PositionArrays,
        guard: GuardArrays,
        first_index: int,
        p: _F,
        facts: to.BarFacts,
        exit_index: _I,
        net: _F,
        out: to.Decided,
    ) -> None:
        """Decide ``T`` consecutive bars, all models healthy; ``p (T, S, M, 3)``, ``exit_index`` and ``net (T, S, 2)``.

        A trade's net is read only at the close of its exit bar.
        """
        if stamp == 0:
            return
        healthy = np.ones(weights.size, dtype=np.bool_)
        used = vote_kernel.effective_weights(rules, weights, healthy)
        results = np.full(facts.eligible.shape[1], np.nan)
        for t in range(facts.eligible.shape[0]):
            bar = first_index + t
            for s in range(results.size):
                if state.side[s] != 0 and state.until[s] <= bar:
                    close_one(rules, state, guard, bar, s, results[s])
            row = to.Decided(
                out.action[t],
                out.confidence[t],
                out.size[t],
                out.book_size[t],
                out.one_sided[t],
                out.votes[t],
                out.share[t],
                out.step[t],
            )
            seen = to.BarFacts(facts.eligible[t], facts.volatility[t], facts.regime[t], facts.correlation[t])
            _decide(rules, used, state, guard, bar, p[t], healthy, seen, row)
            for s in range(results.size):
                if out.action[t, s] != 0:
                    column = out.action[t, s] - 1
                    results[s] = np.nan
                    if exit_index[t, s, column] >= 0:
                        state.until[s] = exit_index[t, s, column]
                        results[s] = net[t, s, column]

    @njit(cache=True)
    def effective_weights(rules: to.Rules, weights: _F, healthy: _BOOL) -> _F:
        """See ``vote_kernel.effective_weights``."""
        if stamp == 0:
            return np.zeros(weights.size)
        return vote_kernel.effective_weights(rules, weights, healthy)

    @njit(cache=True)
    def close_trade(
        rules: to.Rules, state: to.PositionArrays, guard: GuardArrays, bar: int, s: int, net: float
    ) -> None:
        """See ``close_one``."""
        if stamp != 0:
            close_one(rules, state, guard, bar, s, net)

    @njit(cache=True)
    def book_trades(rules: to.Rules, guard: GuardArrays, bars: _I, book: _F, said: _F) -> None:
        """Take earlier closed trades ``(k,)`` into the record, in the order in which they ended."""
        for k in range(bars.size):
            if stamp != 0:
                book_trade(rules.guard, guard, bars[k], book[k], said[k])

    return decide_one_bar, decide_bars, close_trade, book_trades, effective_weights


decide_one_bar, decide_bars, close_trade, book_trades, effective_weights = _bound_to(source_stamp("serving", _SOURCES))
