"""Texts in one line, cut between words."""

MARK = " ..."


def shortened(text: str, length: int) -> str:
    """The text in one line of at most `length` characters, and what is cut off marked."""
    said = " ".join(text.split())
    if len(said) <= length:
        return said
    head = said[: max(0, length - len(MARK)) + 1]
    return (head.rsplit(" ", 1)[0] if " " in head else head[:-1]).rstrip(" ,;:|") + MARK
