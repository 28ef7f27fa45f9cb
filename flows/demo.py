"""What is the whole life of one model, in order?

Data in, train, seal and register, shadow, decide, serve, audit parity, measure drift. Every step is safe to repeat:
run again, the demo continues where it was and adds nothing that is already there.
"""

from time import perf_counter

from prefect import flow

from flows.collect import backfill, backfill_from_synthetic
from flows.monitor import drift, parity
from flows.promote import promote, shadow
from flows.serve import serve_replay
from flows.train import train
from tasks.moments import moment_of

__all__ = ["demo"]


@flow(name="demo", flow_run_name="demo")
def demo(
    home: str,
    symbols: list[str],
    folder: str | None = None,
    days: int = 90,
    start_ms: int | None = None,
    end_ms: int | None = None,
    seed: int = 7,
) -> dict[str, dict[str, object]]:
    """Run the whole lifecycle on files, or on the synthetic market when there is no folder."""
    done: dict[str, dict[str, object]] = {}
    timings: dict[str, object] = {}
    began = perf_counter()

    def lap(name: str, result: dict[str, object]) -> None:
        nonlocal began
        done[name] = result
        timings[name] = round(perf_counter() - began, 2)
        began = perf_counter()

    if folder is None:
        lap("data", backfill_from_synthetic(home, symbols, days, seed))
    else:
        since, until = (None if ms is None else moment_of(ms) for ms in (start_ms, end_ms))
        lap("data", backfill(home, symbols, since, until, files=folder))
    lap("train", train(home))
    lap("shadow", shadow(home))
    lap("promote", promote(home, who="lockstep demo"))
    lap("serve", serve_replay(home))
    lap("parity", parity(home))
    lap("drift", drift(home))
    done["timings_s"] = timings
    return done
