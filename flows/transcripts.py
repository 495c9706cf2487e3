"""What is kept of an agent's calls: prompt and reply, and the stream of events."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from blocks.agents.attempts import attempts
from blocks.agents.base import AgentReply
from blocks.agents.jsonl import CHUNK_BYTES
from blocks.agents.masking import mask_file
from flows.models.session_record import IterationRecord
from flows.session import ResearchSession

EVENTS_SUFFIX = ".jsonl"
EVENTS_BYTES = 50 * 1024 * 1024
# Events can be large, and the repository is the user's: they stay on disk, out of git (see
# flows.git_rules, too).
NOT_COMMITTED = ".wild/sessions/*/transcripts/*.jsonl"


def write_transcript(
    session: ResearchSession, record: IterationRecord, prompt: str, reply: AgentReply
) -> Path:
    """Keep prompt and reply of a call."""
    session.paths.transcripts.mkdir(parents=True, exist_ok=True)
    path = session.paths.transcripts / f"{record.label}.md"
    text = f"# {record.label}\n\n## Prompt\n\n{prompt}\n\n## Reply\n\n{reply.text}\n"
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8", errors="replace")
    temporary.replace(path)
    return path


def keep_events(
    session: ResearchSession, label: str, calls: Sequence[Path], reply: AgentReply
) -> Path | None:
    """Keep the events of a call, of all its attempts in order, without the token. Blocks.

    None where the agent prints no events.

    Args:
        session: the session.
        label: of the call.
        calls: the records of its attempts, oldest first.
        reply: the reply of the last one.
    """
    source = reply.transcript_path
    if source is None or source.suffix != EVENTS_SUFFIX:
        return None
    folders = [folder for call in calls if call.is_dir() for folder in attempts(call)]
    session.paths.transcripts.mkdir(parents=True, exist_ok=True)
    path = session.paths.transcripts / f"{label}{EVENTS_SUFFIX}"
    temporary = path.with_suffix(".events.tmp")
    join_events((folder / source.name for folder in folders), temporary)
    if session.settings.token is not None:
        mask_file(temporary, [session.settings.token.get_secret_value()])
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
