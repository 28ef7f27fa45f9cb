"""How tests of the worker replay a stretch of the small market, and read what was recorded."""

from dataclasses import replace

from sqlalchemy import Engine, select

from infra.tables import feature_rows, paper_trades, position_checks, predictions, signals
from registry.load import LoadedBundle
from serving.lineup import Lineup, ServedBundle, ServePlan
from serving.worker import replay
from tests.fakes.small_market import SYMBOLS, TRAIN_END, SmallMarket

N = 120


def plan_for(market: SmallMarket, **changes) -> ServePlan:
    return replace(ServePlan(model_name="m", symbols=SYMBOLS, contract=market.contract, run="r"), **changes)


def lineup_of(bundles: tuple[LoadedBundle, ...]) -> Lineup:
    champion, *challengers = (ServedBundle(bundle=one, version=k + 1) for k, one in enumerate(bundles))
    return Lineup(champion=champion, challengers=tuple(challengers))


def run(engine: Engine, market: SmallMarket, lineup: Lineup, *, bars: int = N, start: int = TRAIN_END, **changes):
    return replay(
        engine,
        market.lake,
        lineup,
        plan=plan_for(market, **changes),
        start_index=start,
        end_index=start + bars,
    )


def content(engine: Engine) -> dict[str, list[tuple[object, ...]]]:
    """Every row of the serving tables without ids and times of writing."""
    found = {}
    with engine.connect() as connection:
        for table in (feature_rows, predictions, signals, paper_trades, position_checks):
            kept = [column for column in table.c if column.name not in {"id", "decided_at"}]
            rows = connection.execute(select(*kept)).all()
            found[table.name] = sorted(tuple(map(str, row)) for row in rows)
    return found


def said(engine: Engine) -> list[object]:
    with engine.connect() as connection:
        return list(connection.execute(select(signals).order_by(signals.c.bar_ms, signals.c.symbol)))


def empty(engine: Engine) -> None:
    with engine.begin() as connection:
        for table in (position_checks, paper_trades, feature_rows, predictions, signals):
            connection.execute(table.delete())
