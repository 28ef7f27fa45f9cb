"""``lockstep lake``: what market data is stored, and keeping it in few files."""

from dataclasses import asdict
from pathlib import Path

import typer

from cli.options import Home, Json, command, existing_home
from cli.output import out, print_json, table

__all__ = ["app"]

app = typer.Typer(help="The store of market data.", no_args_is_help=True)


@app.command("show")
def show(home: Home = Path(".lockstep"), as_json: Json = False) -> None:
    """Count what is stored, by kind of data; every file is read.

    Example: lockstep lake show
    """
    with command(as_json=as_json, quiet=as_json):
        from infra.bootstrap import open_app
        from tasks.progress import report

        with open_app(existing_home(home)) as opened:
            place = opened.lake.place
            found = opened.lake.holdings(lambda done, total: report("reading", done, total))
    if as_json:
        kinds = [{("bytes" if name == "size_bytes" else name): v for name, v in asdict(one).items()} for one in found]
        print_json({"place": place, "kinds": kinds})
        return
    rows = [
        (one.kind, *(f"{n:,}" for n in (one.symbols, one.rows, one.revisions, one.files)), _megabytes(one.size_bytes))
        for one in found
    ]
    out.print(table(place, ("kind", "symbols", "rows", "revisions", "files", "MB"), rows))


@app.command("compact")
def compact(home: Home = Path(".lockstep"), as_json: Json = False) -> None:
    """Fold the parts that small appends left into one file a month; nothing that is read changes.

    Example: lockstep lake compact
    """
    with command(as_json=as_json, quiet=as_json):
        from infra.bootstrap import open_app
        from tasks.progress import report

        with open_app(existing_home(home)) as opened:
            done = opened.lake.compact(lambda done, total: report("folding", done, total))
    if as_json:
        print_json(asdict(done))
        return
    out.print(
        f"{done.months:,} months folded: {done.files_before:,} files and {_megabytes(done.bytes_before)} MB before, "
        f"{done.files_after:,} and {_megabytes(done.bytes_after)} after"
    )


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f}"
