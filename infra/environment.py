"""Which environment keeps the services we start quiet, offline and inside the home?

Pure: each function returns variables for a child process, or for ``os.environ`` before the library is imported. Nothing
is set here.

    >>> prefect_environment(Path("/srv/lockstep"))["PREFECT_HOME"]
    '/srv/lockstep/prefect'
"""

from pathlib import Path

__all__ = ["mlflow_environment", "prefect_environment", "ray_environment"]


def prefect_environment(home: Path) -> dict[str, str]:
    """Prefect: its database, profiles and stored results in the home, no analytics, warnings only."""
    own = home / "prefect"
    return {
        "PREFECT_HOME": str(own),
        "PREFECT_LOCAL_STORAGE_PATH": str(own / "storage"),
        # Flow logs belong to the Prefect page; the command prints its own progress and its own errors.
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "true",  # MLflow accepts no other spelling
    }


def mlflow_environment() -> dict[str, str]:
    """MLflow: no telemetry, no unpickling, and no complaint where git is not installed."""
    return {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "DO_NOT_TRACK": "true",
        "GIT_PYTHON_REFRESH": "quiet",
    }


def ray_environment(token: str) -> dict[str, str]:
    """Ray, for a cluster of this process: no usage statistics, ``token`` as its key, GPUs as this process sees them."""
    return {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_TOKEN": token,  # otherwise Ray writes one into ~/.ray
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }
