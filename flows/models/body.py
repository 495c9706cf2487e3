"""What all request bodies share: JSON has types, so nothing is guessed from another one."""

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.config import JsonDict

from wildloop.flows.text.nearest import unknown

E = TypeVar("E")
# A word of an enum comes as a text, which strict validation outside of JSON mode refuses.
Word = Annotated[E, Field(strict=False)]
# For the schema alone, where a validator refuses blank texts in better words.
NOT_BLANK: JsonDict = {"pattern": r"\S"}


class Body(BaseModel):
    """Base of request bodies: `"1"` and `true` are no numbers, and no number is NaN or infinite.

    `1` is taken where a fraction is possible, and `1.0` is the whole number that JSON says it is.
    A key that is not known is refused with the one that may be meant.
    """

    model_config = ConfigDict(strict=True, allow_inf_nan=False, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        if isinstance(value, dict) and cls.model_config.get("extra") == "forbid":
            known = [field.alias or name for name, field in cls.model_fields.items()]
            for key in value:
                if isinstance(key, str) and key not in known and key not in cls.model_fields:
                    raise ValueError(unknown("key", key, known))
        return value

    @field_validator("*", mode="before", check_fields=False)
    @classmethod
    def _whole(cls, value: Any) -> Any:
        return int(value) if type(value) is float and value.is_integer() else value
