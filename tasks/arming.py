"""How is the second key for live trading given?

Only for what serves now, only where the first key (``serving.mode = live``) is set, only for real data, and for hours,
not for ever.
"""

from infra.bootstrap import App
from market.errors import LockstepError
from registry.catalog import known_bundle
from registry.deployments import current_champion
from serving.arming import Arming, arm

__all__ = ["arm_champion"]

_HOUR_MS = 3_600_000


def arm_champion(app: App, *, hours: float, why: str, who: str, now_ms: int) -> Arming:
    """Arm the champion; raises ``LockstepError`` where that would contradict the settings or the bundle."""
    if app.settings.serving.mode != "live":
        raise LockstepError(
            f"serving.mode is {app.settings.serving.mode}",
            why="arming it would say that it trades for real, and it does not",
            remedy="set serving.mode = live first, knowingly",
        )
    name = app.settings.registry.model_name
    champion = current_champion(app.engine, name)
    known = None if champion is None else known_bundle(app.engine, champion.bundle_hash)
    if champion is None or known is None:
        raise LockstepError(
            "there is no champion to arm", why="nothing would trade", remedy="promote a challenger first"
        )
    if known.synthetic:
        raise LockstepError(
            f"version {champion.version} was trained on a synthetic market",
            why="it knows nothing about a real one",
            remedy="train and promote on real data",
        )
    made = Arming(bundle_hash=champion.bundle_hash, until_ms=now_ms + int(hours * _HOUR_MS), who=who, why=why)
    arm(app.engine, model_name=name, bundle_hash=made.bundle_hash, until_ms=made.until_ms, why=why, who=who)
    return made
