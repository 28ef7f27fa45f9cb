"""The table of deployments: whatever a person fills in on Prefect's page is described, and the home is not theirs."""

import pytest


def table():
    """The deployments, imported only now: Prefect reads its environment when it is imported."""
    from flows import deployments

    return deployments


NAMES = [
    "backfill/lockstep",
    "collect/lockstep",
    "gaps/lockstep",
    "train/lockstep",
    "watch/lockstep",
    "ramp/lockstep",
    "drill/lockstep",
    "universe-refresh/lockstep",
]


def test_these_can_be_started():
    """A new deployment is entered here."""
    assert [one.full_name for one in table().DEPLOYMENTS] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_deployment_explains_itself(name):
    """A description, tags, a limit, an import path that works from any folder, and a description of each parameter."""
    (one,) = [one for one in table().DEPLOYMENTS if one.full_name == name]
    made = table()._for_home(one, "/srv/lockstep")
    assert made.description
    assert made.tags
    assert made.concurrency_limit == 1
    assert made.entrypoint.startswith("flows.")
    schema = made._parameter_openapi_schema
    home = schema.properties["home"]
    assert (home["readOnly"], home["enum"]) == (True, ["/srv/lockstep"])
    assert schema.required == ["home"], "everything else has a default"
    assert [name for name, shape in schema.properties.items() if not shape.get("description")] == []


def test_the_parameters_of_backfill_are_those_of_the_command():
    """The same options as ``lockstep backfill`` has."""
    made = table()._for_home(table().DEPLOYMENTS[0], "/srv/lockstep")
    named = {"since": "from", "until": "to"}
    options = {f"--{named.get(name, name)}" for name in made._parameter_openapi_schema.properties}
    from typer.main import get_command

    from cli.main import app

    known = {option for parameter in get_command(app).commands["backfill"].params for option in parameter.opts}
    assert options == known - {"--json", "--help"}
