"""One worker of the soak: the product's own loop, leases and adoption, by an accelerated clock.

``soak_process.py PLAN``, a JSON object with ``home``, ``real_ms`` and ``market_ms`` (two moments that are the same),
``speed``, ``symbols``, ``shares`` and ``settings``. Ends at SIGTERM.
"""

import json
import signal
import sys
import time
from threading import Event

from infra.bell import listening
from infra.bootstrap import open_app
from infra.locks import present
from serving.adoption import adopt
from serving.shares import symbols_of_share
from serving.worker import serve_forever
from tasks.plan import contract_of, timeframe_of
from tasks.serving_plan import serve_plan
from tasks.share_holding import ShareHolder
from tasks.stores import bundle_cache


def main(plan: dict) -> None:
    """Hold as many shares as are ours, and serve them."""

    def clock_ms() -> int:
        return plan["market_ms"] + round((time.time() * 1000 - plan["real_ms"]) * plan["speed"])

    stop = Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with open_app(plan["home"], environ=plan["settings"]) as app:
        contract, name, shares = contract_of(app.settings), app.settings.registry.model_name, plan["shares"]

        def serve(share: int, ended: Event) -> None:
            mine = symbols_of_share(plan["symbols"], share, shares)
            with listening(app.engine, ended) as bell:
                serve_forever(
                    app.engine,
                    app.lake,
                    plan_for=lambda _: serve_plan(app, mine, run="live", share=share),
                    timeframe=timeframe_of(app.settings),
                    adopt=lambda loaded: adopt(
                        app.engine, bundle_cache(app), model_name=name, contract=contract, loaded=loaded
                    ),
                    stop=ended,
                    pause=bell.wait,
                    poll_s=0.25,
                    settle_delay_ms=app.settings.data.settle_delay_s * 1000,
                    on_error=lambda error, cause: print(cause, type(error).__name__, file=sys.stderr, flush=True),
                    clock_ms=clock_ms,
                )

        with present(app.engine, f"workers of {name}") as workers:
            holder = ShareHolder(app.engine, model_name=name, shares=shares, workers=workers, serve=serve)
            while not stop.wait(0.5):
                holder.balance()
            holder.close()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
