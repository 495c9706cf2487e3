"""JSON schemas that Prefect's server checks again and again, checked once each."""

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from prefect.utilities.schema_tools import validation

KEPT = 256


def check_once() -> None:
    """Have a schema that was found valid not be checked again by this process.

    For each flow run that is created Prefect checks twice that the job variables of its pool are a
    valid schema: without this, half of what its server computes for the creation. What is given is
    checked against the schema as before.
    """
    validator: Any = validation._VALIDATOR
    validator.check_schema = staticmethod(_once(validator.check_schema))


def _once(check: Callable[..., None]) -> Callable[..., None]:
    @lru_cache(KEPT)
    def known(text: str) -> None:
        check(json.loads(text))

    def check_schema(schema: Any, *_: Any, **__: Any) -> None:
        try:
            text = json.dumps(schema)
        except TypeError:
            # Of what is no JSON it says what is wrong.
            check(schema)
        else:
            known(text)

    return check_schema
