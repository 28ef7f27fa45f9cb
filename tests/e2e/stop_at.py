"""Runs the ``lockstep`` command and sends its own process a signal at one exact moment of it.

``run_until(MODULE:FUNCTION, NTH, SIGNAL, arguments)``: the signal comes right after that call of that function, as if
the machine or the operator had chosen this moment; without a function it is not stopped. Gates of
profit and skill, which a market of twelve days cannot pass, are not asked, so that there is a promotion to interrupt.
Everything else is the real entry point.
"""

import importlib
import os
import signal
import sys
import time
import types
from dataclasses import replace
from typing import Any

from learning import gate_profiles

_ASKED = ("coverage_min", "shadow_margin", "shadow_resolved_min", "shadow_independent_min", "shadow_harm_max")


def ask_fewer_gates() -> None:
    """Leave the gates of integrity, coverage and shadow counts."""
    rows = gate_profiles.THRESHOLDS
    gate_profiles.THRESHOLDS = tuple(row if row.name in _ASKED else replace(row, paper=None) for row in rows)


def stop_after(target: str, nth: int, number: int) -> None:
    """Change the function in place, so that every module that imported it before is affected too."""
    module, _, path = target.partition(":")
    function: Any = importlib.import_module(module)
    for name in path.split("."):
        function = getattr(function, name)
    original = types.FunctionType(function.__code__, function.__globals__, closure=function.__closure__)
    original.__defaults__, original.__kwdefaults__ = function.__defaults__, function.__kwdefaults__
    calls = 0

    def watched(*args: object, **kwargs: object) -> object:
        nonlocal calls
        calls += 1
        result = original(*args, **kwargs)
        if calls == nth:
            os.kill(os.getpid(), number)
            time.sleep(0.1)
        return result

    function.__globals__["_watched"] = watched
    scope: dict[str, Any] = {}
    exec("def call(*args, **kwargs):\n    return _watched(*args, **kwargs)", scope)
    function.__code__, function.__defaults__, function.__kwdefaults__ = scope["call"].__code__, None, None


def run_until(target: str, nth: int, name: str, arguments: list[str]) -> None:
    """The command, stopped by the signal of this name right after the ``nth`` call of ``target`` (``-``: never)."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a test runner in the background may have it ignored
    ask_fewer_gates()
    if target != "-":
        stop_after(target, nth, getattr(signal, name))
    sys.argv = ["lockstep", *arguments]
    from cli.main import main

    main()
