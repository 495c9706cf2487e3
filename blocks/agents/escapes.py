"""Terminal escape sequences: colours, cursor moves, titles."""

import re

# Possessive, so that no text makes it backtrack far.
_ESCAPE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*+[ -/]*+[@-~]"
    r"|\x1b\][^\x07\x1b]*+(?:\x07|\x1b\\)"
    r"|\x1b[ -/]*+[0-OQ-WYZ\\^-~]"
)


def without_escapes(text: str) -> str:
    """The text as a terminal shows it, without colours."""
    return _ESCAPE.sub("", text) if "\x1b" in text or "\x9b" in text else text
