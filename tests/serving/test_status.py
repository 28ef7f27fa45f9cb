"""What ``status`` says about a home in each condition."""

import json

from sqlalchemy import insert

from infra.tables import bundles as bundle_table
from infra.tables import deployments, drift_runs
from serving.halt import set_halt
from serving.lineup import Lineup, ServedBundle, ServePlan
from serving.parity import parity_audit, record_parity
from serving.status import status
from serving.worker import replay, serve_once
from tests.fakes.small_market import END_INDEX, SYMBOLS, TIMEFRAME

START = END_INDEX - 30
NOW = TIMEFRAME.close_time(END_INDEX - 1) + 5_000


def ask(engine, market, *, now_ms: int = NOW) -> dict:
    found = status(engine, market.lake, model_name="m", timeframe=TIMEFRAME, symbols=SYMBOLS, now_ms=now_ms)
    return json.loads(json.dumps(found, allow_nan=False))


def deploy(engine, bundle, *, version: int) -> None:
    with engine.begin() as connection:
        connection.execute(
            insert(bundle_table).values(
                bundle_hash=bundle.hash,
                model_name="m",
                version=version,
                contract=bundle.contract.fingerprint,
                label_spec=bundle.label_spec.fingerprint,
                synthetic=True,
                train_end_ms=bundle.facts["train_end_ms"],
                facts=bundle.facts,
            )
        )


def promote(engine, bundle, *, version: int) -> None:
    with engine.begin() as connection:
        connection.execute(
            insert(deployments).values(
                model_name="m", bundle_hash=bundle.hash, version=version, action="promote", why="test", who="tester"
            )
        )


def test_an_empty_home_is_flat_and_says_so(engine, market):
    """Nothing promoted, nothing served: every number is there, none is invented."""
    found = ask(engine, market)
    assert (found["state"], found["reason"], found["champion"], found["last_bar_ms"]) == (
        "FLAT",
        "no_champion",
        None,
        None,
    )
    assert found["counts"] == {"signals": 0, "predictions": 0, "paper_trades": 0, "outcomes": 0}
    assert found["synthetic"] is True


def test_a_serving_home_is_full_and_ages(engine, market, bundles):
    """Champion, challenger, last bar, open trades and verdicts; later it is stale, halted it is HALT."""
    champion = ServedBundle(bundle=bundles[0], version=1)
    deploy(engine, bundles[0], version=1)
    deploy(engine, bundles[1], version=2)
    promote(engine, bundles[0], version=1)
    plan = ServePlan(model_name="m", symbols=SYMBOLS, contract=market.contract, run="r")
    summary = replay(engine, market.lake, Lineup(champion=champion), plan=plan, start_index=START, end_index=END_INDEX)
    audit = parity_audit(engine, market.lake, contract=market.contract, first_index=START, last_index=END_INDEX - 1)
    record_parity(engine, audit, model_name="m")
    with engine.begin() as connection:
        connection.execute(
            insert(drift_runs).values(
                model_name="m", bundle_hash=bundles[0].hash, first_ms=1, last_ms=2, rows=9, verdict="none", features={}
            )
        )
    found = ask(engine, market)
    assert (found["state"], found["reason"]) == ("FULL", "ok")
    assert (found["champion"]["version"], found["challenger"]["version"]) == (1, 2)
    assert found["last_bar_ms"] == TIMEFRAME.open_time(END_INDEX - 1)
    assert found["last_bar_age_s"] == 5.0
    assert found["open_paper_trades"] == summary.opened - summary.closed
    assert found["counts"]["signals"] == 90
    assert (found["parity"]["rows"], found["parity"]["identical"]) == (90, 90)
    assert found["drift"]["verdict"] == "none"
    limit = TIMEFRAME.close_time(END_INDEX - 1) + 2 * TIMEFRAME.ms
    assert ask(engine, market, now_ms=limit)["reason"] == "ok"
    assert ask(engine, market, now_ms=limit + 1)["reason"] == "stale_data"
    set_halt(engine, on=True, why="test", who="tester")
    assert (ask(engine, market)["state"], ask(engine, market)["halted"]) == ("HALT", True)


def test_a_halt_taken_back_no_longer_counts(engine, market, bundles):
    """The last bar was served under a halt; once resumed, the status speaks of now, not of then."""
    deploy(engine, bundles[0], version=1)
    promote(engine, bundles[0], version=1)
    plan = ServePlan(model_name="m", symbols=SYMBOLS, contract=market.contract, run="r")
    champion = Lineup(champion=ServedBundle(bundle=bundles[0], version=1))
    set_halt(engine, on=True, why="maintenance", who="tester")
    serve_once(engine, market.lake, champion, plan=plan, now_ms=NOW)
    assert (ask(engine, market)["state"], ask(engine, market)["reason"]) == ("HALT", "halted")
    set_halt(engine, on=False, why="over", who="tester")
    assert (ask(engine, market)["state"], ask(engine, market)["halted"]) == ("FULL", False)
