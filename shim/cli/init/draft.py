"""The draft of a wildloop.toml, each entry with its reason."""

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from wildloop.flows.metrics.lines.words import SPLITS, is_metric_word, tokens, word_set
from wildloop.shim.cli.init.repository import Repository
from wildloop.shim.cli.init.scripts import Option, Script, direction_of

MOST_SEARCHED = 5
LEAST_SPARE_S = 60.0
UNSEARCHED = word_set("""
    seed epochs epoch steps iters iterations max_steps num_epochs n_epochs max_epochs workers
    num_workers port gpu gpus device rank local_rank world_size log_interval log_every save_every
    eval_every eval_interval save_interval verbose version num_classes classes n_classes threads
    limit timeout nodes patience print_freq test_batch_size eval_batch_size val_batch_size samples
    n_samples num_samples num_train num_test train_size test_size val_size n_train n_test subset
""")
_MEASURED_ON = word_set("data dataset datasets datamodule dm val eval test paths logger")
_SHARES = ("dropout", "momentum", "beta", "smoothing", "ratio", "rate_drop", "drop")


@dataclass(frozen=True)
class Metric:
    """The metric of a draft, and what speaks for it."""

    name: str
    direction: str
    reason: str


def choose_metric(found: Repository) -> Metric | None:
    """The metric that the training script reports which is most likely the one that counts."""
    if found.kind == "autoresearch":
        return Metric("val_bpb", "min", "bits per byte on validation, as program.md has it")
    reported = list(found.train.metrics) if found.train else []
    where = found.train.path if found.train else ""
    if not reported:
        others = [one for one in found.scripts if one.metrics]
        reported = [name for one in others for name in one.metrics]
        where = ", ".join(one.path for one in others[:3])
    if not reported:
        return _metric_of(found.evaluation)
    best = max(reported, key=lambda name: (_worth(name), -reported.index(name)))
    others_seen = ", ".join(name for name in dict.fromkeys(reported) if name != best)[:200]
    reason = f"reported by {where}" + (f"; others: {others_seen}" if others_seen else "")
    return Metric(best, direction_of(best), reason)


def _metric_of(evaluation: str) -> Metric | None:
    """The metric that a sentence names, as 'RMSE of the log' does."""
    named = next((one for one in re.findall(r"[\w-]+", evaluation) if is_metric_word(one)), None)
    if named is None:
        return None
    return Metric(named.lower(), direction_of(named), "of the evaluation: let the script print it")


def _worth(name: str) -> float:
    words = tokens(name)
    splits = {SPLITS[one] for one in words if one in SPLITS}
    points = 3.0 * ("val" in splits) + 1.5 * ("test" in splits) - 3.0 * ("train" in splits)
    points += 1.0 * (direction_of(name) == "max") - 0.5 * ("best" in words)
    return points - 0.01 * len(words)


def draft(found: Repository, metric: Metric | None, goal: str | None = None) -> str:
    """The text of wildloop.toml."""
    name = re.sub(r"[^\w.-]+", "-", found.root.resolve().name) or "project"
    parts = [
        "# Drafted by `wildloop init`: what stands behind # is the reason. Change what is wrong.",
        "",
        *_project(found, name, goal or found.goal or _goal(metric)),
        "",
        *_train(found),
        "",
        *_metric(metric),
        "",
        *_space(found.train, found.kind),
        "[budget]",
        "runs = 20  # of a session",
        "",
        *_isolation(found),
    ]
    return "\n".join(parts).rstrip() + "\n"


def _goal(metric: Metric | None) -> str:
    if metric is None:
        return "Improve the model"
    return f"{'Raise' if metric.direction == 'max' else 'Lower'} {metric.name} as far as it goes"


def _quoted(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _project(found: Repository, name: str, goal: str) -> list[str]:
    lines = ["[project]", f"name = {_quoted(name)}"]
    if found.kind:
        lines.insert(1, f"# recognised as a project of the kind {found.kind}")
    lines.append(f"goal = {_quoted(goal)}")
    if found.evaluate:
        kept = ", ".join(_quoted(one) for one in found.evaluate[:8])
        lines.append(f"protected = [{kept}]  # data and evaluation: an agent must not edit them")
    return lines


def _train(found: Repository) -> list[str]:
    script = found.train
    if script is None:
        return [
            "[train]",
            "# No script that trains was recognised: write its command here.",
            '# command = "python train.py"',
        ]
    lines = [
        "[train]",
        f"command = {_quoted(_command(found, script))}  # {found.told_by}; "
        f"Python: {found.launcher_reason}",
    ]
    if script.style == "hydra":
        lines.append('style = "hydra"  # parameters are given as name=value')
    seed = _seed(script)
    if seed is None:
        lines.append(
            'seed = ""  # it takes no seed: repeated runs tell the spread, if there is any'
        )
    elif seed != "seed":
        lines.append(f"seed = {_quoted(seed)}  # the option that takes the seed")
    if found.time_budget is not None:
        spare = max(found.time_budget, LEAST_SPARE_S)
        lines.append(
            f"timeout_seconds = {found.time_budget + spare:.0f}  # a run trains "
            f"{_duration(found.time_budget)}; {_duration(spare)} more for start and evaluation"
        )
    return lines


def _command(found: Repository, script: Script) -> str:
    module = script.path.removesuffix(".py").removesuffix("/__main__").replace("/", ".")
    words = ["-m", module] if found.is_module else [script.path]
    searched = {f"--{one.name}" for one in script.options if _is_searched(one)}
    searched.add(f"--{_seed(script)}")
    return shlex.join([*found.launcher.split(), *words, *_without(found.arguments, searched)])


def _without(arguments: Sequence[str], options: set[str]) -> list[str]:
    """The arguments less these options: the search gives them."""
    kept, skips = [], False
    for one in arguments:
        if skips:
            skips = False
        elif one in options:
            skips = True
        elif one.partition("=")[0] not in options:
            kept.append(one)
    return kept


def _duration(seconds: float) -> str:
    return f"{seconds / 60:g} minutes" if seconds >= 120 else f"{seconds:g} s"


def _seed(script: Script) -> str | None:
    found = next(
        (one for one in script.options if re.split(r"[.]", one.name)[-1].replace("-", "_")
         in ("seed", "random_seed", "random_state", "rng_seed", "manual_seed")),
        None,
    )  # fmt: skip
    return found.name if found is not None else None


def _metric(metric: Metric | None) -> list[str]:
    if metric is None:
        return [
            "# No metric was recognised in what the scripts print or log. Once a run has printed",
            "# one, `wildloop metrics FILE` shows what was seen.",
            "# [metric]",
            '# name = "val_accuracy"',
            '# direction = "max"',
        ]
    return [
        "[metric]",
        f"name = {_quoted(metric.name)}  # {metric.reason}",
        f"direction = {_quoted(metric.direction)}",
    ]


def _space(script: Script | None, kind: str) -> list[str]:
    options = [one for one in script.options if _is_searched(one)] if script else []
    chosen = sorted(options, key=_interest)[:MOST_SEARCHED]
    if not chosen:
        told = (
            "what it varies stands in train.py, which the agent edits"
            if kind
            else ("no options with numbers were found: an agent edits the code instead")
        )
        return [f"# Nothing to search: {told}.", ""]
    assert script is not None
    lines = [f"# Where to start from: the defaults of {script.path}.", "[baseline]"]
    lines += [f"{_key(one.name)} = {_literal(one.default)}" for one in chosen]
    lines += ["", "# What may vary, and how far: around the defaults."]
    for one in chosen:
        lines += [f"[search.{_key(one.name)}]", *_range(one), ""]
    return lines


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _quoted(name)


def _literal(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _quoted(value)
    text = repr(value)
    # TOML takes 1e-05 as it is, but not an integer's underscore or a bare dot.
    return text if isinstance(value, int) or "." in text or "e" in text else f"{text}.0"


def _is_searched(one: Option) -> bool:
    *groups, plain = re.split(r"[.]", one.name.replace("-", "_").lower())
    # What is measured on must stay the same; its batches may vary.
    if _MEASURED_ON & set(groups) and not plain.startswith("batch"):
        return False
    if plain in UNSEARCHED or plain.endswith(
        ("_dir", "_path", "_steps", "_interval", "_every", "seed")
    ):
        return False
    if one.choices:
        return one.default in one.choices and len(one.choices) > 1
    return isinstance(one.default, int | float) and not isinstance(one.default, bool)


def _interest(one: Option) -> tuple[int, str]:
    words = tokens(one.name)
    if "lr" in words or ("learning" in words and "rate" in words):
        return (0, one.name)
    known = (
        "hidden",
        "width",
        "dim",
        "layers",
        "depth",
        "dropout",
        "decay",
        "momentum",
        "batch",
        "bs",
    )
    place = next((n for n, word in enumerate(known, 1) if word in words), len(known) + 1)
    return (place, one.name)


def _range(one: Option) -> list[str]:
    if one.choices:
        return [f"values = [{', '.join(_literal(each) for each in one.choices)}]"]
    value = one.default
    if isinstance(value, int):
        if value <= 0:
            return [f"values = [{value}, {value + 1}, {value + 2}]"]
        around = [max(1, value // 4), max(1, value // 2), value, value * 2, value * 4]
        if value < 8:
            around = list(range(max(1, value - 2), value + 3))
        return [f"values = [{', '.join(str(each) for each in dict.fromkeys(around))}]"]
    lower = one.name.lower()
    if any(word in lower for word in _SHARES) and 0 <= value < 1:
        return ["low = 0.0", f"high = {0.99 if 'momentum' in lower or 'beta' in lower else 0.8}"]
    if value <= 0:
        return ["low = 1e-6", "high = 1e-2", "log = true"] if value == 0 else [
            f"low = {value * 10!r}", f"high = {value / 10!r}"]  # fmt: skip
    return [f"low = {value / 10:.4g}", f"high = {value * 10:.4g}", "log = true"]


def _isolation(found: Repository) -> list[str]:
    usual: Sequence[str] = (".venv", "venv", "data", "datasets")
    more = [one for one in found.linked if one not in usual]
    if not more:
        return []
    linked = ", ".join(_quoted(one) for one in [*usual, *more])
    return [
        "[isolation]",
        f"link = [{linked}]  # folders outside git that a run's snapshot needs",
    ]
