"""The reply: tags around texts."""

import re

_NAMES = "summary|plan|promise|experiments|evo_sweep|reflection|continue|memories"
# A goal or an error message may speak of tags: it must not open or close one.
_TAG = re.compile(rf"<(?=[ \t]*/?[ \t]*(?:{_NAMES}))", re.IGNORECASE)


def tags(contents: dict[str, str | None]) -> str:
    """One tag for each content that is not None, in this order."""
    parts = []
    for name, content in contents.items():
        if content is None:
            continue
        text = _TAG.sub("&lt;", content.strip())
        parts.append(f"<{name}>\n{text}\n</{name}>" if "\n" in text else f"<{name}>{text}</{name}>")
    return "\n".join(parts) + "\n"
