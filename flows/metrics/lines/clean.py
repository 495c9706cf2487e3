"""A line as it was meant: without colours, logging prefixes, progress bars and tensors."""

import re

_ANSI = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][A-Z0-9])")
_LEVEL = r"(?:DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|CRITICAL|SUCCESS|TRACE)"
_DATE = (
    r"(?:\d{4}[-/]\d\d[-/]\d\d|\d\d?[-/]\d\d?[-/]\d\d(?:\d\d)?"
    r"|(?:Mon |Tue |Wed |Thu |Fri |Sat |Sun )?[A-Z][a-z]{2} +\d\d?)"
)
_CLOCK = r"\d\d?:\d\d:\d\d(?:[.,]\d+)?(?: ?[AP]M)?(?:Z|[+-]\d\d:?\d\d)?"
_WHEN = rf"(?:{_DATE}(?:[T ,_]+{_CLOCK})?|{_CLOCK})"
_WHO = r"[A-Za-z_][\w.]*"
_PREFIX = re.compile(
    "|".join(
        [
            rf"\[{_WHEN}\]",
            rf"\[(?:{_WHEN}|\d\d/\d\d {_CLOCK}) {_WHO}\]:?",
            rf"\[{_WHO}\] {_WHEN} \({_WHO}:\d+\)",
            r"copypaste:",
            rf"{_WHEN}(?=[\s|,\]\)-]|$)",
            rf"\[{_LEVEL}[^\]]*\]",
            rf"{_LEVEL}:{_WHO}:",
            rf"{_LEVEL}\b[ \t]*(?:[|:]|-(?=\s)|(?=[\s\[]))",
            rf"\[{_WHO}\]\[{_LEVEL}\]",
            rf"\[{_WHO}\](?=\[)",
            r"[IWEF]\d{4} \d\d:\d\d:\d\d\.\d+\s+\d+ [\w./-]+:\d+\]",
            r"\[?(?:default\d+|rank ?\d+)\]?:?(?=[\s\[])",
            r"\[\d+,\d+\]<std(?:out|err)>:",
            r"\(\w+ pid=\d+(?:, ip=[\d.]+)?\)",
            r"(?:wandb|mlflow|lightning):",
            rf"{_WHO}(?:\.\w+)*(?::\d+)? *(?:[-|:] *)?{_LEVEL}\b *[-|:]?(?=\s)",
            rf"{_WHO}:(?:{_WHO}|<module>):\d+(?= *[-|])",
            r"[\w/.-]+\.py:\d+(?::\w+)?\]?(?= *[-|:\s])[:\]]?",
            rf"{_WHO}\.{_WHO} +(?:-|\|)(?=\s)",
            r"[-*>=•·✓✔→:]+(?=\s)",
            r">{1,3}(?=\s)",
        ]
    )
)
_GLUE = re.compile(r"[ \t]*(?:[-|,] )?[ \t]*")
_TENSOR = re.compile(
    r"\b(?:(?:torch\.)?tensor|(?:np|numpy|jnp|torch)\.\w+|Array|DeviceArray|float\d*)"
    r"\(\[?\s*([-+]?[\d.][\w.+-]*|nan|inf)\]?(?:,[^()]*(?:\([^()]*\))?[^()]*)?\)"
)
_ASIDE = re.compile(r"\((?:best|previous|prev|was|old)\b[^()]*\d[^()]*\)", re.I)
_BAR = re.compile(r"\[[=>.#\-\s]{4,}\]|[━╸╺─]{4,}|[█▉▊▋▌▍▎▏░▒▓]+[ █▉▊▋▌▍▎▏░▒▓]*")
_QUOTED = re.compile(r"""(?<=: )(["'])([-+]?(?:\d[\d.]*(?:[eE][-+]?\d+)?|nan|inf))\1""")
_BEFORE_BAR = re.compile(r"(\.\d+): +(?=\d+%\|)")
_PRINTED_BY_R = re.compile(r'\s*\[\d+\] "([^"]*)"\s*')
_VALUE_OF_R = re.compile(r"\s*\[1\]\s+([-+]?\d[\d.]*(?:e[-+]?\d+)?)\s*")
_COUNTED = re.compile(r"(?<![\w.])(\d+)(epoch|iter|step)s?\b")
_REVERSED = re.compile(
    r"\s*([-+]?\d[\d.]*(?:e[-+]?\d+)?)\s+=\s+([A-Z][a-z]+(?: \w+)*)(\s+\(\w+\))?\s*"
)
PREFIXES = 6


def without_colours(line: str) -> str:
    """The line without terminal codes."""
    return _ANSI.sub("", line) if "\x1b" in line else line


def unquoted(line: str) -> str:
    """The line of a dict whose numbers are texts, as newer Hugging Face trainers print them.

    And a text as R prints it, without its count: `[1] "RMSE: 3.2"`.
    """
    if line.endswith('"') and (printed := _PRINTED_BY_R.fullmatch(line)) is not None:
        return printed[1]
    return _QUOTED.sub(r"\2", line) if "': '" in line or '": "' in line else line


def without_prefix(line: str) -> str:
    """The line without the time, level, name, rank and bullet that a logger put before it."""
    start = len(line) - len(line.lstrip())
    for _ in range(PREFIXES):
        match = _PREFIX.match(line, start)
        if match is None or match.end() >= len(line.rstrip()):
            break
        glue = _GLUE.match(line, match.end())
        start = glue.end() if glue is not None else match.end()
    return line[start:]


def printed_value(line: str) -> str | None:
    """The number of `[1] 0.312`, as R prints a value; None for any other line."""
    found = _VALUE_OF_R.fullmatch(line)
    return found[1] if found is not None else None


def turned(line: str) -> str:
    """`3epoch results` as `epoch 3 results`, `0.87 = Validation score (f1)` as name and value."""
    if "epoch" in line or "iter" in line or "step" in line:
        line = _COUNTED.sub(r"\2 \1", line)
    if " = " in line and (found := _REVERSED.fullmatch(line)) is not None:
        return f"{found[2]}{found[3] or ''}: {found[1]}"
    return line


def plain(line: str) -> str:
    """The line without progress bars, and with the numbers of tensors in their places."""
    if "(" in line:
        line = _ASIDE.sub("", _TENSOR.sub(r"\1", line))
    if "%|" in line:
        # What stands before a bar may end in a value: `Epoch 1 loss: 0.5: 33%|`.
        line = _BEFORE_BAR.sub(r"\1 | ", line)
    return _BAR.sub("▕", line)
