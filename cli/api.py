"""``lockstep api`` and ``publish``: signals and state for other programs."""

import contextlib
import logging
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from cli.interrupts import Interrupted
from cli.options import Home, command, existing_home
from cli.output import err, out
from serving.errors import SinkError

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("api")(api)
    app.command("publish")(publish)


def api(
    host: Annotated[
        str | None, typer.Option("--host", help="Address to listen on; none takes api.host of the settings.")
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65_535, help="Port; 0 any free one, none that of the settings.")
    ] = None,
    home: Home = Path(".lockstep"),
) -> None:
    """Answer HTTP: health, readiness, status, signals and their stream, metrics, halt and resume, until Ctrl-C.

    What changes something needs the token in LOCKSTEP_API__TOKEN.

    Example: lockstep api --port 8420
    """
    with command(as_json=False, quiet=True):
        from infra.bootstrap import open_app
        from serving.api.app import create_api
        from serving.api.server import serve_api
        from tasks.http_api import api_parts
        from tasks.start_training import start_training

        logging.basicConfig(level=logging.WARNING)
        path = existing_home(home)
        given = {name: value for name, value in (("api.host", host), ("api.port", port)) if value is not None}
        with open_app(path, overrides=given) as opened, contextlib.suppress(Interrupted):
            made = create_api(api_parts(opened, retrain=partial(start_training, path)))
            where = opened.settings.api
            serve_api(made, host=where.host, port=where.port, say=lambda url: out.print(f"API  {url}"))


def publish(home: Home = Path(".lockstep")) -> None:
    """Hand each live signal to the Redis stream of serving.redis_url, until Ctrl-C.

    Example: lockstep publish
    """
    with command(as_json=False, quiet=True):
        from threading import Event

        from infra.bootstrap import open_app
        from infra.locks import exclusive
        from serving.redis_sink import RedisSink, open_redis, publish_forever
        from tasks.plan import timeframe_of

        with open_app(existing_home(home)) as opened, contextlib.suppress(Interrupted):
            s = opened.settings.serving
            if s.redis_url is None:
                raise SinkError(
                    "serving.redis_url is not set",
                    why="there is no Redis to hand signals to",
                    remedy="set LOCKSTEP_SERVING__REDIS_URL, as redis://:password@host:6379/0",
                )
            sink = RedisSink(client=open_redis(s.redis_url), stream=s.redis_stream, keep=s.redis_keep)
            with exclusive(opened.engine, f"publishing to {sink.name}"):
                err.print(f"publishing to {s.redis_stream} until Ctrl-C")
                publish_forever(
                    opened.engine,
                    sink,
                    model_name=opened.settings.registry.model_name,
                    timeframe_ms=timeframe_of(opened.settings).ms,
                    stop=Event(),
                    say=err.print,
                )
