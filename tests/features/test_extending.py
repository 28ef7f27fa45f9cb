"""Does docs/how-to/add-a-feature.md add a feature, and would the contract tests refuse a bad one?"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "how-to" / "add-a-feature.md"
BLOCK = re.compile(r"( *)```python\n *# (?P<path>\S+), below: (?P<anchor>.+?)\n(?P<code>.*?)\n *```", re.DOTALL)
AHEAD = "test_one_kernel.py::test_bars_of_the_future_change_nothing"
SCALE = "test_one_kernel.py::test_a_power_of_two_changes_no_bit[7-price]"
ALL = (
    AHEAD,
    SCALE,
    "test_oracle.py::test_random_markets[1-100.0]",
    "test_one_kernel.py::test_a_window_reads_no_more_bars_than_declared",
    "test_one_kernel.py::test_values_keep_their_declared_ranges[14-0.002]",
    "test_one_kernel.py::test_any_stretch_and_any_number_of_threads_give_the_same_bytes",
    "test_one_kernel.py::test_stream_equals_batch_over_block_boundaries[1]",
)
# Two bad features: the next close, for which the kernel is made to read one bar further, and the close itself.
NEXT_BAR = """
                for lane in range(LANES):
                    further = min(job[JOB_END + lane] - 1, i + 1)
                    job[_BAR_NOW + lane] = job[JOB_BARS + lane] + further * job[JOB_STRIDE + lane]
                gather(s, row.NEXT_BAR, job, _BAR_NOW, 0)"""
BAD = (
    ("features/kernel_layout.py", "S_K, S_K_1,", "NEXT_BAR = _rows(8)[0]"),
    ("features/kernel.py", "gather(s, _LAST_INPUTS", NEXT_BAR.strip("\n")),
    ("features/definitions.py", '("roc",', '        ("next_return", "C_-1/C - 1", 1, "fraction", -1, inf, "none"),'),
    ("features/definitions.py", '("roc",', '        ("price_level", "C", 1, "price", 0, inf, "none"),'),
    (
        "features/kernel_rows.py",
        "put(s, row.ROC,",
        "    put(s, row.NEXT_RETURN, get(s, row.NEXT_BAR + row.I_CLOSE) * inv - 1.0)",
    ),
    ("features/kernel_rows.py", "put(s, row.ROC,", "    put(s, row.PRICE_LEVEL, c)"),
)


def page_blocks() -> list[tuple[str, str, str]]:
    """File, anchor and code of each Python block of the page, as deep as in the file."""
    text = PAGE.read_text(encoding="utf-8")
    return [
        (found["path"], found["anchor"], "\n".join(line.removeprefix(found[1]) for line in found["code"].split("\n")))
        for found in BLOCK.finditer(text)
    ]


def below(path: Path, anchor: str, code: str) -> None:
    """Insert lines below the one line that holds the anchor."""
    lines = path.read_text(encoding="utf-8").split("\n")
    at = [k for k, line in enumerate(lines) if anchor in line]
    assert len(at) == 1, f"{anchor!r} stands {len(at)} times in {path.name}"
    path.write_text("\n".join([*lines[: at[0] + 1], code, *lines[at[0] + 1 :]]), encoding="utf-8")


def start(folder: Path, edits, tests) -> subprocess.Popen[str]:
    """Copy what feature tests need, apply the edits, and begin some contract tests there."""
    unwanted = shutil.ignore_patterns("__pycache__")
    for part in ("features", "market", "tests/features"):
        shutil.copytree(ROOT / part, folder / part, ignore=unwanted)
    for part in ("pyproject.toml", "tests/conftest.py", "tests/real_data.py"):
        shutil.copy(ROOT / part, folder / part)
    for path, anchor, code in edits:
        below(folder / path, anchor, code)
    chosen = [f"tests/features/{one}" for one in tests]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PYTHONPATH", "NUMBA"))}
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", "-n", "0", "--tb=short", *chosen],
        cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> Iterator[dict[str, tuple[int, str]]]:
    """Exit status and report of the contract tests with the page's feature and with the bad ones, side by side."""
    begun = {
        "page": start(tmp_path_factory.mktemp("page"), page_blocks(), ALL),
        "bad": start(tmp_path_factory.mktemp("bad"), BAD, (AHEAD, SCALE)),
    }
    try:
        yield {name: (process.communicate(timeout=200)[0], process.returncode)[::-1] for name, process in begun.items()}
    finally:
        for process in begun.values():
            process.kill()


def test_the_page_adds_a_feature_that_keeps_the_contract(outcomes):
    """Three blocks, about ten lines with their headings, and every contract test passes on the feature."""
    blocks = page_blocks()
    assert [path for path, _, _ in blocks] == [
        "features/definitions.py",
        "features/kernel_rows.py",
        "tests/features/oracle.py",
    ]
    assert sum(len(dedent(code).split("\n")) for _, _, code in blocks) <= 10
    status, told = outcomes["page"]
    assert status == 0, told
    assert told.count(".") >= len(ALL)


def failures(told: str) -> dict[str, list[str]]:
    """What each failed test said; the summary at the end repeats all of them and belongs to none."""
    told = re.split(r"^=+ short test summary info =+$", told, maxsplit=1, flags=re.MULTILINE)[0]
    parts = re.split(r"^_{3,} (test_\w+)(?:\[.*\])? _{3,}$", told, flags=re.MULTILINE)
    said: dict[str, list[str]] = {}
    for name, text in zip(parts[1::2], parts[2::2], strict=True):
        said.setdefault(name, []).append(text)
    return said


def test_a_feature_that_looks_ahead_is_refused_by_name(outcomes):
    """The next bar's close is seen, alone, by changing the bars that come later."""
    status, told = outcomes["bad"]
    assert status == 1, told
    (said,) = failures(told)["test_bars_of_the_future_change_nothing"]
    assert "next_return" in said
    assert "price_level" not in said


def test_a_feature_that_carries_the_price_s_unit_is_refused_by_name(outcomes):
    """The close itself, alone, changes with a factor on prices."""
    (said,) = failures(outcomes["bad"][1])["test_a_power_of_two_changes_no_bit"]
    assert "price_level" in said
    assert "next_return" not in said
