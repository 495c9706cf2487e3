"""What a stub model is to answer, one step a request."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Say:
    """Answer with text. `input_tokens` counts all input, `cached_tokens` included."""

    text: str = "Done.\n<summary>done</summary>"
    input_tokens: int = 100
    output_tokens: int = 20
    cached_tokens: int = 40


@dataclass(frozen=True)
class Shell:
    """Call the client's shell tool."""

    command: str
    input_tokens: int = 100
    output_tokens: int = 20
    cached_tokens: int = 40


@dataclass(frozen=True)
class Bulk:
    """Answer with so many bytes of text, `last` at the end."""

    size: int
    last: str = "<summary>the end</summary>"


@dataclass(frozen=True)
class Refuse:
    """Answer with an HTTP error in the API's own form."""

    status: int = 429
    message: str = "too many requests"
    retry_after: float | None = None


@dataclass(frozen=True)
class Drop:
    """Close the connection: before any answer, or in the middle of the stream."""

    in_stream: bool = False


@dataclass(frozen=True)
class Hang:
    """Send the headers and then nothing, until the client or the test gives up."""


@dataclass(frozen=True)
class Garbage:
    """Answer 200 with these very bytes, by default no event stream."""

    body: bytes = b"<html>\xff\xfe this is no model </html>"
    content_type: str = "text/event-stream"


Step = Say | Shell | Bulk | Refuse | Drop | Hang | Garbage
