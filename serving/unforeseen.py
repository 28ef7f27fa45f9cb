"""What becomes of a bar that an error stopped, and who hears of it?

The bar is recorded, silent, with the cause of the error. One that nobody foresaw is also named in the signals' steps,
counted by kind in the heartbeat ``unforeseen errors`` within the same transaction, and handed to whoever watches.
"""

from serving.bar import silent_bar
from serving.errors import UnforeseenError
from serving.lineup import Lineup, ServePlan
from serving.records import BarRecord
from serving.states import UNKNOWN, cause_of_error, gravest, kind_of
from serving.summary import ServeSummary

__all__ = ["silent_by_error", "unforeseen_error"]


def silent_by_error(lineup: Lineup, plan: ServePlan, *, index: int, standing: str, error: Exception) -> BarRecord:
    """The bar that this error stopped; what is wrong anyway (``standing``, the lineup) counts where it is graver."""
    cause = cause_of_error(error)
    kind = kind_of(error) if cause == UNKNOWN else None
    return silent_bar(lineup, plan, index=index, cause=gravest((cause, standing, lineup.cause)), kind=kind)


def unforeseen_error(summary: ServeSummary) -> UnforeseenError:
    """What a run's errors that nobody foresaw come to, for an alert."""
    return UnforeseenError(
        "errors nobody foresaw: " + ", ".join(f"{times} {kind}" for kind, times in summary.unforeseen.items()),
        why=f"what they stopped in bar {summary.last_index} is FLAT",
        remedy="report it with this line; the next bar is tried afresh",
    )
