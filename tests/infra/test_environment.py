"""Services stay quiet, offline and inside the home, by their own account."""

from importlib.util import find_spec

import pytest

from infra.environment import mlflow_environment, prefect_environment, ray_environment


def test_prefect_keeps_everything_in_the_home(tmp_path, run_python):
    """Prefect itself reports its paths in the home, analytics off, and a console that only speaks of disasters."""
    script = f"""
import os
os.environ.update({prefect_environment(tmp_path)!r})
from prefect.settings import get_current_settings
from prefect.logging.configuration import DEFAULT_LOGGING_SETTINGS_PATH, load_logging_config
s = get_current_settings()
level = load_logging_config(DEFAULT_LOGGING_SETTINGS_PATH)["handlers"]["console"]["level"]
print(s.home, s.results.local_storage_path, s.profiles_path, s.server.analytics_enabled, level, sep="|")
"""
    said, errors = run_python(script).communicate(timeout=120)
    own = tmp_path / "prefect"
    assert said.strip() == f"{own}|{own / 'storage'}|{own / 'profiles.toml'}|False|CRITICAL", errors


def test_mlflow_sends_nothing_and_unpickles_nothing(run_python):
    """MLflow itself reports telemetry and pickle off."""
    script = f"""
import os
os.environ.update({mlflow_environment()!r})
from mlflow.environment_variables import MLFLOW_ALLOW_PICKLE_DESERIALIZATION as pickle
from mlflow.telemetry.utils import is_telemetry_disabled
print(is_telemetry_disabled(), pickle.get())
"""
    said, errors = run_python(script.replace("-W error", "")).communicate(timeout=120)
    assert said.strip() == "True False", errors


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is an extra")
def test_ray_sends_nothing_and_takes_the_key_it_is_given(tmp_path, run_python):
    """Ray itself reports usage statistics off and a key from the environment, so it writes none into ~/.ray."""
    script = f"""
import os
os.environ.update({ray_environment("0123456789abcdef")!r})
from ray._common.usage.usage_lib import usage_stats_enabled
from ray._raylet import AuthenticationTokenLoader
print(usage_stats_enabled(), AuthenticationTokenLoader.instance().has_token(ignore_auth_mode=True))
"""
    said, errors = run_python(f"import os; os.environ['HOME'] = {str(tmp_path)!r}\n{script}").communicate(timeout=120)
    assert said.strip() == "False True", errors
    assert not (tmp_path / ".ray").exists()
