"""The fields of a model as the parameters of a flow."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field
from pydantic.fields import FieldInfo

Function = TypeVar("Function", bound=Callable[..., Any])


def takes(model: type[BaseModel]) -> Callable[[Function], Function]:
    """Give a function that takes `**options` the fields of `model` as its parameters.

    Prefect reads the signature of a flow: its form of a deployment shows each field with title,
    description, bounds and default.
    """

    def decorate(function: Function) -> Function:
        fields = model.model_fields.items()
        signature = inspect.Signature([_parameter(name, field) for name, field in fields])
        function.__signature__ = signature  # type: ignore[attr-defined]
        return function

    return decorate


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    # A default that is made anew each time is not for a form: None stands for it.
    is_made = field.default_factory is not None
    about = Field(title=field.title, description=field.description, examples=field.examples)
    type_: Any = field.annotation
    # Prefect takes the description from the default, and would put the name above the field.
    default = Field(
        default=None if is_made else field.default,
        description=field.description,
        json_schema_extra={"title": field.title or name},
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[type_ | None if is_made else type_, *field.metadata, about],
    )
