"""How does Lockstep say no?

Every refusal names what happened, why it matters and what to do, on one line.

    LockstepError
    └── MarketError          a market value breaks a rule
        ├── CandleError      candles: columns, order, duplicates, prices, timeframe
        ├── FundingError     funding stamps: order, range
        ├── LabelSpecError   exit rules that no price could follow
        ├── MarkPriceError   mark prices: order, range, whole hours
        ├── SymbolError      a symbol that cannot be read
        ├── TakerFlowError   takers' shares of volume: order, range, grid
        └── TimeframeError   a timeframe that cannot be read

Each room derives its own errors from ``LockstepError`` in its own ``errors.py``.
"""

__all__ = [
    "CandleError",
    "FundingError",
    "LabelSpecError",
    "LockstepError",
    "MarkPriceError",
    "MarketError",
    "SymbolError",
    "TakerFlowError",
    "TimeframeError",
]


class LockstepError(Exception):
    """A refusal or failure that an operator can act on.

    Example:
        >>> str(LockstepError("no candles for BTCUSDT", why="nothing to train on", remedy="run backfill"))
        'no candles for BTCUSDT: nothing to train on. What to do: run backfill.'
    """

    def __init__(self, what: str, *, why: str, remedy: str) -> None:
        """Keep the three parts of the message and join them into one line."""
        self.what = what
        self.why = why
        self.remedy = remedy
        super().__init__(" ".join(f"{what}: {why.rstrip('.')}. What to do: {remedy.rstrip('.')}.".split()))

    def __reduce__(self) -> tuple[object, ...]:
        """Survive pickling between processes, which keyword-only arguments break by default."""
        return (_rebuild, (type(self), self.what, self.why, self.remedy))


def _rebuild(kind: type[LockstepError], what: str, why: str, remedy: str) -> LockstepError:
    return kind(what, why=why, remedy=remedy)


class MarketError(LockstepError):
    """A market value breaks a rule."""


class CandleError(MarketError):
    """Candles that cannot be trusted."""


class FundingError(MarketError):
    """Funding stamps that cannot be trusted."""


class LabelSpecError(MarketError):
    """Exit rules that no price could follow."""


class MarkPriceError(MarketError):
    """Mark prices that cannot be trusted."""


class SymbolError(MarketError):
    """A symbol that cannot be read."""


class TakerFlowError(MarketError):
    """Takers' shares of volume that cannot be trusted."""


class TimeframeError(MarketError):
    """A timeframe that cannot be read."""
