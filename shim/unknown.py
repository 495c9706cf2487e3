"""What a request says and no path understands is refused, not passed over in silence."""

from collections.abc import Iterator

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from wildloop.flows.errors import InvalidRequest
from wildloop.flows.text.nearest import unknown


async def check_parameters(request: Request) -> None:
    """Dependency of every path: refuses query parameters that it does not know.

    Keys of bodies are refused by their models (`flows/models/body.py`).

    Raises:
        InvalidRequest: there is one, or one that takes one value is given twice.
    """
    route = request.scope.get("route")
    if not request.query_params or not isinstance(route, APIRoute):
        return
    known = set(_names(route.dependant))
    for name in request.query_params:
        if name not in known:
            raise InvalidRequest(f"query: {unknown('parameter', name, known)}")
        if len(request.query_params.getlist(name)) > 1:
            raise InvalidRequest(f"query: parameter {name!r} is given twice: give it once")


def _names(dependant: Dependant) -> Iterator[str]:
    """The query parameters of a path and of what it depends on."""
    yield from (field.alias for field in dependant.query_params)
    for part in dependant.dependencies:
        yield from _names(part)
