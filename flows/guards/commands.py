"""Which shell commands start an experiment, past the API."""

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import PurePosixPath

# Names by which training scripts go; others are known by the project's runs.
_TRAINING = re.compile(
    r"^(?:(?:pre|re)?train(?:ing|er)?(?:_(?:model|net|loop|all))?|fine_?tune)\.(?:py|sh|sbatch|jl|R)$"
)
_SCRIPT = re.compile(r"\.(?:py|sh|bash|sbatch|slurm|jl|R)$")
_PYTHON = re.compile(r"^(?:i?python|pypy)[\d.]*$|^pythonw$")
_SHELLS = frozenset({"bash", "sh", "zsh", "dash", "ksh"})
_INTERPRETERS = frozenset({"julia", "Rscript", "perl", "node"})
# Modules that look at a script without carrying it out.
_HARMLESS_MODULES = frozenset(
    {"py_compile", "compileall", "pytest", "unittest", "doctest", "pip", "venv", "ast", "dis",
     "tokenize", "pyflakes", "flake8", "pylint", "mypy", "ruff", "black", "isort", "json.tool",
     "http.server", "pdb", "trace", "inspect", "pydoc"}
)  # fmt: skip
_RUNNER_MODULES = frozenset(
    {"torch.distributed.run", "torch.distributed.launch", "accelerate.commands.launch",
     "deepspeed.launcher.runner", "coverage", "cProfile", "runpy"}
)  # fmt: skip
# They take a whole command as one word.
_CARRIERS = frozenset({"tmux", "screen", "watch", "parallel"})
_LAUNCHERS = frozenset({"torchrun", "deepspeed", "horovodrun", "mpirun", "mpiexec", "srun"})
# Options that take a value of their own, per wrapper: how many words to pass over is told by it.
_WRAPPERS = {
    "env": {"-u", "--unset", "-C", "--chdir"}, "nohup": set(), "time": {"-f", "-o"},
    "nice": {"-n"}, "ionice": {"-c", "-n"}, "stdbuf": {"-i", "-o", "-e"}, "setsid": set(),
    "sudo": {"-u", "-g"}, "timeout": {"-s", "-k", "--signal", "--kill-after"}, "exec": {"-a"},
    "command": set(), "builtin": set(), "taskset": set(), "numactl": set(), "xvfb-run": set(),
    "unbuffer": set(), "chrt": set(), "caffeinate": set(), "strace": {"-o", "-e"},
}  # fmt: skip
_TAKES_A_WORD = frozenset({"timeout", "taskset"})
_RUN_WRAPPERS = {
    "uv": {"--with", "--python", "-p", "--extra", "--group", "--project", "--directory"},
    "poetry": set(), "pipenv": set(), "pdm": set(), "hatch": set(), "rye": set(), "pixi": {"-e"},
    "conda": {"-n", "--name", "-p", "--prefix", "--cwd"},
    "mamba": {"-n", "--name", "-p", "--prefix"}, "micromamba": {"-n", "--name", "-p", "--prefix"},
    "accelerate": {"--config_file", "--num_processes", "--mixed_precision", "--num_machines"},
}  # fmt: skip
_KEYWORDS = frozenset({"do", "then", "else", "if", "elif", "while", "until", "{", "!", "time", "&"})
_ONLY_LOOKING = frozenset({"-h", "--help", "--version", "--dry-run", "--dry_run", "-n0"})
_ASSIGNMENT = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*\+?=")
_HEREDOC = re.compile(r"<<-?\s*(?:'([^']+)'|\"([^\"]+)\"|\\?([A-Za-z_][A-Za-z0-9_]*))")
_OPERATORS = ";&|()\n"
_DEPTH = 4


def started_directly(command: str, scripts: Iterable[str]) -> list[str]:
    """The training scripts that a shell command starts itself.

    A script counts if one of `scripts` (those of the project's runs) or its name says that it
    trains. To read, edit, compile, import or test one is no breach, and neither is to ask it for
    help, to name it in a text, or to send it to the API. Jobs handed to `sbatch` count whatever
    they are: they are experiments past the queue.

    Args:
        command: as bash would read it.
        scripts: paths or names, relative to the project.
    """
    known = {_name(script) for script in scripts}
    return list(dict.fromkeys(_started(command, known, _DEPTH)))


def started_by_words(words: Sequence[str], scripts: Iterable[str]) -> list[str]:
    """As `started_directly`, of the words of a process."""
    return list(dict.fromkeys(_of_words(list(words), {_name(one) for one in scripts}, _DEPTH)))


def scripts_of(commands: Iterable[str]) -> set[str]:
    """The scripts that the commands of runs carry out."""
    return {script for command in commands for script in _scripts_in(command)}


# Of a long session the commands of all runs are asked about with each call.
@lru_cache(maxsize=10_000)
def _scripts_in(command: str) -> frozenset[str]:
    found = map(_script, _simple_commands(command))
    return frozenset(script for script in found if script is not None)


def forms(scripts: Iterable[str], workdir: PurePosixPath) -> set[str]:
    """The scripts as they may be named: from the project, in full, and from their own folder."""
    names = {_name(script) for script in scripts}
    return names | {str(workdir / name) for name in names} | {PurePosixPath(n).name for n in names}


def _started(command: str, known: set[str], depth: int) -> Iterator[str]:
    for words in _simple_commands(command):
        yield from _of_words(words, known, depth)


def _of_words(words: list[str], known: set[str], depth: int) -> Iterator[str]:
    words = _unwrapped(words)
    if not words or depth == 0 or _ONLY_LOOKING & set(words):
        return
    program = PurePosixPath(words[0]).name
    if program in _SHELLS and (text := _shell_text(words)) is not None:
        yield from _started(text, known, depth - 1)
    elif program in _CARRIERS:
        for text in words[1:]:
            yield from _started(text, known, depth - 1) if " " in text else ()
    elif program == "eval":
        yield from _started(" ".join(words[1:]), known, depth - 1)
    elif program == "sbatch":
        if "--test-only" not in words:
            yield next((word for word in words[1:] if not word.startswith("-")), "sbatch")
    else:
        script = _script(words)
        name = _name(script) if script else ""
        if script is not None and (name in known or _TRAINING.match(PurePosixPath(name).name)):
            yield script


def _script(words: list[str]) -> str | None:
    """The script that the words of a simple command carry out."""
    words = _unwrapped(words)
    if not words:
        return None
    program, rest = words[0], words[1:]
    name = PurePosixPath(program).name
    if _PYTHON.match(name):
        return _python_script(rest)
    if name in _LAUNCHERS:
        inner = next((at for at, word in enumerate(rest) if _is_program(word)), None)
        return _script(rest[inner:]) if inner is not None else None
    if name in _SHELLS | _INTERPRETERS or name in ("source", "."):
        first = next((word for word in rest if not word.startswith("-")), None)
        carried_out = not {"-c", "-n"} & set(rest)
        return first if first and carried_out and _SCRIPT.search(first) else None
    return program if _SCRIPT.search(program) else None


def _is_program(word: str) -> bool:
    return bool(_SCRIPT.search(word) or _PYTHON.match(PurePosixPath(word).name))


def _python_script(words: list[str]) -> str | None:
    at = 0
    while at < len(words):
        word = words[at]
        if word == "-m" or (word.startswith("-m") and len(word) > 2):
            module = word[2:] or (words[at + 1] if at + 1 < len(words) else "")
            after = words[at + (2 if word == "-m" else 1) :]
            if module in _RUNNER_MODULES:
                return next((one for one in after if one.endswith(".py")), None)
            return None if module in _HARMLESS_MODULES else module.replace(".", "/") + ".py"
        if word in ("-c", "-", "-V", "--version", "-h", "--help"):
            return None
        if word in ("-W", "-X"):
            at += 1
        elif not word.startswith("-"):
            return word
        at += 1
    return None


def _unwrapped(words: list[str]) -> list[str]:
    """The words without what stands before the program that matters."""
    while words:
        name = PurePosixPath(words[0]).name
        if _ASSIGNMENT.match(words[0]) or words[0] in _KEYWORDS:
            words = words[1:]
        elif name in _WRAPPERS:
            words = _after_options(words[1:], _WRAPPERS[name])
            words = words[1:] if name in _TAKES_A_WORD else words
        elif name in _RUN_WRAPPERS and len(words) > 1 and words[1] in ("run", "launch"):
            words = _after_options(words[2:], _RUN_WRAPPERS[name])
        else:
            break
    return words


def _after_options(words: list[str], with_value: set[str]) -> list[str]:
    while words and words[0].startswith("-"):
        skipped = 2 if words[0] in with_value else 1
        if words[0] == "--":
            return words[1:]
        words = words[skipped:]
    return words


def _shell_text(words: list[str]) -> str | None:
    """The text that `bash -c` (or `-lc`) is given."""
    for at, word in enumerate(words[1:], start=1):
        if not word.startswith("-"):
            return None
        if not word.startswith("--") and "c" in word[1:]:
            rest = [one for one in words[at + 1 :] if one != "--"]
            return rest[0] if rest else None
    return None


def _simple_commands(command: str) -> Iterator[list[str]]:
    """The words of each simple command; nothing of a text that bash could not read either."""
    lexer = shlex.shlex(_without_heredocs(command), posix=True, punctuation_chars=_OPERATORS)
    lexer.whitespace, lexer.commenters, lexer.whitespace_split = " \t\r", "", True
    words: list[str] = []
    in_comment = False
    try:
        for token in lexer:
            if token and not token.strip(_OPERATORS):
                in_comment = in_comment and "\n" not in token
                yield words
                words = []
            elif token.startswith("#") and not in_comment:
                in_comment = True
            elif not in_comment:
                words.append(token)
    except ValueError:
        return
    yield words


def _without_heredocs(command: str) -> str:
    """The command without the texts that it feeds to others."""
    kept: list[str] = []
    ends: list[str] = []
    for line in command.replace("\\\n", " ").split("\n"):
        if ends:
            if line.strip("\t ") == ends[0]:
                ends.pop(0)
            continue
        kept.append(_HEREDOC.sub(" ", line) if "<<<" not in line else line)
        if "<<<" not in line:
            ends = ["".join(filter(None, found)) for found in _HEREDOC.findall(line)]
    return "\n".join(kept)


def _name(script: str) -> str:
    return PurePosixPath(script).as_posix().removeprefix("./")
