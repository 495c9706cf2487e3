"""A line cut into words, numbers, quoted names, paths and signs.

Lines that differ only in their numbers have one shape: each number becomes `NUMBER`, so that the
form of a million lines is told once.
"""

import re
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

NUMBER = "\x00"
_FIRST = r"[-+.\dnNiI]"
_REST = r"(?:\d{0,2}(?:,\d{3})+(?![\d,])|\d*)(?:\.\d*)?(?:[eE][-+]?\d+)?"
_NO_NUMBER = r"(?:[nN]a[nN]|NAN|[iI]nf(?:inity)?|INF)(?!\w)"
# One set of characters stands first, so that the search leaps from one to the next.
_NUMBERS = re.compile(
    rf"({_FIRST}(?<![\w.@]{_FIRST})(?<!\w-{_FIRST})"
    rf"(?:(?<=\d){_REST}|(?<=\.)\d+(?:[eE][-+]?\d+)?"
    rf"|(?<=[-+])(?:\d{_REST}|\.\d+(?:[eE][-+]?\d+)?|{_NO_NUMBER})"
    r"|(?<=[nN])[aA][nN](?!\w)|(?<=[iI])(?:nf(?:inity)?|NF)(?!\w)))",
    re.ASCII,
)
_MAY_TELL = re.compile(
    rf"[:=>→|│┃\t][\s\"'\[(*`]*{NUMBER}|[:=]\s*[\"'A-Za-z(]"
    r"|loss|acc|score|error|reward|epoch|step|iter|f1|auc|ppl|perplexity|bleu|rouge|mse|mae|psnr"
    r"|precision|recall|map|iou|dice|top|bp[bcd]|r2|[cw]er\b|nll|fid|kl|return|batch|\bit\b|ep\b",
    re.IGNORECASE,
)
_EXTENSIONS = (
    "ckpt|pth?|py|json|jsonl|ya?ml|txt|csv|tsv|log|np[zy]|h5|hdf5|keras|safetensors|bin|png|jpe?g|svg"
    "|tar|t?gz|zip|pkl|pickle|parquet|toml|sh|md|onnx|model|whl|so|out|err|ipynb|pdf|mp4|wav"
)
_TOKENS = re.compile(
    r"(?P<path>(?:[A-Za-z][A-Za-z0-9+.-]*://|~/|\.{0,2}/(?=[\w.]))[^\s,;'\"|()]*"
    rf"|[^\s'\"|,;()\[\]{{}}]*\.(?:{_EXTENSIONS})(?![\w/=]))"
    rf"|(?P<number>{NUMBER})"
    r"|(?P<quoted>\"[^\"\x00]{1,120}\"|'[^'\x00]{1,120}')"
    r"|(?P<word>[^\W\d]\w*(?:(?:[./@-]|'s\b)\w+(?:\.\d+)?|'s\b|\([A-Z]\w{0,3}\))*%?)"
    r"|(?P<junk>\d[\w.:-]*)"
    r"|(?P<sep>:(?![:=])|=(?![=>])|:=|→|->|=>)"
    r"|(?P<sign>\+/-|\+-|±|\S)"
)


class Kind(Enum):
    """What a token is."""

    PATH = "path"
    NUMBER = "number"
    QUOTED = "quoted"
    WORD = "word"
    JUNK = "junk"
    SEP = "sep"
    SIGN = "sign"


class Token(NamedTuple):
    """A part of a line. `place` is the number's among the line's numbers; `gap` blanks precede."""

    kind: Kind
    text: str
    place: int
    gap: int


def shape_of(line: str) -> tuple[str, list[str]]:
    """The line with its numbers out, and the numbers."""
    parts = _NUMBERS.split(line)
    return (NUMBER.join(parts[::2]), parts[1::2]) if len(parts) > 1 else (line, [])


def may_tell(shape: str) -> bool:
    """Whether a shape can say anything; most prose cannot, and is told so at little cost."""
    return _MAY_TELL.search(shape) is not None


def value_of(text: str) -> float:
    """A number as a line has it, thousands and all."""
    return float(text.replace(",", "") if "," in text else text)


def is_whole(text: str) -> bool:
    """Whether it is written as a whole number."""
    return text.lstrip("+-").replace(",", "").isdigit()


def tokens_of(shape: str) -> Iterator[Token]:
    """The parts of a shape, in order."""
    index = end = 0
    for match in _TOKENS.finditer(shape):
        text = match.group()
        kind = Kind(match.lastgroup)
        if kind is Kind.QUOTED:
            text = text[1:-1].strip()
        yield Token(kind, text, index, match.start() - end)
        index += match.group().count(NUMBER)
        end = match.end()
