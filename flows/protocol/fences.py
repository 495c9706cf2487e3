"""Fenced code blocks of Markdown, as agents write them."""

import re
from collections.abc import Iterator

# Quantifiers are possessive, so that no text makes them backtrack far.
FENCE = re.compile(r"^[ \t>]*+(`{3,}(?=[^`\n]*+$)|~{3,})([^\n]*+)$", re.MULTILINE)
_EXAMPLE = re.compile(r"\bexample\b", re.IGNORECASE)


def fences(text: str) -> Iterator[tuple[str, int, int | None]]:
    """(info string, start, end) of each fenced code block; end is None where it is not closed."""
    opening: re.Match[str] | None = None
    for match in FENCE.finditer(text):
        if opening is None:
            opening = match
        elif closes(match, opening):
            yield opening[2].strip(), opening.start(), match.end()
            opening = None
    if opening is not None:
        yield opening[2].strip(), opening.start(), None


def closes(fence: re.Match[str], opening: re.Match[str]) -> bool:
    """Whether a fence line ends the block that `opening` began."""
    return fence[1].startswith(opening[1]) and not fence[2].strip()


def is_example(info: str) -> bool:
    """Whether a fence's info string marks its block as a quotation."""
    return _EXAMPLE.search(info) is not None


def example_spans(text: str) -> Iterator[tuple[int, int, str]]:
    """(start, end, fence line) of the quoted examples; one without an end goes to the text's.

    An example begins even inside a block that was never closed.
    """
    opening: re.Match[str] | None = None
    for match in FENCE.finditer(text):
        if opening is None and is_example(match[2]):
            opening = match
        elif opening is not None and closes(match, opening):
            yield opening.start(), match.end(), ""
            opening = None
    if opening is not None:
        yield opening.start(), len(text), opening[0]


def unfenced(content: str) -> str:
    """The content without a code fence around all of it, and without common indentation."""
    content = _flush(content)
    lines = list(FENCE.finditer(content))
    if len(lines) < 2 or lines[0].start() != 0 or lines[-1].end() != len(content.rstrip()):
        return content
    if not closes(lines[-1], lines[0]) or is_example(lines[0][2]):
        return content
    depth = 0
    for line in lines[1:-1]:
        # Blocks nest by their info strings, which is how agents write them.
        depth += 1 if line[2].strip() else -1
        if depth < 0:
            return content
    return _flush(content[lines[0].end() + 1 : lines[-1].start()]) if depth == 0 else content


def _flush(content: str) -> str:
    """Without blank lines around it and common indentation: YAML minds both."""
    lines = content.rstrip().split("\n")
    first = next((number for number, line in enumerate(lines) if line.strip()), 0)
    margin = min((_indent(line) for line in lines[first:] if line.strip()), default=0)
    return "\n".join(line[margin:] for line in lines[first:])


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))
