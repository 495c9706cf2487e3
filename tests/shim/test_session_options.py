"""Each option of a session is declared once, and found wherever a session can be started."""

from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any

import pytest
import typer
from prefect import flow
from pydantic import BaseModel, Field, ValidationError
from pydantic.fields import FieldInfo

from tests.support.openapi import openapi
from wildloop.flows.models.parameters import takes
from wildloop.flows.models.session_options import Budget, CommandLine, SessionSpec, SessionStart
from wildloop.flows.research_loop import research_loop
from wildloop.shim.cli.main import application
from wildloop.shim.cli.options import body_of, session_options

Place = tuple[str, ...]


def leaves(
    model: type[BaseModel] = SessionStart, path: Place = ()
) -> Iterator[tuple[Place, FieldInfo]]:
    """The fields of the model, those of its groups one by one."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from leaves(field.annotation, (*path, name))
        else:
            yield (*path, name), field


def properties(
    schema: dict[str, Any], definitions: dict[str, Any], path: Place = ()
) -> dict[Place, dict[str, Any]]:
    """The properties of an object's schema, those of the objects in it one by one."""
    found: dict[Place, dict[str, Any]] = {}
    for name, one in schema["properties"].items():
        found[(*path, name)] = one
        for choice in one.get("anyOf", [one]):
            if (at := choice.get("$ref")) is not None:
                group = definitions[at.rpartition("/")[2]]
                found |= properties(group, definitions, (*path, name))
    return found


@cache
def form() -> dict[Place, dict[str, Any]]:
    """Prefect's form of the deployment."""
    schema = research_loop.parameters
    return properties(schema.model_dump(), schema.definitions)


@cache
def body() -> dict[Place, dict[str, Any]]:
    """The body of `POST /wild/v2/start`."""
    schemas = openapi()["components"]["schemas"]
    return properties(schemas["SessionStart"], schemas)


@cache
def command_line() -> dict[str, Any]:
    """The parameters of `wildloop start`, by name."""
    group: Any = typer.main.get_command(application())
    return {str(one.name): one for one in group.commands["start"].params}


LEAVES = dict(leaves())


@pytest.mark.parametrize("path", LEAVES, ids=".".join)
def test_option_is_in_the_form_the_body_and_on_the_command_line(
    path: Place,
) -> None:
    field = LEAVES[path]
    in_the_form, in_the_body = form()[path], body()[path]
    asked = command_line()["_".join(path)]
    assert field.title and field.description
    for one in (in_the_form, in_the_body):
        assert (one["title"], one["description"]) == (field.title, field.description)
        if not field.is_required() and path != ("workdir",):
            assert one.get("default") == field.default
    assert getattr(asked, "help", None) == field.description
    # Where the project says its goal, the command line need not.
    assert asked.required == (field.is_required() and path != ("goal",))
    if path == ("workdir",):
        assert asked.default == "."
    elif not field.is_required() and path != ("isolation",):
        assert asked.default == field.default


def test_a_further_option_takes_one_declaration() -> None:
    class WithPatience(SessionSpec):
        patience: Annotated[int, CommandLine("--wait-for")] = Field(
            default=3, title="Patience", description="How often the user is asked."
        )

    @flow
    @takes(WithPatience)
    def loop(**options: Any) -> Any:
        return WithPatience.of_parameters(options).patience

    shown = loop.parameters.properties["patience"]
    assert (shown["title"], shown["default"]) == ("Patience", 3)
    assert loop.validate_parameters({"goal": "g", "workdir": ".", "patience": 4})["patience"] == 4
    options = {option.path: option for option in session_options(WithPatience)}
    assert options["patience",].parameter.default == 3
    assert body_of([options["patience",]], {"patience": 5}) == {"patience": 5}


def test_the_command_line_gives_the_body() -> None:
    asked = {option.parameter.name: option for option in session_options()}
    given = dict.fromkeys(asked) | {
        "goal": "g",
        "isolation": True,
        "evo_sweep_enabled": True,
        "budget_cost_usd": 2.5,
    }
    body = SessionStart.model_validate(body_of(list(asked.values()), given))
    assert body == SessionStart(
        goal="g", isolation="snapshot", evo_sweep_enabled=True, budget=Budget(cost_usd=2.5)
    )


@pytest.mark.parametrize(
    ("options", "mend"),
    [
        ({"keep": "all"}, "2 need keep: better"),
        ({"keep": "better", "evo_sweep_enabled": True}, "leave evo_sweep_enabled out"),
        ({"keep": "better", "explore": "tree"}, "leave `explore: tree` out"),
    ],
)
def test_what_several_researchers_cannot_do_is_told_of_their_number(
    options: dict[str, Any], mend: str
) -> None:
    with pytest.raises(ValidationError, match=mend) as found:
        SessionStart.model_validate({"goal": "g", "researchers": 2} | options)
    assert found.value.errors()[0]["loc"] == ("researchers",)
    SessionStart.model_validate({"goal": "g"} | options)


def test_a_tree_is_explored_only_where_changes_are_taken_back() -> None:
    with pytest.raises(ValidationError, match="give `keep: better` with it"):
        SessionStart.model_validate({"goal": "g", "explore": "tree"})
    assert SessionStart(goal="g", keep="better", explore="tree").explore == "tree"
    assert SessionStart(goal="g").explore == "greedy"
