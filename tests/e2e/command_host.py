"""Runs many ``lockstep`` commands in one process, so that heavy imports are paid for once.

One JSON request a line on standard input (``arguments``, ``environment``, ``cwd``), one JSON answer a line on the
original standard output (``code``, ``out``, ``err``). Each runs the real entry point ``cli.main.main``; what would be a
traceback in a terminal is a traceback in ``err``. With ``--prepared`` the heavy libraries are imported at once.
"""

import contextlib
import io
import json
import os
import sys
import traceback


def run(request):
    """One command through the entry point of the installed script."""
    from cli.main import main

    for name in [name for name in os.environ if name.startswith("LOCKSTEP_")]:
        del os.environ[name]
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])
    sys.argv = ["lockstep", *request["arguments"]]
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
        except BaseException:  # noqa: BLE001  # whatever it is, a terminal would show its traceback
            traceback.print_exc()
            code = 1
    return {"code": code, "out": out.getvalue(), "err": err.getvalue()}


def serve():
    """Answer until standard input closes."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        answers.write(json.dumps(run(json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    if "--prepared" in sys.argv:
        import mlflow  # noqa: F401

    serve()
