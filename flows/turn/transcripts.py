"""What is kept of an agent's calls: prompt and reply, and the stream of events."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from wildloop.blocks.agents.attempts import attempts
from wildloop.blocks.agents.base import AgentReply
from wildloop.blocks.agents.jsonl import CHUNK_BYTES
from wildloop.blocks.agents.masking import mask_file
from wildloop.flows.files.paths import SessionPaths
from wildloop.flows.models.session_record import IterationRecord

PROMPT = "## Prompt\n\n"
EVENTS_SUFFIX = ".jsonl"
EVENTS_BYTES = 50 * 1024 * 1024
# Events can be large, and the repository is the user's: they stay on disk, out of git (see
# flows.git_rules, too).
NOT_COMMITTED = ".wild/sessions/*/transcripts/*.jsonl"


def prompt_of(record: IterationRecord) -> str | None:
    """The prompt of a call as it was sent; None where it was not kept. Blocks."""
    if record.transcript is None or not record.prompt_characters:
        return None
    try:
        with Path(record.transcript).open(encoding="utf-8", errors="replace", newline="") as file:
            text = file.read()
    except OSError:
        return None
    begin = text.find(PROMPT) + len(PROMPT)
    return text[begin : begin + record.prompt_characters]


def write_transcript(
    paths: SessionPaths, record: IterationRecord, prompt: str, reply: AgentReply
) -> Path:
    """Keep prompt and reply of a call."""
    paths.transcripts.mkdir(parents=True, exist_ok=True)
    path = paths.transcripts / f"{record.label}.md"
    text = f"# {record.label}\n\n{PROMPT}{prompt}\n\n## Reply\n\n{reply.text}\n"
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8", errors="replace", newline="")
    temporary.replace(path)
    return path


def keep_events(
    paths: SessionPaths,
    label: str,
    calls: Sequence[Path],
    reply: AgentReply,
    tokens: Sequence[str],
) -> Path | None:
    """Keep the events of a call, of all its attempts in order, without the tokens. Blocks.

    None where the agent prints no events.

    Args:
        paths: of the session.
        label: of the call.
        calls: the records of its attempts, oldest first.
        reply: the reply of the last one.
        tokens: Wildloop's, to be masked.
    """
    source = reply.transcript_path
    if source is None or source.suffix != EVENTS_SUFFIX:
        return None
    folders = [folder for call in calls if call.is_dir() for folder in attempts(call)]
    paths.transcripts.mkdir(parents=True, exist_ok=True)
    path = paths.transcripts / f"{label}{EVENTS_SUFFIX}"
    temporary = path.with_suffix(".events.tmp")
    join_events((folder / source.name for folder in folders), temporary)
    if tokens:
        mask_file(temporary, list(tokens))
    temporary.replace(path)
    return path


def join_events(sources: Iterable[Path], target: Path, most_bytes: int = EVENTS_BYTES) -> None:
    """Write files of JSON Lines one after the other, in whole lines and at most `most_bytes`.

    A line that does not fit is left out, and a last line tells how much was.
    """
    left_out = 0
    with target.open("w+b") as joined:
        for source in sources:
            for line in _lines(source):
                start, fits = joined.tell(), True
                for piece in line:
                    fits = fits and joined.tell() + len(piece) < most_bytes
                    if fits:
                        joined.write(piece)
                    else:
                        left_out += len(piece)
                if fits:
                    joined.write(b"\n")
                else:
                    left_out += joined.tell() - start
                    joined.seek(start)
                    joined.truncate()
        if left_out:
            note = {"type": "wildloop", "note": f"{left_out} bytes of events were left out"}
            joined.write(json.dumps(note).encode() + b"\n")


def _lines(source: Path) -> Iterator[Iterator[bytes]]:
    """The lines of a file that are not empty, each in pieces: one may be larger than memory."""
    if not source.is_file():
        return
    with source.open("rb") as file:
        while first := file.readline(CHUNK_BYTES):
            if first != b"\n":
                yield _pieces(first, file)


def _pieces(first: bytes, file: BinaryIO) -> Iterator[bytes]:
    piece = first
    while piece:
        yield piece.removesuffix(b"\n")
        piece = b"" if piece.endswith(b"\n") else file.readline(CHUNK_BYTES)
