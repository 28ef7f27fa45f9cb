"""What may a worker keep in memory from bar to bar, and when must it ask the database again?

The decision states and ledgers of the bundles at work, and the champion's last answers. They are what a recall would
put back, as long as the same bundles serve the same markets, the next bar follows the last, that one was written, and
nobody else wrote any: every row written takes a number from its table's sequence, so a number that is not ours is
somebody else's row. In any other case, an error included, everything is recalled.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import Engine

from infra.lake import Lake
from serving.bar import Seat
from serving.constant_output import OutputRing
from serving.lineup import Lineup, ServePlan
from serving.live_view import LiveView
from serving.round_start import Numbers, RoundStart, round_start
from serving.summary import ServeSummary

__all__ = ["KeptBetweenBars", "KeptSeats"]

Recall = Callable[[int], list[Seat]]
"""(before_index) -> every seat as the database remembers it."""


@dataclass(slots=True, eq=False)
class KeptSeats:
    """The seats of one worker between bars; lost whenever a round does not end with ``wrote``."""

    ring: OutputRing | None = None
    _seats: list[Seat] = field(default_factory=list)
    _key: tuple[object, ...] = ()
    _numbers: Numbers | None = None
    _next: int | None = None

    def take(
        self,
        engine: Engine,
        lineup: Lineup,
        plan: ServePlan,
        *,
        before_index: int,
        start: RoundStart,
        recall: Recall,
    ) -> list[Seat]:
        """The seats before bar ``before_index``, in a round that found the database as ``start`` says."""
        key, numbers, alone = (*_key(lineup, plan), start.resumed_ms), start.numbers, True
        if self._next != before_index or self._key != key or self._numbers != numbers:
            self._seats, self.ring = recall(before_index), None
            with engine.connect() as connection:
                # Where somebody wrote meanwhile it is not known whether that was recalled.
                alone = round_start(connection, plan).numbers == numbers
        self._key, self._numbers, self._next = key, numbers if alone else None, None
        return self._seats

    def wrote(self, summary: ServeSummary) -> None:
        """All bars that were due are decided by these seats, without an error, and committed."""
        if self._numbers is not None and summary.last_index is not None and not summary.errors:
            predictions, signals = self._numbers
            self._numbers = predictions + summary.predictions, signals + summary.signals
            self._next = summary.last_index + 1


class KeptBetweenBars:
    """Everything one worker keeps: the view of the markets and the seats."""

    def __init__(self, lake: Lake) -> None:
        self.view = LiveView(lake)
        self.seats = KeptSeats()


def _key(lineup: Lineup, plan: ServePlan) -> tuple[object, ...]:
    # A bundle stays alive with its seat, so its identity is not given to another one.
    bundles = tuple((role, one.version, id(one.bundle)) for role, one in lineup.seats())
    return bundles, plan.model_name, plan.symbols, plan.contract_id, plan.constant_predictions, plan.shares, plan.share
