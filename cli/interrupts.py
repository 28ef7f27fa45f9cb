"""What happens on Ctrl-C, and when the system asks the command to stop?

The first signal unwinds the command: the step's transaction is rolled back, servers it started are stopped. A second
one only says so; the third leaves at once, and the next command of the home clears up. Signals that arrive together
count as one: a terminal and a program like make or timeout often both pass on the same Ctrl-C.
"""

import os
import signal
import time
from types import FrameType

__all__ = ["Interrupted", "listen"]

_PATIENCE = 2  # signals that are not obeyed at once
_TOGETHER_S = 1.0


class Interrupted(BaseException):
    """SIGINT or SIGTERM arrived; no ``KeyboardInterrupt``, so that no library in between makes something else of it."""

    def __init__(self, number: int) -> None:
        """Keep the signal's number."""
        self.number = number
        super().__init__(signal.Signals(number).name)

    @property
    def exit_code(self) -> int:
        """As shells count: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + self.number


def listen() -> None:
    """Turn SIGINT and SIGTERM into ``Interrupted`` for the rest of the process."""
    seen, last = 0, 0.0

    def heard(number: int, _frame: FrameType | None) -> None:
        nonlocal seen, last
        now = time.monotonic()
        if seen and now - last < _TOGETHER_S:
            return
        seen, last = seen + 1, now
        if seen == 1:
            raise Interrupted(number)
        if seen > _PATIENCE:
            os._exit(128 + number)
        os.write(2, b"stopping; once more to leave at once\n")

    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, heard)
