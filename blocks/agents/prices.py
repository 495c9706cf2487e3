"""List prices, for estimates where an agent tells its tokens and no cost."""

from pydantic import BaseModel, ConfigDict, Field

PER_TOKENS = 1_000_000


class Usage(BaseModel):
    """Tokens of a call. `input` is what was neither read from nor written to the cache."""

    model_config = ConfigDict(frozen=True)

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0

    @property
    def text(self) -> str:
        """The tokens in a few words."""
        taken_in = self.input + self.cache_read + self.cache_write
        return f"{taken_in:,} tokens in ({self.cache_read:,} from the cache), {self.output:,} out"

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            input=self.input + other.input,
            output=self.output + other.output,
            cache_read=self.cache_read + other.cache_read,
            cache_write=self.cache_write + other.cache_write,
        )


class Price(BaseModel):
    """US dollars per million tokens."""

    model_config = ConfigDict(frozen=True)

    input: float = Field(ge=0, title="Input", description="Per million input tokens.")
    output: float = Field(ge=0, title="Output", description="Per million output tokens.")
    cache_read: float = Field(
        ge=0, title="Cached input", description="Per million tokens read from the cache."
    )
    cache_write: float | None = Field(
        default=None,
        ge=0,
        title="Cache writes",
        description="Per million tokens written to the cache; empty: as input.",
    )


def _openai(dollars_in: float, dollars_out: float) -> Price:
    return Price(input=dollars_in, output=dollars_out, cache_read=dollars_in / 10)


def _anthropic(dollars_in: float, dollars_out: float) -> Price:
    return Price(
        input=dollars_in,
        output=dollars_out,
        cache_read=dollars_in / 10,
        cache_write=dollars_in * 1.25,
    )


# List prices of the providers' own APIs, standard tier, mid-2026. The longest name that a model's
# name begins with counts, so that dated versions find theirs.
PRICES = {
    "claude-opus-4": _anthropic(15, 75),
    "claude-opus-4-5": _anthropic(5, 25),
    "claude-opus-4-6": _anthropic(5, 25),
    "claude-opus-4-7": _anthropic(5, 25),
    "claude-opus-4-8": _anthropic(5, 25),
    "claude-sonnet-4": _anthropic(3, 15),
    "claude-haiku-4-5": _anthropic(1, 5),
    "gpt-5": _openai(1.25, 10),
    "gpt-5-mini": _openai(0.25, 2),
    "gpt-5-nano": _openai(0.05, 0.4),
    "gpt-5.1": _openai(1.25, 10),
    "gpt-5.1-codex-mini": _openai(0.25, 2),
    "gpt-5.2": _openai(1.75, 14),
    "gpt-5.3-codex": _openai(1.75, 14),
    "gpt-5.4": _openai(2.5, 15),
    "gpt-5.4-mini": _openai(0.75, 4.5),
    "gpt-5.4-nano": _openai(0.2, 1.25),
    "gpt-5.5": _openai(5, 30),
}
# Models whose names begin like cheaper ones, at prices of their own.
_UNPRICED = frozenset({"gpt-5.4-pro", "gpt-5.5-pro", "gpt-5-pro", "gpt-5.2-pro"})


def price_of(model: str | None) -> Price | None:
    """The list price of a model, `provider/model` too; None if it is not in the table."""
    if not model:
        return None
    name = model.rpartition("/")[2].partition("[")[0].lower()
    if any(name.startswith(other) for other in _UNPRICED):
        return None
    fitting = [known for known in PRICES if name == known or name.startswith(f"{known}-")]
    return PRICES[max(fitting, key=len)] if fitting else None


def estimate_cost(usage: Usage, price: Price) -> float:
    """What these tokens cost at this price, in US dollars."""
    write = price.input if price.cache_write is None else price.cache_write
    dollars = (
        usage.input * price.input
        + usage.output * price.output
        + usage.cache_read * price.cache_read
        + usage.cache_write * write
    )
    return dollars / PER_TOKENS
