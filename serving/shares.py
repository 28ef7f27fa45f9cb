"""How do several workers serve the symbols of one model between them?

The symbols are cut into ``shares`` by a hash of their names, so a symbol stays in its share whatever else comes and
goes. Each share is a portfolio of its own with an equal part of the policy's positions and exposure, and is served by
whoever holds its lease. Replays cut in the same way. One share is the whole model under the whole policy.
"""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b

from registry.policy import DecisionPolicy
from serving.errors import ReplayError

__all__ = ["lease_name", "policy_of_share", "share_of", "symbols_of_share"]


def share_of(symbol: str, shares: int) -> int:
    """Which of ``shares`` a symbol belongs to, from 0.

    >>> share_of("BTCUSDT", 1), share_of("BTCUSDT", 4) == share_of("BTCUSDT", 4)
    (0, True)
    """
    return int.from_bytes(blake2b(symbol.encode(), digest_size=8).digest(), "big") % shares


def symbols_of_share(symbols: Sequence[str], share: int, shares: int) -> tuple[str, ...]:
    """The symbols of one share, in the order given; there may be none."""
    return tuple(symbol for symbol in symbols if share_of(symbol, shares) == share)


def policy_of_share(policy: DecisionPolicy, shares: int) -> DecisionPolicy:
    """The policy with an equal part of its limits; raises ``ReplayError`` where a share could hold no position."""
    if shares == 1:
        return policy
    if shares > policy.max_positions:
        raise ReplayError(
            f"serving.shares is {shares}, but the bundle allows {policy.max_positions} positions at once",
            why="a share of the limits would be less than one position, and limits are never exceeded",
            remedy=f"set serving.shares to at most {policy.max_positions}, or raise decision.max_positions and retrain",
        )
    return replace(
        policy,
        max_positions=policy.max_positions // shares,
        max_correlated=max(1, policy.max_correlated // shares),
        max_exposure=policy.max_exposure / shares,
    )


def lease_name(model_name: str, share: int, shares: int) -> str:
    """The name of the lease under which a share is served."""
    return f"serving of {model_name}" if shares == 1 else f"serving of {model_name}, share {share + 1} of {shares}"
