"""What does training on all real markets cost, stage by stage, and does it grow with the rows?

33 perpetuals over 119 days through the commands a user types: backfill from files, then ``lockstep train`` on a
quarter, half and all of the markets, three models, six folds; every third bar is an event, or as ``--every`` says. 22
of the markets have no funding on record, so their funding features are missing and an assumed cost is charged. One JSON
line a training: rows, seconds of the whole command and of each stage, seconds a million rows, and the peak memory of
the process. Needs the real data that ``LOCKSTEP_TEST_DATA`` names; says so and does nothing without.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FOLDERS = ("marketlab_um", "genetic_um")
SHARES = (0.25, 0.5, 1.0)
SETTINGS = {
    "LOCKSTEP_FEATURES__FUNDING_REQUIRED": "false",
    "LOCKSTEP_LABELS__ASSUMED_FUNDING_BPS": "1",
    "LOCKSTEP_TRAINING__FOLDS": "6",
}
TIMED = """
import atexit, resource, sys
from cli.main import main
atexit.register(lambda: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr))
main()
"""


def lockstep(*arguments: str, more: dict[str, str]) -> tuple[dict[str, object], float, float]:
    """A command's JSON, its seconds, and the peak memory of its process in GB."""
    began = time.perf_counter()
    command = [sys.executable, "-c", TIMED, *arguments, "--json"]
    done = subprocess.run(command, env=os.environ | SETTINGS | more, capture_output=True, text=True, check=False)
    spent = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return json.loads(done.stdout), spent, int(done.stderr.split()[-1]) / 2**20


def main() -> None:
    """Backfill once, then one training a share of the markets."""
    asked = argparse.ArgumentParser()
    asked.add_argument("--every", type=int, default=3, help="Bars from event to event.")
    every = {"LOCKSTEP_EVENTS__EVERY_BARS": str(asked.parse_args().every)}
    data = os.environ.get("LOCKSTEP_TEST_DATA")
    if data is None:
        print(json.dumps({"case": "real_panel", "skipped": "set LOCKSTEP_TEST_DATA to a folder of real markets"}))
        return
    with tempfile.TemporaryDirectory() as scratch:
        home = str(Path(scratch) / "home")
        symbols: list[str] = []
        for folder in FOLDERS:
            lockstep("backfill", "--files", str(Path(data) / folder), "--home", home, more=every)
            symbols += [path.stem for path in sorted((Path(data) / folder / "candles_5m").iterdir())]
        first = ["BTCUSDT", *(one for one in symbols if one != "BTCUSDT")]
        for share in SHARES:
            chosen = first[: round(share * len(first))]
            days = ("--days", "119", "--symbols", ",".join(chosen), "--home", home)
            found, spent, peak = lockstep("train", *days, more=every)
            evaluation = found["evaluation"]
            rows = evaluation["events"]["valid_rows"]
            line = {
                "case": f"real_panel.{share:g}",
                "markets": len(chosen),
                "rows": rows,
                "events": evaluation["events"]["rows"],
                "ours_s": round(spent, 1),
                "s_a_million_rows": round(spent / rows * 1e6, 1),
                "peak_gb": round(peak, 2),
                "stages_s": {name: round(seconds, 1) for name, seconds in found["timings_s"].items()},
            }
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
