"""How a command that is an agent is declared: light, since every command reads wildloop.toml."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from wildloop.blocks.agents.prices import Price
from wildloop.blocks.agents.told import places_of


def _usage(value: str) -> str:
    places_of(value)
    return value


class AgentEntry(BaseModel):
    """[agents.NAME]: a command that reads the prompt from stdin and prints its reply."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    command: str = Field(min_length=1, pattern=r"\S", description="Shell command.")
    passed: tuple[str, ...] = Field(
        default=(),
        alias="pass",
        description="Variables of the worker's environment that it gets, such as its API key.",
    )
    usage: Annotated[str, AfterValidator(_usage)] | None = Field(
        default=None,
        description="Where its JSON output tells reply, tokens and cost, as in "
        "'jsonl:text=result,input=usage.input_tokens,output=usage.output_tokens,cost=total_cost'.",
    )
    price: Price | None = Field(
        default=None,
        description="US dollars per million tokens, for a cost where only tokens are told.",
    )
    model_option: str | None = Field(
        default=None, description="The option that takes the model of `NAME:MODEL`, as '--model'."
    )
    login: tuple[str, ...] = Field(
        default=(), description="Files below the home folder that a login leaves."
    )
    install: str = Field(default="", description="How it is installed.")

    @property
    def tells_usage(self) -> bool:
        """Whether tokens or cost of a call are known."""
        return self.usage is not None and bool(places_of(self.usage).keys() - {"text"})
