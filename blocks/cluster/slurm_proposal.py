"""Slurm options proposed from what this user has submitted before."""

import getpass
import os
import re
import shlex
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict

SACCT_SECONDS = 10.0
SACCT_DAYS = 90
MOST_BYTES = 2_000_000
MOST_FILES = 200
_HISTORIES = (".bash_history", ".zsh_history", ".local/share/fish/fish_history")
_SUBMITTERS = frozenset({"sbatch", "srun", "salloc"})
_SKIPPED = frozenset({".git", ".venv", "venv", "node_modules", ".wild", "__pycache__"})
_OPTIONS = {
    **dict.fromkeys(("-p", "--partition"), "partition"),
    **dict.fromkeys(("-A", "--account"), "account"),
    **dict.fromkeys(("-q", "--qos"), "qos"),
    **dict.fromkeys(("-t", "--time"), "time_limit"),
    **dict.fromkeys(("-c", "--cpus-per-task"), "cpus_per_task"),
    "--mem": "memory",
    "--gres": "gres",
}
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.,:@+-]*")
# zsh: ": 1700000000:0;command"; fish: "- cmd: command".
_HISTORY_MARK = re.compile(r"^(?:: \d+:\d+;|- cmd: )")


class Proposed(BaseModel):
    """A value, how often it was used there, and where it was found."""

    model_config = ConfigDict(frozen=True)

    value: str
    uses: int
    source: str


class SlurmProposal(BaseModel):
    """Options to start a Slurm compute block from; None where nothing was found."""

    model_config = ConfigDict(frozen=True)

    partition: Proposed | None = None
    account: Proposed | None = None
    qos: Proposed | None = None
    gres: Proposed | None = None
    time_limit: Proposed | None = None
    cpus_per_task: Proposed | None = None
    memory: Proposed | None = None


Use = tuple[str, str]


def propose(project: Path, home: Path) -> SlurmProposal:
    """The options most used: in the project's batch files, else by sacct, else in shell history.

    The project's own files come first, since they were written for it. Reads files and asks sacct
    for at most SACCT_SECONDS; what cannot be read is left out.
    """
    sources: list[tuple[str, list[Use]]] = [
        ("batch files of the project", [use for text in _batch_files(project) for use in text]),
        ("sacct", parse_sacct_options(_sacct())),
        ("shell history", [use for path in _HISTORIES for use in _history(home / path)]),
    ]
    found: dict[str, Proposed] = {}
    for name in SlurmProposal.model_fields:
        for source, uses in sources:
            counted = Counter(value for option, value in uses if option == name)
            if counted:
                value, count = counted.most_common(1)[0]
                found[name] = Proposed(value=value, uses=count, source=source)
                break
    return SlurmProposal(**found)


def parse_batch_file(text: str) -> list[Use]:
    """Options of the `#SBATCH` lines before the first command."""
    uses: list[Use] = []
    for line in text.splitlines():
        if line.startswith("#SBATCH"):
            uses += parse_options(_words(line.removeprefix("#SBATCH")))
        elif line.strip() and not line.lstrip().startswith("#"):
            break
    return uses


def parse_history(text: str) -> list[Use]:
    """Options of sbatch, srun and salloc commands in a shell's history (bash, zsh, fish)."""
    uses: list[Use] = []
    for line in text.splitlines():
        words = _words(_HISTORY_MARK.sub("", line))
        for position, word in enumerate(words):
            if Path(word).name in _SUBMITTERS:
                uses += parse_options(words[position + 1 :])
                break
    return uses


def parse_options(words: Iterable[str]) -> list[Use]:
    """Known options with their values, up to the first word that is no option: the script."""
    uses: list[Use] = []
    pending: str | None = None
    for word in words:
        if word.startswith("-"):
            long = word.startswith("--")
            name, value = word.split("=", 1) if "=" in word and long else (word, "")
            if not long:
                name, value = word[:2], word[2:]
            option = _OPTIONS.get(name, "")
            pending = None if value else option
            uses += _use(option, value) if value and option else []
        elif pending is None or word.startswith("#"):
            break
        else:
            # The value of the option before, known or not.
            uses += _use(pending, word) if pending else []
            pending = None
    return uses


def parse_sacct_options(text: str) -> list[Use]:
    """Options from `sacct --parsable2 --format=Partition,Account,QOS,Timelimit,ReqTRES`."""
    uses: list[Use] = []
    for line in text.splitlines():
        fields = line.split("|")
        if len(fields) != 5:
            continue
        partition, account, qos, limit, tres = fields
        uses += _use("partition", partition) + _use("account", account) + _use("qos", qos)
        if limit not in ("Partition_Limit", "UNLIMITED"):
            uses += _use("time_limit", limit)
        typed = re.search(r"(?:^|,)gres/gpu:([A-Za-z0-9_.-]+)=(\d+)", tres)
        plain = re.search(r"(?:^|,)gres/gpu=(\d+)", tres)
        if typed is not None:
            uses.append(("gres", f"gpu:{typed.group(1)}:{typed.group(2)}"))
        elif plain is not None:
            uses.append(("gres", f"gpu:{plain.group(1)}"))
    return uses


def _use(option: str, value: str) -> list[Use]:
    """One use, unless the value is a variable or damaged."""
    return [(option, value)] if _PLAIN.fullmatch(value) else []


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()


def _batch_files(project: Path) -> Iterator[list[Use]]:
    seen = 0
    for folder, folders, names in os.walk(project):
        folders[:] = sorted(name for name in folders if name not in _SKIPPED)
        for name in sorted(names):
            if name.endswith((".sbatch", ".slurm", ".sh")) and seen < MOST_FILES:
                seen += 1
                yield parse_batch_file(_text(Path(folder, name)))


def _history(path: Path) -> list[Use]:
    return parse_history(_text(path))


def _text(path: Path) -> str:
    """A file's last MOST_BYTES; empty where it cannot be read."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - MOST_BYTES))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def _sacct() -> str:
    """What sacct prints of this user's jobs; empty where there are no accounts to ask."""
    if shutil.which("sacct") is None:
        return ""
    command = ["sacct", "--noheader", "--parsable2", "--allocations"]
    command += [f"--user={getpass.getuser()}", f"--starttime=now-{SACCT_DAYS}days"]
    command.append("--format=Partition,Account,QOS,Timelimit,ReqTRES")
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=SACCT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""
