"""How a repository is run and what must stay as it is, read from its files."""

import re
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml

from wildloop.shim.cli.init.invocation import (
    PROGRAMS,
    Invocation,
    invocations,
    launcher,
    needs_module,
)
from wildloop.shim.cli.init.scripts import Option, Script, read_script

FILES = 2000
DATA = ("data", "datasets", "dataset", "input", "checkpoints", "weights")
_TRAIN_WORDS = ("train", "main", "run", "finetune", "fit", "experiment", "pretrain")
_EVALUATE = re.compile(
    r"(?:^|/)(?:evaluate|evaluation|eval|score|metrics?|prepare|test_set)\w*\.py$"
)
_OUTPUTS = frozenset(["save", "out", "output", "log", "ckpt", "checkpoint", "results", "result"])


@dataclass
class Repository:
    """What was found; each finding is worth a reason in the draft."""

    root: Path
    files: list[str] = field(default_factory=list)
    scripts: list[Script] = field(default_factory=list)
    train: Script | None = None
    told_by: str = ""
    is_module: bool = False
    arguments: tuple[str, ...] = ()
    launcher: str = "python"
    launcher_reason: str = "no environment manager was found"
    evaluate: list[str] = field(default_factory=list)
    linked: list[str] = field(default_factory=list)
    goal: str = ""
    evaluation: str = ""
    kind: str = ""
    time_budget: float | None = None


def read_repository(root: Path) -> Repository:
    """Look at a repository; nothing of it is executed."""
    found = Repository(root)
    found.files = _files(root)
    scripts = [name for name in found.files if name.endswith(".py") and not _is_test(name)]
    found.scripts = [read_script(root / name, name) for name in scripts[:400]]
    told = invocations(root, found.files)
    found.train, found.told_by = _train(found, told)
    found.launcher, found.launcher_reason = launcher(root)
    chosen = found.train.path if found.train else ""
    found.evaluate = [name for name in scripts if _EVALUATE.search(name) and name != chosen]
    written = _written_folders(found.scripts)
    found.linked = [
        name for name in (*DATA, ".venv", "venv") if (root / name).is_dir() and name not in written
    ]
    _recognise(found)
    if found.train is not None:
        _complete(found, found.train, told)
    return found


def _written_folders(scripts: list[Script]) -> set[str]:
    """Folders that runs write to, by the names of options: shared, they would meet there."""
    return {
        str(one.default).strip("./")
        for script in scripts
        for one in script.options
        if isinstance(one.default, str) and _OUTPUTS & set(re.split(r"[-_.]", one.name.lower()))
    }


def _complete(found: Repository, script: Script, told: list[Invocation]) -> None:
    """How the script is started, and the options that it takes from elsewhere."""
    lines = [one for one in told if one.path == script.path]
    found.is_module = (
        lines[0].is_module if lines else needs_module(found.root, script.path, script.imported)
    )
    if script.style == "hydra":
        script.options = _hydra_options(found.root, script)
    elif not script.options:
        _borrow_options(found, script)
    given = [one for one in lines if one.arguments and (script.needs or one.weight >= PROGRAMS)]
    if given and (script.needs or script.style != "hydra"):
        found.arguments = given[0].arguments or ()
        found.told_by = f"as {given[0].file} starts it"
        script.options = [_as_given(one, found.arguments) for one in script.options]


def _as_given(option: Option, arguments: tuple[str, ...]) -> Option:
    """An option with the number that the project's own line gives it, where it gives one."""
    name = f"--{option.name}"
    for one, following in zip(arguments, (*arguments[1:], ""), strict=True):
        text = following if one == name else one.removeprefix(f"{name}=")
        if text == one or isinstance(option.default, bool):
            continue
        try:
            number = float(text)
        except ValueError:
            continue
        is_whole = isinstance(option.default, int) and number.is_integer()
        return replace(option, default=int(number) if is_whole else number)
    return option


def _borrow_options(found: Repository, script: Script) -> None:
    """Those of a module of the project's that the script imports, as `config` or `options`."""
    by_path = {one.path: one for one in found.scripts}
    folder = script.path.rpartition("/")[0]
    for name in sorted(script.modules):
        path = f"{name.replace('.', '/')}.py"
        module = by_path.get(f"{folder}/{path}" if folder else path) or by_path.get(path)
        if module is not None and module.options:
            script.style, script.options = module.style, module.options
            script.needs = script.needs or module.needs
            return


def _files(root: Path) -> list[str]:
    """Its files as git has them, the nearest first."""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "ls-files", "-co", "--exclude-standard"],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        names = done.stdout.splitlines() if done.returncode == 0 else None
    except (OSError, subprocess.TimeoutExpired):
        names = None
    if names is None:
        names = [str(one.relative_to(root)) for one in root.glob("*") if one.is_file()]
    return sorted(names, key=lambda name: (name.count("/"), name))[:FILES]


def _is_test(name: str) -> bool:
    parts = name.split("/")
    return parts[-1].startswith(("test_", "conftest", "setup.py")) or "tests" in parts[:-1]


def _train(found: Repository, lines: list[Invocation]) -> tuple[Script | None, str]:
    """The script that trains, and what says so."""
    told: dict[str, tuple[int, str]] = {}
    for line in lines:
        told.setdefault(line.path, (line.weight, line.file))

    def worth(script: Script) -> float:
        base = script.path.rpartition("/")[2].removesuffix(".py")
        is_word = [base == word for word in _TRAIN_WORDS]
        begins = [base.startswith(word) for word in _TRAIN_WORDS]
        named = 9.0 - is_word.index(True) if any(is_word) else 0.0
        if not named and any(begins):
            named = 5.0 - begins.index(True) / 2
        points = named + told.get(script.path, (0, ""))[0] * 2 + 2 * bool(script.options)
        points += 2 * bool(script.metrics) + 2 * script.trains + 2 * script.is_run
        return points - script.path.count("/") - 6 * bool(_EVALUATE.search(script.path))

    ranked = sorted((one for one in found.scripts if one.is_run), key=worth, reverse=True)
    if not ranked or worth(ranked[0]) < 4:
        return None, ""
    best = ranked[0]
    return (
        best,
        f"named in {told[best.path][1]}" if best.path in told else "by its name and content",
    )


def _recognise(found: Repository) -> None:
    """Projects of a known kind: autoresearch (program.md), AIDE (goal, eval, data_dir)."""
    root, names = found.root, set(found.files)
    if {"program.md", "train.py", "prepare.py"} <= names:
        found.kind = "autoresearch"
        found.train = next(one for one in found.scripts if one.path == "train.py")
        found.told_by = "program.md, prepare.py and train.py: an autoresearch project"
        found.evaluate = ["prepare.py"]
        found.goal = _goal_of((root / "program.md").read_text("utf-8", "replace"))
        text = (root / "prepare.py").read_text("utf-8", "replace")
        budget = re.search(r"^TIME_BUDGET\s*=\s*(\d+)", text, re.MULTILINE)
        found.time_budget = float(budget[1]) if budget else 300.0
        return
    for name in ("task.yaml", "config.yaml", "aide.yaml", "config.yml"):
        if name not in names:
            continue
        told = _yaml(root / name)
        if "goal" in told and ("eval" in told or "data_dir" in told):
            found.kind = "AIDE"
            found.goal = " ".join(str(told["goal"]).split())
            if told.get("eval"):
                found.evaluation = str(told["eval"])
                found.goal += f" (evaluation: {' '.join(str(told['eval']).split())})"
            folder = told.get("data_dir")
            if isinstance(folder, str):
                found.linked = list(dict.fromkeys([folder.strip("./"), *found.linked]))


def _goal_of(text: str) -> str:
    """What a program.md is after: the sentence with the goal, else its first paragraph."""
    for line in text.splitlines():
        plain = line.replace("*", "").strip()
        if re.match(r"(?:the )?goal\b", plain, re.IGNORECASE) or "goal is" in plain.lower():
            return f"{plain.lstrip('#- ')} (see program.md)"
    paragraphs = [
        one for one in re.split(r"\n\s*\n", text) if one.strip() and one.strip()[0] != "#"
    ]
    first = " ".join(paragraphs[0].split())[:300] if paragraphs else "Improve the metric"
    return f"{first} (see program.md)"


def _yaml(path: Path) -> dict[str, object]:
    try:
        found = yaml.safe_load(path.read_text("utf-8", "replace"))
    except (OSError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}


def _hydra_options(root: Path, script: Script) -> list[Option]:
    """The numbers and choices of Hydra's config, dotted, groups of its defaults list included."""
    folder, name = script.config or (".", "config")
    base = (root / script.path).parent / folder
    config = _yaml(base / f"{name.removesuffix('.yaml')}.yaml")
    found = _flat(config)
    for entry in config.get("defaults") or []:  # type: ignore[attr-defined]
        if isinstance(entry, dict):
            for group, chosen in entry.items():
                key = str(group).removeprefix("override ")
                found += _flat(_yaml(base / key / f"{chosen}.yaml"), f"{key}.")
    return found


def _flat(config: dict[str, object], prefix: str = "") -> list[Option]:
    found = []
    for key, value in config.items():
        if key in ("defaults", "hydra"):
            continue
        if isinstance(value, dict):
            found += _flat(value, f"{prefix}{key}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found.append(Option(f"{prefix}{key}", value))
        elif isinstance(value, str) and re.fullmatch(r"\d+(?:\.\d+)?e-?\d+", value):
            # YAML takes 1e-3 for a text.
            found.append(Option(f"{prefix}{key}", float(value)))
    return found
