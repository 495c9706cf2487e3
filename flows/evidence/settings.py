"""What a run tries, apart from its seed: its settings and its program, as its command tells."""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

from wildloop.flows.models.run import Run

LABEL_LENGTH = 120
_SEED = re.compile(
    r"(?:.*[./])?(?:(?:global|manual|np|numpy|torch|random|rng)[-_.]?)?(?:seed|random[-_]?state)",
    re.IGNORECASE,
)
# Where a run writes to, what it is called and which device it gets is no part of what it tries.
_NO_SETTING = re.compile(
    r"(?:o|out|outputs?|outdir|save|savedir|logs?|logdir|results?|name|tag|CUDA_VISIBLE_DEVICES)"
    r"|(?:out|output|save|log|run|work|results?|ckpt|checkpoints?|tensorboard|tb)"
    r"[-_]?(?:dir|directory|folder|path|file|to|root)"
    r"|(?:run|exp|experiment|job|trial|wandb)[-_]?(?:name|tag|id|group)",
    re.IGNORECASE,
)
_FLAG = re.compile(r"--?(?P<name>[A-Za-z][\w.-]*)(?:=(?P<value>.*))?", re.DOTALL)
# `trainer.lr=0.1` and `+model.depth=3` (Hydra), `SEED=3 python train.py`
_ASSIGNMENT = re.compile(r"\+{0,2}(?P<name>[A-Za-z_][\w./-]*)=(?P<value>.*)", re.DOTALL)
_OPERATOR = re.compile(r"[();<>|&]+")


@dataclass(frozen=True)
class _Command:
    """A command line taken apart."""

    program: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)


def is_seed(name: str) -> bool:
    """Whether a setting of this name is a seed of random numbers: seed, random_state, np.seed."""
    return _SEED.fullmatch(name) is not None


def is_no_setting(name: str) -> bool:
    """Whether a name tells of outputs, names or devices, which are no part of what a run tries."""
    return _NO_SETTING.fullmatch(name) is not None


def seed_of(run: Run) -> str | None:
    """The run's seed: as recorded, else from its parameters, else from its command line."""
    if run.seed is not None:
        return str(run.seed)
    told = [run.parameters, _parsed(run.command).settings]
    seeds = (value for settings in told for name, value in settings.items() if is_seed(name))
    return next((str(value) for value in seeds if value is not None), None)


def takes_seed(run: Run) -> bool:
    """Whether a seed reaches the run's program: by its command line or its environment."""
    return any(map(is_seed, [*_parsed(run.command).settings, *run.variables]))


def settings_of(run: Run) -> dict[str, Any]:
    """What sets this run apart but its seed: settings of its command line, and its parameters.

    `--lr 0.1`, `--lr=0.1`, `-lr 0.1` and `lr=0.1` are settings; a flag alone is "on". The
    parameters hold the same values unquoted and with their types, so they count where both tell.
    """
    told = {_plain_name(name) for name in run.parameters}
    found: dict[str, Any] = {
        name: value
        for name, value in _parsed(run.command).settings.items()
        if _plain_name(name) not in told and not is_no_setting(name)
    }
    found |= run.parameters
    return {name: value for name, value in found.items() if not is_seed(name)}


def program_of(run: Run) -> str:
    """The command line without its settings; all of it where it cannot be taken apart."""
    return program_in(run.command)


def program_in(command: str) -> str:
    """A command line without its settings."""
    return " ".join(_parsed(command).program)


def settings_in(command: str) -> dict[str, Any]:
    """The settings of a command line alone, without the seed."""
    return {
        name: value
        for name, value in _parsed(command).settings.items()
        if not is_seed(name) and not is_no_setting(name)
    }


def variables_of(command: str) -> list[str]:
    """The environment variables that a command line sets before its program: `A=1 python t.py`."""
    found = []
    for word in _words(command):
        assignment = _ASSIGNMENT.fullmatch(word)
        if assignment is None:
            break
        found.append(assignment["name"])
    return found


def is_program(run: Run, command: str) -> bool:
    """Whether a run's command is `command` with other settings: the same words beside them.

    Whose path leads to a Python does not matter.
    """
    return _without_path(_parsed(run.command).program) == _without_path(_parsed(command).program)


@lru_cache(maxsize=10_000)
def _without_path(program: tuple[str, ...]) -> list[str]:
    first = PurePosixPath(program[0]).name if program else ""
    python = re.fullmatch(r"python[\d.]*", first)
    return ["python", *program[1:]] if python else list(program)


def identity(run: Run) -> str:
    """A text that is equal for runs that differ in nothing but the seed (and their code)."""
    return f"{program_of(run)} {normal(settings_of(run))}"


def label_of(run: Run) -> str:
    """A configuration in one line of at most 120 characters: its settings, else its program."""
    text = shown(settings_of(run)) or program_of(run)
    return text if len(text) <= LABEL_LENGTH else text[: LABEL_LENGTH - 3] + "..."


def title_of(run: Run) -> str:
    """The program with its settings: equal for runs of one configuration, and to be read."""
    settings = settings_of(run)
    ordered = {name: settings[name] for name in sorted(settings)}
    return " ".join(filter(None, [program_of(run), f"[{shown(ordered)}]" if ordered else ""]))


def shown(settings: Mapping[str, Any]) -> str:
    """Settings for people: `lr=0.1, layers=[2, 3]`."""
    return ", ".join(f"{name}={plain_value(value)}" for name, value in settings.items())


def normal(settings: Mapping[str, Any]) -> str:
    """A text that is equal for equal settings: 1, 1.0 and "1" are written the same."""
    return repr(sorted((_plain_name(name), plain_value(value)) for name, value in settings.items()))


def plain_value(value: Any) -> str:
    """A setting as text in one line; numbers by value."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list | dict):
        return json.dumps(value, sort_keys=True, ensure_ascii=False)
    try:
        return f"{float(value):.12g}"
    except (TypeError, ValueError):
        return " ".join(str(value).split())


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The settings that differ: name to (value in `one`, value in `other`); None where missing."""
    names = [*one, *(name for name in other if name not in one)]
    return {
        name: (one.get(name), other.get(name))
        for name in names
        if plain_value(one.get(name)) != plain_value(other.get(name))
    }


# A command is asked for its program, its settings and its seed, with every prompt anew.
@lru_cache(maxsize=10_000)
def _parsed(command: str) -> _Command:
    words = list(_words(command))
    program, settings = list[str](), dict[str, str]()
    for index, word in enumerate(words):
        following = words[index + 1] if index + 1 < len(words) else None
        setting = _setting(word, following)
        if setting is None:
            program.append(word)
        else:
            name, value, takes_next = setting
            settings[name] = value
            if takes_next:
                words[index + 1] = ""
    return _Command(tuple(filter(None, program)), settings)


def _setting(word: str, following: str | None) -> tuple[str, str, bool] | None:
    """(name, value, whether the value is the following word); None if `word` sets nothing."""
    if assignment := _ASSIGNMENT.fullmatch(word):
        return assignment["name"], assignment["value"], False
    flag = _FLAG.fullmatch(word)
    if flag is None:
        return None
    if flag["value"] is not None:
        return flag["name"], flag["value"], False
    is_value = following is not None and not (
        _FLAG.fullmatch(following) or _OPERATOR.fullmatch(following)
    )
    if word.startswith("--"):
        return flag["name"], following if is_value and following is not None else "on", is_value
    # `python -u train.py` and `-m package` take no value that is a setting.
    return (flag["name"], following, True) if following and _is_number(following) else None


@lru_cache(maxsize=4096)
def _words(command: str) -> tuple[str, ...]:
    """The command's words, shell operators apart; one with a loose quote is split at blanks."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        return tuple(lexer)
    except ValueError:
        return tuple(command.split())


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _plain_name(name: str) -> str:
    return name.replace("-", "_").lower()
