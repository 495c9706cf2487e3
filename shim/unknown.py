"""What a request says and no path understands is refused, not passed over in silence."""

import json
from collections.abc import Iterator

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from wildloop.flows.errors import InvalidRequest
from wildloop.flows.text.nearest import unknown


async def check_request(request: Request) -> None:
    """Dependency of every path: refuses unknown query parameters, and a body where none is taken.

    Keys of bodies that are taken are refused by their models (`flows/models/body.py`).

    Raises:
        InvalidRequest: there is one, or one that takes one value is given twice.
    """
    route = request.scope.get("route")
    if not isinstance(route, APIRoute):
        return
    if route.body_field is None:
        _check_empty(await request.body())
    known = set(_names(route.dependant))
    for name in request.query_params:
        if name not in known:
            raise InvalidRequest(f"query: {unknown('parameter', name, known)}")
        if len(request.query_params.getlist(name)) > 1:
            raise InvalidRequest(f"query: parameter {name!r} is given twice: give it once")


def _check_empty(body: bytes) -> None:
    """An empty object says nothing: many clients send one with each POST.

    Raises:
        InvalidRequest: the body says something.
    """
    if not body.strip():
        return
    try:
        said = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("body: none is taken here, leave it out") from error
    if isinstance(said, dict) and said:
        raise InvalidRequest(f"body: {unknown('key', next(iter(said)), [])}")
    if said not in (None, {}):
        raise InvalidRequest("body: none is taken here, leave it out")


def _names(dependant: Dependant) -> Iterator[str]:
    """The query parameters of a path and of what it depends on."""
    yield from (field.alias for field in dependant.query_params)
    for part in dependant.dependencies:
        yield from _names(part)
