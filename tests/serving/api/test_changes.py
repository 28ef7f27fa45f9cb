"""Who may halt, resume and retrain, and what asking twice does."""

import json
import logging
from dataclasses import replace

import httpx
import pytest

from infra.errors import InfraError
from infra.tables import switches
from serving.api.answers import RetrainAnswer
from serving.api.guard import Door, may_enter
from serving.errors import ApiRefusalError
from tests.serving.api.conftest import BEARER, TOKEN, running

WHY = {"reason": "exchange maintenance"}


def rows(engine):
    with engine.connect() as connection:
        return [(row.value, row.why, row.who) for row in connection.execute(switches.select())]


@pytest.mark.parametrize("path", ["/halt", "/resume", "/retrain"])
@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}, {"Authorization": TOKEN}]
)
def test_without_the_token_nothing_changes(api, engine, path, headers):
    """401 with a challenge, whatever the body, and no row."""
    for body in (json.dumps(WHY), "{"):
        answer = api.post(path, content=body, headers=headers)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert TOKEN not in answer.text
    assert rows(engine) == []


def test_without_a_configured_token_nobody_may(parts, engine):
    """403 with the remedy, whatever is sent."""
    door = Door(host="127.0.0.1", allowed_hosts=(), token=None)
    with running(replace(parts, door=door)) as api:
        for headers in ({}, {"Authorization": "Bearer x"}, BEARER):
            answer = api.post("/halt", json=WHY, headers=headers)
            assert answer.status_code == 403
            assert "LOCKSTEP_API__TOKEN" in answer.json()["remedy"]
    assert rows(engine) == []


def test_halt_and_resume_once_however_often(api, engine):
    """The first request sets the switch; the second changes neither reason nor time."""
    first = api.post("/halt", json=WHY, headers=BEARER).json()
    again = api.post("/halt", json={"reason": "another"}, headers=BEARER).json()
    assert (first["halted"], first["changed"], again["changed"]) == (True, True, False)
    assert {**again, "changed": True} == first
    assert rows(engine) == [("on", "exchange maintenance", "http api")]
    over = [api.post("/resume", json={"reason": "over"}, headers=BEARER).json() for _ in range(2)]
    assert [(one["halted"], one["changed"]) for one in over] == [(False, True), (False, False)]
    assert over[0]["at"] == over[1]["at"]


def test_resume_of_what_never_stopped_writes_nothing(api, engine):
    """There is nobody to name, so nobody is named."""
    found = api.post("/resume", json=WHY, headers=BEARER).json()
    assert found == {"halted": False, "changed": False, "why": None, "who": None, "at": None}
    assert rows(engine) == []


@pytest.mark.parametrize(
    "body", [{}, {"reason": ""}, {"reason": "  "}, {"reason": "a\x00b"}, {"reason": "x", "on": 1}, [], "x" * 600]
)
def test_a_body_that_is_not_understood_changes_nothing(api, engine, body):
    """422, and the switch stays."""
    answer = api.post("/halt", json=body, headers=BEARER)
    assert (answer.status_code, sorted(answer.json())) == (422, ["remedy", "what", "why"])
    assert rows(engine) == []


def test_bodies_have_a_length_and_an_end(api):
    """A stream without a length is refused before it is read, and so is a long one."""
    assert api.post("/halt", content=iter([b"{}"]), headers=BEARER).status_code == 411
    assert api.post("/halt", content=b"x" * 70_000, headers=BEARER).status_code == 413


def test_retrain_is_handed_on(parts, engine):
    """Its answer is given back; nothing to start it, or a refusal, is 503 with the remedy."""
    asked = []

    def start(reason):
        asked.append(reason)
        if reason == "no":
            raise InfraError("no server", why="it was not started", remedy="run lockstep up")
        return RetrainAnswer(run_id="r1", started=True, detail="here")

    with running(replace(parts, retrain=start)) as api:
        assert api.post("/retrain", json=WHY, headers=BEARER).json()["run_id"] == "r1"
        refused = api.post("/retrain", json={"reason": "no"}, headers=BEARER)
    assert (refused.status_code, refused.json()["remedy"]) == (503, "run lockstep up")
    assert asked == ["exchange maintenance", "no"]


def test_retrain_without_anything_to_start_it(api):
    """503 and what to do."""
    answer = api.post("/retrain", json=WHY, headers=BEARER)
    assert (answer.status_code, "lockstep up" in answer.json()["remedy"]) == (503, True)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [("evil.example", False), ("", False), ("lockstep.internal:1", True), ("localhost", True), ("[::1]:9", True)],
)
def test_only_known_host_names_are_answered(api, host, allowed):
    """A page that points its own name at loopback is refused."""
    answer = httpx.get(f"{api.url}/models", headers={"Host": host})
    assert answer.status_code == (200 if allowed else 400)


def test_an_open_address_needs_a_token(parts):
    """It is refused at start; with one, reading needs it too, but for the checks."""
    with pytest.raises(ApiRefusalError, match="LOCKSTEP_API__TOKEN"):
        Door(host="0.0.0.0", allowed_hosts=(), token=None)
    door = replace(parts.door, host="10.0.0.5")
    head = {"host": "10.0.0.5:8420"}
    may_enter(door, "GET", "/health", head)
    with pytest.raises(ApiRefusalError, match="token"):
        may_enter(door, "GET", "/signals", head)
    may_enter(door, "GET", "/signals", head | {"authorization": f"Bearer {TOKEN}"})


def test_the_token_is_never_told(api, parts, caplog):
    """Neither in what is printed of the parts, nor in any answer, nor in a log."""
    caplog.set_level(logging.DEBUG)
    assert TOKEN not in repr(parts)
    for path in ("/health", "/ready", "/status", "/signals", "/models", "/metrics", "/openapi.json", "/no"):
        assert TOKEN not in api.get(path, headers=BEARER).text
    api.post("/halt", json={}, headers=BEARER)
    assert TOKEN not in caplog.text
