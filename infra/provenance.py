"""Which code and which libraries made this?"""

import subprocess
from importlib.metadata import version
from pathlib import Path

__all__ = ["code_commit", "library_versions"]

_LIBRARIES = ("lockstep", "lightgbm", "xgboost", "scikit-learn", "numpy", "numba", "mlflow", "prefect", "pandas")


def code_commit() -> str:
    """The git commit of the running checkout, with ``+changes`` if files differ; ``unknown`` outside one."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return "unknown"
    git = ["git", "-C", str(root), "-c", "safe.directory=*"]
    try:
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=10)  # noqa: S603
        changed = subprocess.run(  # noqa: S603
            [*git, "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return commit.stdout.strip() + ("+changes" if changed.stdout.strip() else "")


def library_versions() -> dict[str, str]:
    """Installed versions of the libraries that shape a model."""
    return {name: version(name) for name in _LIBRARIES}
