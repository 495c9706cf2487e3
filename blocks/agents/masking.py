"""Takes secrets out of stored files."""

import os
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from uuid import uuid4

from wildloop.blocks.agents.jsonl import read_chunks

# Shorter values are no secrets, or stand in harmless text by chance.
SHORTEST = 8
# A prefix may also cover a secret, as SLURM_JWT or CONDA_TOKEN.
_SECRET = re.compile(
    r"TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|JWT|_KEY$|APIKEY|AUTH|COOKIE"
    r"|(?:^|_)(?:PW|PASS|PAT|DSN)$|CONNECTION_STRING",
    re.IGNORECASE,
)


def is_secret(name: str) -> bool:
    """Whether a variable of this name is likely to hold a secret."""
    return _SECRET.search(name) is not None


def secret_values(variables: Mapping[str, str]) -> list[str]:
    """The values of those variables whose names tell of a secret, longest first."""
    values = {value for name, value in variables.items() if is_secret(name)}
    return sorted((value for value in values if len(value) >= SHORTEST), key=len, reverse=True)


def mask(text: str, secrets: Iterable[str]) -> str:
    """The text with asterisks in place of the secrets."""
    for secret in secrets:
        text = text.replace(secret, "*" * len(secret))
    return text


def mask_file(path: Path, secrets: Iterable[str]) -> bool:
    """Overwrite the secrets in a file with as many asterisks; whether there were any.

    In place and in bounded memory: whoever reads the file meanwhile keeps his place, and a crash
    in between loses nothing. When the file was written last stays to be seen. A file that has
    another name as well is replaced by a copy, so that what that name stands for stays as it is.
    """
    is_masked = False
    for secret in secrets:
        word = secret.encode()
        found = list(_places(path, word))
        if found:
            is_masked, written = True, path.stat()
            if written.st_nlink > 1:
                copy = path.with_name(f".{uuid4().hex}")
                shutil.copy2(path, copy)
                copy.replace(path)
            with path.open("r+b") as file:
                for place in found:
                    file.seek(place)
                    file.write(b"*" * len(word))
            os.utime(path, ns=(written.st_atime_ns, written.st_mtime_ns))
    return is_masked


def _places(path: Path, word: bytes) -> Iterable[int]:
    """The offsets at which `word` stands in a file."""
    held, base = b"", 0
    for chunk in read_chunks(path):
        held += chunk
        at = 0
        while (at := held.find(word, at)) >= 0:
            yield base + at
            at += len(word)
        # The word may have begun in the last bytes; whole ones there have been found already.
        keep = min(len(held), len(word) - 1)
        base += len(held) - keep
        held = held[len(held) - keep :]
