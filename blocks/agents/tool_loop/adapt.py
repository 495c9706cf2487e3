"""What to leave out of a request after a server has refused it."""

import re
from dataclasses import dataclass, replace
from typing import Literal

_CONTEXT = re.compile(
    r"context[ _](?:length|window|size)|maximum context|max_model_len|n_ctx|too many tokens"
    r"|(?:prompt|input|request)[\w ]{0,20} (?:is )?too (?:long|large)|exceeds? .{0,40}context",
    re.IGNORECASE,
)
_OUTPUT_LIMIT = re.compile(r"max_(?:completion_)?tokens", re.IGNORECASE)
_SYSTEM = re.compile(r"system (?:role|message|prompt)|roles must alternate", re.IGNORECASE)
_TOOLS = re.compile(r"\btools?\b|tool_|tool-|function.?call|--jinja", re.IGNORECASE)
REFUSALS = frozenset({400, 404, 413, 422, 500, 501})

OutputLimit = Literal["max_tokens", "max_completion_tokens"]


@dataclass(frozen=True)
class Features:
    """Which parts of the API a server is asked for."""

    tools: bool = True
    tool_choice: bool = True
    usage: bool = True
    temperature: bool = True
    system_role: bool = True
    output_limit: OutputLimit | None = "max_tokens"


def is_overflow(status: int | None, message: str) -> bool:
    """Whether a refusal says that the conversation is too long for the model."""
    return status in REFUSALS and _CONTEXT.search(message) is not None


def adapt(features: Features, status: int | None, message: str) -> Features | None:
    """The features to ask for next, after a refusal; None if it is about none of them.

    The message decides, since servers have no common code for what they do not know.
    """
    if status is None or status not in REFUSALS:
        return None
    if features.output_limit is not None and _OUTPUT_LIMIT.search(message):
        asks_new = "max_completion_tokens" in message and features.output_limit == "max_tokens"
        overflow = is_overflow(status, message)
        if asks_new and not overflow:
            return replace(features, output_limit="max_completion_tokens")
        return replace(features, output_limit=None)
    if is_overflow(status, message):
        return None
    if features.usage and re.search(r"stream_options|include_usage", message):
        return replace(features, usage=False)
    if features.temperature and re.search(r"temperature", message, re.IGNORECASE):
        return replace(features, temperature=False)
    if re.search(r"tool_choice.{0,20}none", message):
        return replace(features, tool_choice=False) if features.tool_choice else None
    if features.system_role and _SYSTEM.search(message):
        return replace(features, system_role=False)
    is_known_fault = status < 500 or re.search(r"support|require", message, re.IGNORECASE)
    if features.tools and is_known_fault and _TOOLS.search(message):
        return replace(features, tools=False)
    return None
