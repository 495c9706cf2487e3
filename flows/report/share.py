"""A report to send away: one file, without links into this machine, its paths or secrets."""

import base64
import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from wildloop.flows.report.page import page
from wildloop.flows.text.redaction import PLACE, redact

PROJECT = "PROJECT"
"""What stands for the project's folder."""
PICTURES = re.compile(r"(!\[[^\]]*\])\(<((?:plots|evo)/[\w./-]+\.png)>\)")
# Links into this report are kept; all others lead to servers of this machine.
_LINK = re.compile(r"(?<!!)\[((?:\\.|[^\]\\])*)\]\(<(?!#)[^>]*>\)")
_LOCAL_URL = re.compile(r"https?://(?:127\.0\.0\.1|localhost|\[::1\]|0\.0\.0\.0)[^\s)>`'\"]*")
_PATH = re.compile(r"(?<![\w.:/~$}-])(?:/[\w.+@%~-]+){2,}/?")
# The commands of one machine's environment are none of another's.
_OWN_PYTHON = re.compile(r"^# the run's own Python\nexport PATH=.*\n", re.MULTILINE)
# What commands of others name as secret, and what looks like a token of a well-known service.
_NAMED = re.compile(
    r"((?:--?|\b)[\w-]*(?:api[_-]?key|token|secret|password)(?:=|(?<=-key) |(?<=token) ))"
    r"(?!\[redacted)[^\s`,;)|]{6,}",
    re.IGNORECASE,
)
_TOKEN = re.compile(
    r"\b(?:sk-[\w-]{16,}|gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|hf_\w{20,}|"
    r"AKIA[0-9A-Z]{16}|xox[abps]-[\w-]{10,})"
)
_BESIDE = re.compile(r"[^.\n]*`runs\.csv` beside this report[^.\n]*\.\n*")
_HOST = re.compile(r"^It ran on `[^`]*` \(", re.MULTILINE)


class SharedForm(StrEnum):
    """The forms of a report that can be sent away."""

    HTML = "html"
    MD = "md"
    PDF = "pdf"


def shared(markdown: str, workdir: str) -> str:
    """The text of a report as it may leave this machine.

    Args:
        markdown: the report.
        workdir: the project's folder; `PROJECT` stands for it.
    """
    text = _LINK.sub(r"\1", redact(markdown))
    text = _TOKEN.sub(PLACE, _NAMED.sub(rf"\1{PLACE}", text))
    text = _LOCAL_URL.sub("(a page of the machine it ran on)", text)
    text = _HOST.sub("It ran on one machine (", _OWN_PYTHON.sub("", text))
    text = _BESIDE.sub("", text)
    for folder in sorted({workdir.rstrip("/"), str(Path(workdir).resolve())}, key=len)[::-1]:
        if len(folder) > 1:
            text = re.sub(rf"{re.escape(folder)}(?![\w.-])", PROJECT, text)
    return _PATH.sub(_last_part, text)


def _last_part(found: re.Match[str]) -> str:
    """A path of this machine by its last part."""
    return "…/" + found[0].rstrip("/").rpartition("/")[2]


def share(markdown: str, folder: Path, form: SharedForm, workdir: str, title: str) -> bytes:
    """A report as one file that needs no other. Takes seconds: call it in a thread.

    Args:
        markdown: the report.
        folder: where its pictures lie.
        form: of the file.
        workdir: the project's folder.
        title: of the document.
    """
    text = shared(markdown, workdir)
    pictures = pictures_of(text, folder)
    if form is SharedForm.HTML:
        return page(text, redact(title), pictures).encode()
    if form is SharedForm.MD:
        return PICTURES.sub(lambda found: _embedded(found, pictures), text).encode()
    # Only who asks for a PDF pays for loading what makes it.
    from wildloop.flows.report.pdf import pdf

    return pdf(text, redact(title), pictures)


def pictures_of(markdown: str, folder: Path) -> dict[str, Path]:
    """The pictures that a report names and that lie in its folder, links out of it apart."""
    root = folder.resolve()
    found = {}
    for _, name in PICTURES.findall(markdown):
        path = (folder / name).resolve()
        if path.is_relative_to(root) and path.is_file():
            found[name] = path
    return found


def _embedded(found: re.Match[str], pictures: Mapping[str, Path]) -> str:
    path = pictures.get(found[2])
    if path is None:
        return found[1].removeprefix("!")
    data = base64.b64encode(path.read_bytes()).decode()
    return f"{found[1]}(data:image/png;base64,{data})"
