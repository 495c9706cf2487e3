"""What a Python script takes and reports, read from its source; nothing is executed."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wildloop.flows.metrics.lines import LineReader
from wildloop.flows.metrics.lines.words import Sort, sort_of, tokens

SOURCE_BYTES = 512 * 1024
_LOGS = frozenset({"log", "log_metric", "log_scalar", "add_scalar", "log_metrics", "report"})
_FORMAT = re.compile(r"%[-+ #0]*\d*(?:\.\d+)?[dfgeEs]|\{[\w.\[\]]*(?:![rsa])?(?::[^{}]*)?\}")
_AS_RUN = re.compile(r"""if\s+__name__\s*==\s*["']__main__["']""")


@dataclass(frozen=True)
class Option:
    """An option of a script: its name without dashes, and what it is without being given."""

    name: str
    default: Any = None
    choices: tuple[Any, ...] = ()


@dataclass
class Script:
    """What was read of a script.

    `style` is how it takes options: argparse, click, typer, fire, tyro, dataclass, absl, hydra, or
    nothing. `needs`: it does
    not start without arguments. `modules` is what it imports.
    """

    path: str
    style: str = ""
    options: list[Option] = field(default_factory=list)
    metrics: list[str] = field(default_factory=list)
    config: tuple[str, str] | None = None
    is_run: bool = False
    trains: bool = False
    needs: bool = False
    modules: frozenset[str] = frozenset()

    @property
    def imported(self) -> frozenset[str]:
        """The top-level names of what it imports."""
        return frozenset(name.partition(".")[0] for name in self.modules)


def read_script(path: Path, name: str) -> Script:
    """Read a script; one that is no Python of this version has nothing."""
    found = Script(name)
    try:
        source = path.read_bytes()[:SOURCE_BYTES].decode("utf-8", "replace")
        tree = ast.parse(source)
    except (OSError, SyntaxError, ValueError, RecursionError):
        return found
    found.is_run = bool(_AS_RUN.search(source)) or _runs_at_once(tree)
    found.trains = bool(re.search(r"\.backward\(|\.fit\(|\.train\(|optimizer|epoch", source))
    found.modules = frozenset(_imports(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            _call(found, node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            _decorated(found, node)
    if not found.options:
        _of_runner(found, tree)
    found.metrics = list(dict.fromkeys(_reported(tree)))
    return found


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{one.name}" for one in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 1:
            yield from ([node.module] if node.module else [one.name for one in node.names])


def _runs_at_once(tree: ast.Module) -> bool:
    return any(isinstance(one, ast.For | ast.While | ast.Expr | ast.With) and not _is_text(one)
               for one in tree.body)  # fmt: skip


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _called(node: ast.AST) -> str:
    if isinstance(node, ast.Call):
        return _called(node.func)
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _value(node: ast.AST | None) -> Any:
    try:
        return ast.literal_eval(node) if node is not None else None
    except (ValueError, TypeError, SyntaxError, RecursionError):
        return None


def _keywords(node: ast.Call) -> dict[str, ast.expr]:
    return {one.arg: one.value for one in node.keywords if one.arg}


def _long_name(node: ast.Call) -> str | None:
    given = [_value(one) for one in node.args]
    flags = [one for one in given if isinstance(one, str) and one.startswith("--")]
    return flags[0].partition("/")[0].lstrip("-") if flags else None


def _call(found: Script, node: ast.Call) -> None:
    called = _called(node)
    if called.startswith("DEFINE_") and len(node.args) > 1:
        name = _value(node.args[0])
        if isinstance(name, str) and called != "DEFINE_bool":
            found.style = found.style or "absl"
            choices = _value(node.args[2]) if called == "DEFINE_enum" and node.args[2:] else None
            listed = tuple(choices) if isinstance(choices, list | tuple) else ()
            found.options.append(Option(name, _value(node.args[1]), listed))
        return
    if called != "add_argument":
        return
    given = _keywords(node)
    found.style = found.style or "argparse"
    name = _long_name(node)
    first = _value(node.args[0]) if node.args else None
    is_positional = isinstance(first, str) and not first.startswith("-")
    is_left_out = _value(given.get("nargs")) in ("?", "*") or "default" in given
    if _value(given.get("required")) is True or (is_positional and not is_left_out):
        found.needs = True
    elif name is not None and "action" not in given:
        found.options.append(_option(name, given))


def _option(name: str, given: dict[str, ast.expr]) -> Option:
    choices = _value(given.get("choices"))
    if choices is None and isinstance(given.get("type"), ast.Call):
        # click.Choice(["a", "b"])
        call = given["type"]
        if isinstance(call, ast.Call) and _called(call) == "Choice" and call.args:
            choices = _value(call.args[0])
    listed = tuple(choices) if isinstance(choices, list | tuple) else ()
    return Option(name, _value(given.get("default")), listed)


def _decorated(found: Script, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    for decorator in node.decorator_list:
        called = _called(decorator)
        if called == "option" and isinstance(decorator, ast.Call):
            name = _long_name(decorator)
            given = _keywords(decorator)
            found.style = found.style or "click"
            if _value(given.get("required")) is True:
                found.needs = True
            elif name is not None and "is_flag" not in given:
                found.options.insert(0, _option(name, given))
        elif called == "argument" and isinstance(decorator, ast.Call):
            given = _keywords(decorator)
            found.needs |= "default" not in given and _value(given.get("required")) is not False
        elif called == "main" and isinstance(decorator, ast.Call):
            given = _keywords(decorator)
            if "config_name" in given:
                found.style = "hydra"
                folder = _value(given.get("config_path"))
                found.config = (str(folder or "."), str(_value(given["config_name"])))
        elif called == "command" and not found.options:
            found.style = found.style or "typer"
            found.options += _parameters(node)


def _parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[Option]:
    """The options of a typer command: parameters with defaults."""
    arguments = node.args.args[len(node.args.args) - len(node.args.defaults) :]
    pairs = [*zip(arguments, node.args.defaults, strict=True)]
    pairs += [(one, d) for one, d in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
              if d is not None]  # fmt: skip
    found = []
    for argument, default in pairs:
        first: ast.expr | None = default
        if isinstance(default, ast.Call):
            first = default.args[0] if default.args else None
        value = _value(first)
        if not isinstance(value, bool):
            found.append(Option(argument.arg.replace("_", "-"), value))
    return found


# What takes a function's parameters, or a dataclass's fields, for the command line.
_RUNNERS = {"typer.run": "typer", "fire.Fire": "fire", "Fire": "fire", "tyro.cli": "tyro",
            "cli": "tyro", "HfArgumentParser": "dataclass", "parse": "dataclass",
            "add_arguments": "dataclass", "wrap": "dataclass"}  # fmt: skip


def _of_runner(found: Script, tree: ast.Module) -> None:
    """The options that a function's parameters or a dataclass's fields make."""
    known = {
        one.name: one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef | ast.ClassDef)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        short = _called(node)
        owner = _called(node.func.value) if isinstance(node.func, ast.Attribute) else ""
        style = _RUNNERS.get(f"{owner}.{short}") or _RUNNERS.get(short)
        if style is None or (short == "run" and owner != "typer"):
            continue
        first = node.args[0]
        for one in first.elts if isinstance(first, ast.Tuple | ast.List) else [first]:
            target = known.get(_called(one))
            options = _parameters(target) if isinstance(target, ast.FunctionDef) else (
                _fields(target) if isinstance(target, ast.ClassDef) else [])  # fmt: skip
            if options:
                found.style = style
                found.options += options


def _fields(node: ast.ClassDef) -> list[Option]:
    """The options of a dataclass: its fields with defaults."""
    found = []
    for one in node.body:
        if not isinstance(one, ast.AnnAssign) or not isinstance(one.target, ast.Name):
            continue
        default: ast.expr | None = one.value
        if isinstance(default, ast.Call):
            default = _keywords(default).get("default")
        value = _value(default)
        if value is not None and not isinstance(value, bool):
            choices: Any = ()
            if (
                isinstance(one.annotation, ast.Subscript)
                and _called(one.annotation.value) == "Literal"
            ):
                choices = _value(one.annotation.slice)
            found.append(
                Option(one.target.id, value, choices if isinstance(choices, tuple) else ())
            )
    return found


def _reported(tree: ast.Module) -> Iterator[str]:
    """The names of metrics that a script prints or logs, as far as its source tells."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            keys = [_value(key) for key in node.keys]
            yield from (key for key in keys if isinstance(key, str) and _is_metric(key))
        elif isinstance(node, ast.List | ast.Tuple):
            given = [_value(one) for one in node.elts]
            if given and all(isinstance(one, str) for one in given):
                yield from (one for one in given if _is_metric(one))
        elif isinstance(node, ast.Call) and _called(node) in _LOGS and node.args:
            first = _value(node.args[0])
            if isinstance(first, str) and _is_metric(first):
                yield first
        elif isinstance(node, ast.JoinedStr | ast.Constant):
            yield from _printed(_text_of(node))


def _is_metric(name: str) -> bool:
    return len(name) <= 60 and " " not in name and sort_of(name) is Sort.METRIC


def _text_of(node: ast.JoinedStr | ast.Constant) -> str:
    """A text as it is printed, with numbers where values stand."""
    if isinstance(node, ast.Constant):
        text = node.value if isinstance(node.value, str) else ""
        return _FORMAT.sub("0.5", text) if _FORMAT.search(text) else ""
    parts = [
        "0.5" if isinstance(one, ast.FormattedValue) else str(getattr(one, "value", ""))
        for one in node.values
    ]
    return "".join(parts) if "0.5" in parts else ""


def _printed(text: str) -> Iterator[str]:
    if not text or len(text) > 1000:
        return
    reader = LineReader()
    for line in text.splitlines():
        for sample in [*reader.feed(line), *reader.flush()]:
            if sort_of(sample.name) is Sort.METRIC and sample.name.isprintable():
                yield sample.name


LOWER = frozenset(
    ["loss", "error", "err", "perplexity", "ppl", "bpb", "bpc", "bpd", "mse", "rmse", "mae", "mape",
     "wer", "cer", "nll", "fid", "kid", "lpips", "ece", "brier", "logloss", "kl", "regret", "eer"]
)  # fmt: skip


def direction_of(metric: str) -> str:
    """`min` for losses and errors, else `max`."""
    return "min" if any(one in LOWER for one in tokens(metric)) else "max"
