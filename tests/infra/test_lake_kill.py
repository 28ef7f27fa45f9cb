"""``kill -9`` while the lake is written and folded: it always reads, and nothing acknowledged is lost."""

import os
import random
import signal
import time

import pytest

from infra.lake import Lake
from infra.lake_files import data_files
from infra.lake_storage import LocalStorage

_KILLS = 50
_NURSERY = """
import os, sys, tempfile
from infra import lake_market
from infra.lake import Lake
from tests.infra.lake_data import FIVE, JANUARY_31, bar

lake_market._MAX_FILES, lake_market._LARGE_SHARE = 5, 0.5  # folded every few appends, by appends too

def say(word):
    os.write(1, (word + "\\n").encode())

def work(root, n):
    lake = Lake(root)
    while True:
        slot = n if n % 3 else n // 2  # every third append is a revision
        known = JANUARY_31 + 100_000 * FIVE.ms + n
        say(f"try {JANUARY_31 + slot * FIVE.ms} {n}")
        lake.append_candles(bar(JANUARY_31 + slot * FIVE.ms, 1.0 + n), source="a", known_at_ms=known)
        say(f"done {JANUARY_31 + slot * FIVE.ms} {n}")
        if n % 7 == 0:
            lake.compact()
        n += 1

with tempfile.TemporaryDirectory() as folder:  # what is imported and allocated once is not paid by each child
    for n in range(9):
        Lake(folder).append_candles(bar(JANUARY_31 + n * FIVE.ms, 1.0), source="a")
        Lake(folder).compact()
for line in sys.stdin:
    root, n = line.split()
    child = os.fork()
    if child == 0:
        work(root, int(n))
    say(f"child {child}")
    os.waitpid(child, 0)
    say("dead")
"""


@pytest.fixture
def nursery(run_python):
    """A process that has everything imported and forks writers, so that a kill costs no start."""
    return run_python(_NURSERY)


def killed_writer(nursery, root, n, rng):
    """Start a writer at append ``n`` and kill it during one of its first appends; what it said it tried and did."""
    nursery.stdin.write(f"{root} {n}\n")
    nursery.stdin.flush()
    said = []

    def listen(kind, times):
        while sum(words[0] == kind for words in said) < times:
            line = nursery.stdout.readline()
            assert line, nursery.stderr.read()
            said.append(line.split())

    listen("child", 1)
    listen("done", rng.randrange(1, 5))
    began = time.perf_counter()
    listen("done", len(said) // 2 + 1)
    # The moment of the kill is what is varied, over the length of an append; nothing depends on it.
    time.sleep(rng.uniform(0, 1.5) * (time.perf_counter() - began))
    os.kill(next(int(words[1]) for words in said if words[0] == "child"), signal.SIGKILL)
    listen("dead", 1)
    tried, done = ({(int(w[1]), 1.0 + int(w[2])) for w in said if w[0] == kind} for kind in ("try", "done"))
    return tried, done


def test_fifty_kills_lose_nothing_that_was_acknowledged(nursery, tmp_path):
    """After each: every acknowledged row is there once, no row that nobody wrote, and the next writer goes on."""
    rng = random.Random(20250131)
    tried, done = set(), set()
    folded_away = 0
    for _ in range(_KILLS):
        more, acknowledged = killed_writer(nursery, tmp_path, len(tried), rng)
        tried, done = tried | more, done | acknowledged
        rows = Lake(tmp_path).versions("candles_5m", "BTCUSDT")
        found = list(zip(rows.time.tolist(), rows.values[3].tolist(), strict=True))
        assert len(found) == len(set(found))
        assert done <= set(found) <= tried
        folded_away += len(tried) - len(data_files(LocalStorage(tmp_path), "candles_5m/BTCUSDT"))
    assert len(tried - done) > _KILLS // 5, "many were killed in the middle of an append"
    assert folded_away > 0
    lake = Lake(tmp_path)
    lake.compact()
    files = [path.name for path in (tmp_path / "candles_5m" / "BTCUSDT").iterdir()]
    assert sorted(files) == sorted({".lock", *(name for name in files if len(name) == len("2025-01.parquet"))})
    assert len(lake.versions("candles_5m", "BTCUSDT")) == len(found)
