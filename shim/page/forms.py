"""What the page's forms send."""

from urllib.parse import parse_qsl

from fastapi import Request

from wildloop.flows.errors import InvalidRequest
from wildloop.flows.text.storable import UNSTORABLE, unstorable

MOST_FIELDS = 100


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form, each once.

    Raises:
        InvalidRequest: it is no form, or has what the database would fail on.
    """
    try:
        text = (await request.body()).decode("utf-8")
        found = dict(parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS))
    except ValueError as error:
        raise InvalidRequest(f"body: it is no form: {error}") from error
    if (place := unstorable(found)) is not None:
        raise InvalidRequest(f"{place}: {UNSTORABLE}: leave it out")
    return found
