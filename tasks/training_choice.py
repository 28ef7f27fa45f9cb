"""What may be chosen for one training, and which settings does that replace?

The choice becomes settings like any other before anything is read, so it is checked by the same bounds and is part of
the training's identity.
"""

from collections.abc import Mapping, Sequence

from features.events import Mode
from market.errors import LockstepError
from market.symbols import venue_symbol

__all__ = ["Mode", "chosen_settings", "require_trials"]


def chosen_settings(
    *,
    symbols: Sequence[str] | None = None,
    days: int | None = None,
    mode: Mode | None = None,
    trials: int | None = None,
    minutes: float | None = None,
) -> dict[str, object]:
    """Overrides of settings for what was chosen; what was not stays as it is.

    >>> chosen_settings(symbols=["BTC/USDT:USDT"], days=90)
    {'data.symbols': ['BTCUSDT'], 'training.max_days': 90}
    """
    given: Mapping[str, object | None] = {
        "data.symbols": [venue_symbol(one) for one in symbols] if symbols else None,
        "training.max_days": days,
        "events.mode": mode,
        "tuning.trials": trials,
        "tuning.minutes": minutes,
    }
    return {name: value for name, value in given.items() if value is not None}


def require_trials(overrides: Mapping[str, object], *, trials: int) -> None:
    """Refuse minutes of tuning for a training that does not tune; ``trials`` are those of its settings."""
    if overrides.get("tuning.minutes") and not trials:
        raise LockstepError(
            f"{overrides['tuning.minutes']:g} minutes to tune, but no trials",
            why="without trials nothing is tuned, and the time would be ignored in silence",
            remedy="give --trials as well, or leave --minutes out",
        )
