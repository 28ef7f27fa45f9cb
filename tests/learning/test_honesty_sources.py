"""What the source may not contain: shuffled splits, made-up rows, fits outside the training room, test code."""

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("market", "features", "infra", "registry", "serving", "learning", "tasks", "flows", "cli")
SPLITS_AND_ROWS = {
    "train_test_split", "KFold", "StratifiedKFold", "GroupKFold", "RepeatedKFold", "RepeatedStratifiedKFold",
    "StratifiedGroupKFold", "ShuffleSplit", "StratifiedShuffleSplit", "GroupShuffleSplit", "TimeSeriesSplit",
    "cross_val_score", "cross_val_predict", "cross_validate", "GridSearchCV", "RandomizedSearchCV",
    "CalibratedClassifierCV", "SMOTE", "ADASYN", "RandomOverSampler", "RandomUnderSampler", "fit_resample",
    "shuffle", "permutation", "permuted", "bfill", "interpolate",
}  # fmt: skip
LIBRARIES = ("sklearn.model_selection", "sklearn.utils", "imblearn", "pytest", "hypothesis", "tests")
FITS = {"fit", "fit_transform", "partial_fit", "refit", "train"}
ALLOWED = {("features/kernel_lanes.py", "shuffle")}
"""Lanes of a vector register."""


@cache
def calls_and_imports(path: Path) -> tuple[set[str], set[str]]:
    """Names that are called or imported from somewhere, and modules that are imported, at any depth of the source."""
    names, modules = set(), set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            func = node.func
            names.add(func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else "")
        elif isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
            names |= {alias.name for alias in node.names}
    return names, modules


def module_file(module: str) -> Path | None:
    """The file of a module of ours, None for a library or a name inside a module."""
    for path in (ROOT / f"{module.replace('.', '/')}.py", ROOT / module.replace(".", "/") / "__init__.py"):
        if path.is_file() and module.partition(".")[0] in ROOMS:
            return path
    return None


def reachable(room: str) -> set[Path]:
    """Every file that code of this room can come to import, lazily or not."""
    found, ahead = set(), set((ROOT / room).rglob("*.py"))
    while ahead:
        path = ahead.pop()
        found.add(path)
        modules = calls_and_imports(path)[1]
        ahead |= {file for module in modules if (file := module_file(module)) is not None} - found
    return found


SOURCES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def forbidden(path: Path) -> set[str]:
    """What a file contains that no file of the product may."""
    names, modules = calls_and_imports(path)
    here = path.relative_to(ROOT).as_posix()
    found = {name for name in names & SPLITS_AND_ROWS if (here, name) not in ALLOWED}
    return found | {module for module in modules if module.startswith(LIBRARIES)}


def test_no_shuffled_split_no_made_up_row_and_no_test_code():
    """Splits go through walk-forward; rows are neither drawn, doubled, invented nor filled from the future."""
    found = {path.relative_to(ROOT).as_posix(): bad for path in SOURCES if (bad := forbidden(path))}
    assert found == {}
    assert len(SOURCES) > 150


def test_nothing_is_fitted_where_models_are_served():
    """From serving, no file that fits or trains can be reached, and neither can scikit-learn's estimators."""
    files = reachable("serving")
    assert {path.relative_to(ROOT).parts[0] for path in files} <= {"market", "features", "infra", "registry", "serving"}
    for path in sorted(files):
        names, modules = calls_and_imports(path)
        assert not names & FITS, path
        assert not {name for name in names if name.startswith("fit_")}, path
        assert not {module for module in modules if module.startswith("sklearn")}, path


def test_fits_are_in_the_training_room_alone():
    """A scaler or model fitted anywhere else would be fitted on rows that nobody split."""
    rooms = {
        path.relative_to(ROOT).parts[0]
        for path in SOURCES
        if calls_and_imports(path)[0] & {"fit", "fit_transform", "partial_fit", "fit_scaler"}
    }
    assert rooms == {"learning"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("from sklearn.model_selection import train_test_split as split", "train_test_split"),
        ("import sklearn.model_selection", "sklearn.model_selection"),
        ("def f(x):\n    from imblearn.over_sampling import SMOTE\n    return SMOTE().fit_resample(x)", "SMOTE"),
        ("rng.shuffle(rows)", "shuffle"),
        ("frame.bfill()", "bfill"),
        ("from tests.fakes import small_market", "tests.fakes"),
    ],
)
def test_the_search_finds_what_it_looks_for(tmp_path, monkeypatch, text, found):
    """Each kind of thing that is forbidden is seen when it is there."""
    monkeypatch.setitem(forbidden.__globals__, "ROOT", tmp_path)
    path = tmp_path / "learning.py"
    path.write_text(text)
    assert found in forbidden(path)


def test_the_walk_from_a_room_follows_lazy_imports():
    """From training, where models are fitted, the trainers are reached."""
    assert ROOT / "learning" / "trainers.py" in reachable("tasks")
