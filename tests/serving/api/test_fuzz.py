"""Every request, with whatever its description permits and much that it forbids, answers as described."""

from dataclasses import replace

import pytest
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from schemathesis.generation import GenerationMode

from serving.api.answers import RetrainAnswer
from serving.api.app import create_api
from tests.serving.api.conftest import BEARER, running
from tests.serving.test_status import deploy, promote

REQUESTS = [
    ("GET", "/health"),
    ("GET", "/ready"),
    ("GET", "/status"),
    ("GET", "/signals"),
    ("GET", "/signals/stream"),
    ("GET", "/models"),
    ("GET", "/metrics"),
    ("POST", "/halt"),
    ("POST", "/resume"),
    ("POST", "/retrain"),
]


@pytest.fixture(scope="module")
def described(parts):
    """A server that can also retrain, and its description."""
    started = RetrainAnswer(run_id="r", started=True, detail="d")
    with running(replace(parts, retrain=lambda _reason: started)) as api:
        yield api, schemathesis.openapi.from_url(f"{api.url}/openapi.json")


def test_every_request_is_fuzzed(parts):
    """The list below is the description's."""
    paths = create_api(parts).openapi()["paths"]
    assert {(method.upper(), path) for path, methods in paths.items() for method in methods} == set(REQUESTS)


CASES = [(*request, GenerationMode.POSITIVE) for request in REQUESTS]
CASES += [
    (*request, GenerationMode.NEGATIVE) for request in REQUESTS if request[0] == "POST" or "signals" in request[1]
]


@pytest.mark.parametrize(("method", "path", "mode"), CASES)
def test_it_answers_as_described(engine, described, bundles, said, method, path, mode):
    """No error of the server; status, type and body are those described; what is forbidden is refused."""
    deploy(engine, bundles[0], version=1)
    promote(engine, bundles[0], version=1)
    said(10)
    leave_out = ["ignored_auth"]  # tests of their own ask with and without the token
    if "signals" in path:
        leave_out.append("positive_data_acceptance")  # a schema cannot say which texts are dates, or symbols
    api, schema = described
    strategy = schema[path][method].as_strategy(generation_mode=mode)

    @seed(20261127)
    @settings(max_examples=12, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=strategy)
    def ask(case):
        if path == "/signals/stream" and (mode is GenerationMode.POSITIVE or "for_s" not in (case.query or {})):
            case.query = {**(case.query or {}), "for_s": 0}
        case.call_and_validate(
            base_url=api.url,
            headers=BEARER if method == "POST" else None,
            timeout=10,
            excluded_checks=[schemathesis.checks.CHECKS.get_one(name) for name in leave_out],
        )

    ask()
