"""What has one bundle earned on paper, and what does it hold now?

Read from stored trades: nothing is estimated. Results are size times net, fractions of the equity at the start, booked
at the bar at which the trade was settled; ``said`` is what the signals said, ``book`` what the book took.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Engine, and_, func, select

from infra.tables import bundles, paper_trades, position_checks
from market.barriers import Barrier
from market.candles import Floats, Ints
from registry.deployments import current_champion
from serving.errors import ServingError

__all__ = ["PaperBook", "bundle_named", "read_book"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PaperBook:
    """Closed trades in the order of settlement, all ``(k,)``, and the open ones with what was last thought of them.

    ``barriers`` counts how the closed ones ended; ``unresolved`` have no result and are in no curve.
    """

    settled_ms: Ints
    said: Floats
    book: Floats
    barriers: dict[str, int]
    unresolved: int
    open_positions: tuple[dict[str, object], ...]

    @property
    def said_equity(self) -> Floats:
        """``(k,)`` equity after each settled trade, of what was said; it begins at 1."""
        return np.asarray(1.0 + np.cumsum(self.said))

    @property
    def book_equity(self) -> Floats:
        """The same of the whole book."""
        return np.asarray(1.0 + np.cumsum(self.book))


def bundle_named(engine: Engine, model_name: str, beginning: str | None) -> str:
    """The hash of the one bundle that begins so, or of the champion; raises ``ServingError`` where there is none."""
    if beginning is None:
        champion = current_champion(engine, model_name)
        if champion is None:
            raise ServingError(
                "there is no champion", why="nothing was ever promoted here", remedy="name a bundle with --bundle"
            )
        return champion.bundle_hash
    with engine.connect() as connection:
        known = connection.scalars(select(bundles.c.bundle_hash).where(bundles.c.model_name == model_name)).all()
    found = [one for one in known if one.startswith(beginning)]
    if len(found) != 1:
        raise ServingError(
            f"{len(found)} bundles of {model_name} begin with {beginning!r}",
            why="exactly one is shown",
            remedy="see lockstep models list, and write more of its hash",
        )
    return str(found[0])


def read_book(engine: Engine, bundle_hash: str) -> PaperBook:
    """Everything that the ledger of this bundle holds."""
    t = paper_trades.c
    closed = select(t.settled_ms, t.net, t.size, t.book_size, t.barrier).where(
        t.bundle_hash == bundle_hash, t.settled_ms.is_not(None)
    )
    with engine.connect() as connection:
        rows = connection.execute(closed.order_by(t.settled_ms, t.symbol)).all()
        held = connection.execute(_open_positions(bundle_hash)).mappings().all()
    known = [row for row in rows if row.net is not None]
    names = [Barrier(row.barrier).name.lower() for row in rows]
    return PaperBook(
        settled_ms=np.array([row.settled_ms for row in known], dtype=np.int64),
        said=np.array([row.size * row.net for row in known], dtype=np.float64),
        book=np.array([row.book_size * row.net for row in known], dtype=np.float64),
        barriers={name: names.count(name) for name in dict.fromkeys(sorted(names))},
        unresolved=len(rows) - len(known),
        open_positions=tuple(dict(row) for row in held),
    )


def _open_positions(bundle_hash: str) -> Any:
    """Open trades, each with the newest look at it, if there was one."""
    t, c = paper_trades.c, position_checks.c
    newest = (
        select(c.symbol, c.bar_ms, func.max(c.at_ms).label("at_ms"))
        .where(c.bundle_hash == bundle_hash)
        .group_by(c.symbol, c.bar_ms)
        .subquery()
    )
    n = newest.c
    looked = and_(c.bundle_hash == t.bundle_hash, c.symbol == t.symbol, c.bar_ms == t.bar_ms, c.at_ms == n.at_ms)
    return (
        select(t.symbol, t.bar_ms, t.side, t.size, t.book_size, c.at_ms, c.verdict, c.gross)
        .outerjoin(newest, and_(n.symbol == t.symbol, n.bar_ms == t.bar_ms))
        .outerjoin(position_checks, looked)
        .where(t.bundle_hash == bundle_hash, t.settled_ms.is_(None))
        .order_by(t.bar_ms, t.symbol)
    )
