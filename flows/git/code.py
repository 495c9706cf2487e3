"""The contents of the files that a run executes, told apart from what cannot matter to it."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from pathspec import GitIgnoreSpec

from wildloop.flows.git.place import prefix_of, top_of
from wildloop.flows.git.process import git_names

DIGEST_LENGTH = 16
# Plans, logs and notes, and what runs write, do not change what a run does.
_NOT_CODE = (
    ".wild/",
    "exp/",
    "*.md",
    "*.markdown",
    "*.rst",
    "LICENSE*",
    ".gitignore",
    ".gitattributes",
    ".github/",
    ".vscode/",
    ".idea/",
    "__pycache__/",
    ".ipynb_checkpoints/",
    "outputs/",
    "output/",
    "out/",
    "results/",
    "logs/",
    "figures/",
    "plots/",
    "multirun/",
    "lightning_logs/",
    "tb_logs/",
    "wandb/",
    "mlruns/",
    "checkpoints/",
    "*.log",
    "*.out",
    "*.err",
    "*.pyc",
    "*.pt",
    "*.pth",
    "*.ckpt",
    "*.safetensors",
    "events.out.tfevents.*",
)
_PICTURES = frozenset({".png", ".jpg", ".jpeg", ".gif", ".svg", ".pdf"})
_DATA_FOLDERS = frozenset({"data", "dataset", "datasets", "images"})
# `results.csv`, `metrics-3.json`, `test_scores.npy`
_RESULT = re.compile(
    r"(?:.*[_-])?(?:results?|metrics?|scores?|history|predictions?|summary)(?:[_.-].*)?"
    r"\.(?:csv|tsv|json|jsonl|txt|npy|npz)",
    re.IGNORECASE,
)
_ENTRY = re.compile(r"\d+ (?P<kind>\w+) (?P<blob>[0-9a-f]+)\t(?P<path>.*)", re.DOTALL)
_BUILT_IN = GitIgnoreSpec.from_lines(_NOT_CODE)


async def code_of_tree(
    path: Path, tree: str, command: str = "", not_code: Sequence[str] = ()
) -> dict[str, str]:
    """The files of a commit or tree that can matter to a run: path in the repository to blob.

    Args:
        path: a folder of the repository.
        tree: the commit or tree.
        command: of the run; a file that it names counts wherever it lies.
        not_code: `[project] not_code`: patterns relative to `path`.

    Raises:
        GitError: the tree is not there.
    """
    found, prefix = await files_of_tree(path, tree)
    return counted(found, prefix, command, not_code)


async def files_of_tree(path: Path, tree: str) -> tuple[dict[str, str], str]:
    """All files of a commit or tree, path in the repository to blob, and the prefix of `path`.

    Raises:
        GitError: the tree is not there.
    """
    root = await top_of(path)
    found = {}
    for line in await git_names(root, "ls-tree", "-r", "-z", "--full-tree", tree):
        entry = _ENTRY.fullmatch(line)
        if entry is not None:
            found[entry["path"]] = entry["blob"]
    return found, await prefix_of(path)


def counted(
    files: Mapping[str, str], prefix: str = "", command: str = "", not_code: Sequence[str] = ()
) -> dict[str, str]:
    """Of these files, those that can matter; arguments as of `code_of_tree`."""
    own = GitIgnoreSpec.from_lines(not_code)
    named = {word for word in re.split(r"[\s'\"=]+", command) if "/" in word or "." in word}

    def counts(name: str) -> bool:
        inside = name.removeprefix(prefix)
        if own.match_file(inside):
            return False
        return inside in named or not _is_output(name)

    return {name: blob for name, blob in files.items() if counts(name)}


def _is_output(name: str) -> bool:
    path = PurePosixPath(name)
    if _BUILT_IN.match_file(name) or _RESULT.fullmatch(path.name):
        return True
    is_picture = path.suffix.lower() in _PICTURES
    return is_picture and not _DATA_FOLDERS.intersection(path.parts[:-1])


def code_digest(files: Mapping[str, str]) -> str:
    """A digest that is equal for equal contents of equal files."""
    text = "\0".join(f"{name}\0{blob}" for name, blob in sorted(files.items()))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:DIGEST_LENGTH]


def changed_files(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Files that were there before, and are other or gone after."""
    return [name for name, blob in before.items() if after.get(name) != blob]


async def differing_files(
    path: Path, one: str, other: str, command: str = "", not_code: Sequence[str] = ()
) -> list[str]:
    """The files that can matter in which two trees differ, in order."""
    first = await code_of_tree(path, one, command, not_code)
    second = await code_of_tree(path, other, command, not_code)
    return sorted(name for name in first | second if first.get(name) != second.get(name))
