"""What a summary is about, in a line."""

import re

# `P1-T2: wider`, `[P1-T2] wider`, or the plan's line as it stands: "- [x] [P1-T2] wider".
_TASK = re.compile(r"^(?:[`\s]*[-*] \[.\] )?[\s\[(*_`]*P\d+-T\d+(?:[\s,]+P\d+-T\d+)*[\s\])*_:.,-]*")


def title_of(text: str) -> str:
    """The first line of a summary, without the number of the task."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    words = " ".join(first.split())
    return _TASK.sub("", words).strip() or words or "no summary"
