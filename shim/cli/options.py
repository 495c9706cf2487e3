"""The options of a session on the command line, read from their one declaration."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec

import typer
from annotated_types import Ge, Le
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from wildloop.flows.errors import InvalidRequest
from wildloop.flows.models.session_options import CommandLine, SessionStart
from wildloop.flows.project import load_project
from wildloop.shim.cli.output import fail

P = ParamSpec("P")


@dataclass(frozen=True)
class Option:
    """One option: its place in the body, and the parameter from which typer makes it."""

    path: tuple[str, ...]
    line: CommandLine
    parameter: inspect.Parameter


def with_session_options(
    command: Callable[Concatenate[SessionStart, P], None],
) -> Callable[..., None]:
    """A command that takes every option of a session, and hands them on as one body."""
    options = list(session_options())
    own = list(inspect.signature(command).parameters.values())[1:]

    def run(**given: Any) -> None:
        if not given.get("goal", "x").strip():
            given["goal"] = project_goal(Path(given["workdir"] or ".").expanduser())
        try:
            body = SessionStart.model_validate(body_of(options, given))
        except ValidationError as error:
            first = error.errors()[0]
            said = first["msg"].removeprefix("Value error, ")
            fail(f"{'.'.join(map(str, first['loc']))}: {said}", 2)
        command(body, **{one.name: given[one.name] for one in own})  # type: ignore[call-arg]

    taken = [*(option.parameter for option in options), *own]
    taken = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in taken]
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__signature__ = inspect.Signature(taken)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in taken}
    return run


def project_goal(workdir: Path) -> str:
    """The goal that wildloop.toml names; ends the command where it names none."""
    try:
        project = load_project(workdir)
    except InvalidRequest as error:
        fail(str(error), 2)
    goal = project.project.goal if project is not None else None
    if goal is None:
        fail("give a GOAL, or write [project] goal into wildloop.toml (see `wildloop init`)", 2)
    return goal


def session_options(
    model: type[BaseModel] = SessionStart, path: tuple[str, ...] = ()
) -> Iterator[Option]:
    """The options that the fields of a model make; a group of fields makes one for each."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from session_options(field.annotation, (*path, name))
        else:
            yield _option((*path, name), field)


def _option(path: tuple[str, ...], field: FieldInfo) -> Option:
    line = next((one for one in field.metadata if isinstance(one, CommandLine)), CommandLine())
    name = line.name or "--" + "-".join(path).replace("_", "-")
    if not name.startswith("--"):
        asked: Any = typer.Argument(help=field.description)
    else:
        bounds = {type(one): one for one in field.metadata}
        asked = typer.Option(
            name,
            help=field.description,
            min=bounds[Ge].ge if Ge in bounds else None,
            max=bounds[Le].le if Le in bounds else None,
        )
    type_, default = (field.annotation, field.default) if line.value is None else (bool, False)
    if line.default is not None:
        default = line.default
    elif field.is_required():
        default = inspect.Parameter.empty
    parameter = inspect.Parameter(
        "_".join(path),
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[type_, asked],
    )
    return Option(path, line, parameter)


def body_of(options: Sequence[Option], given: Mapping[str, Any]) -> dict[str, Any]:
    """The body of what was given; what was not is left to the model."""
    body: dict[str, Any] = {}
    for option in options:
        value = given[option.parameter.name]
        if option.line.value is not None:
            value = option.line.value if value else None
        if value is None:
            continue
        group = body
        for name in option.path[:-1]:
            group = group.setdefault(name, {})
        group[option.path[-1]] = value
    return body
