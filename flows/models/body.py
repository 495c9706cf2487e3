"""What all request bodies share: JSON has types, so nothing is guessed from another one."""

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic.config import JsonDict

E = TypeVar("E")
# A word of an enum comes as a text, which strict validation outside of JSON mode refuses.
Word = Annotated[E, Field(strict=False)]
# For the schema alone, where a validator refuses blank texts in better words.
NOT_BLANK: JsonDict = {"pattern": r"\S"}


class Body(BaseModel):
    """Base of request bodies: `"1"` and `true` are no numbers, and no number is NaN or infinite.

    `1` is taken where a fraction is possible, and `1.0` is the whole number that JSON says it is.
    """

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    @field_validator("*", mode="before", check_fields=False)
    @classmethod
    def _whole(cls, value: Any) -> Any:
        return int(value) if type(value) is float and value.is_integer() else value
