"""The structure of the house: which room may import which, and how large a room's modules are."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from statistics import quantiles

ROOT = Path(__file__).parents[1]
FLOORS = ("shim", "flows", "blocks")
"""From top to bottom: a floor imports itself and what lies below it."""
ROOMS = (
    "worker",
    "news",
    "ask",
    "research_loop",
    "researchers",
    "loop",
    "turn",
    "experiment",
    "prompt",
    "alerts",
    "session",
    "struggle",
    "take",
    "sealed",
    "run",
    "guards",
    "report",
    "store",
    "search",
    "tree",
    "keep",
    "metrics",
    "skills",
    "evidence",
    "project",
    "git",
    "protocol",
    "spending",
    "models",
    "files",
    "prefect_inside",
    "events",
    "errors",
    "settings",
    "text",
)
"""The rooms of `flows/` from top to bottom: a room imports itself and rooms below it.

`docs/architecture.md` shows the same table, with the question that each room answers.
"""
Import = tuple[str, str, int]


def modules(floor: str) -> list[Path]:
    """The modules of a floor, `__init__` included."""
    return sorted((ROOT / floor).rglob("*.py"))


def module_name(path: Path) -> str:
    """`flows/git/index.py` is `flows.git.index`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[Import]:
    """What a module imports of ours, late and type-checking imports included: who, whom, line.

    One that is imported by its name (`importlib.import_module`) counts as well.
    """
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        found: list[str] = []
        if isinstance(node, ast.ImportFrom) and node.module is not None and node.level == 0:
            found = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.Call) and _called(node) in ("import_module", "to_thread"):
            given = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
            found = [name for name in given if isinstance(name, str)]
        for name in found:
            if name.startswith("wildloop."):
                yield module_name(path), name.removeprefix("wildloop."), getattr(node, "lineno", 0)


def _called(node: ast.Call) -> str:
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def room_of(module: str) -> str:
    """The room of a module below `flows`."""
    return module.split(".")[1] if "." in module else ""


def every_import(*floors: str) -> list[Import]:
    """All imports of the modules of these floors."""
    return [one for floor in floors for path in modules(floor) for one in imports(path)]


def test_imports_point_down_the_floors() -> None:
    up = [
        f"{who}:{line} imports {whom}"
        for who, whom, line in every_import(*FLOORS)
        if whom.split(".")[0] in FLOORS
        and FLOORS.index(whom.split(".")[0]) < FLOORS.index(who.split(".")[0])
    ]
    assert not up


def test_imports_point_down_the_rooms_of_flows() -> None:
    up = [
        f"{who}:{line} imports {whom}"
        for who, whom, line in every_import("flows")
        if whom.startswith("flows.")
        and who != "flows"
        and ROOMS.index(room_of(whom)) < ROOMS.index(room_of(who))
    ]
    assert not up


def test_no_module_is_in_an_import_circle() -> None:
    known = {module_name(path) for floor in FLOORS for path in modules(floor)}
    graph: dict[str, set[str]] = {name: set() for name in known}
    for who, whom, _ in every_import(*FLOORS):
        target = whom if whom in known else whom.rpartition(".")[0]
        if target in known and target != who:
            graph[who].add(target)
    circle = _circle(graph)
    assert not circle, " -> ".join(circle)


def _circle(graph: dict[str, set[str]]) -> list[str]:
    """A circle of the graph, empty if there is none."""
    done: set[str] = set()
    way: list[str] = []

    def visit(name: str) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return []
        way.append(name)
        for after in sorted(graph[name]):
            if found := visit(after):
                return found
        way.pop()
        done.add(name)
        return []

    return next((found for name in sorted(graph) if (found := visit(name))), [])


def test_every_room_is_in_the_table() -> None:
    rooms = {room_of(module_name(path)) for path in modules("flows")} - {""}
    assert rooms == set(ROOMS)


def test_the_architecture_page_shows_the_same_table() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = page.partition("<!-- rooms -->")[2].partition("<!-- /rooms -->")[0]
    assert tuple(re.findall(r"^\| `(\w+)(?:\.py|/)`", table, re.MULTILINE)) == ROOMS


def test_modules_are_small() -> None:
    sizes = sorted(
        len(path.read_text(encoding="utf-8").splitlines())
        for floor in FLOORS
        for path in modules(floor)
    )
    assert sizes[len(sizes) // 2] <= 120
    assert quantiles(sizes, n=10)[-1] <= 280


def test_tests_mirror_the_rooms() -> None:
    """What lies in a folder of `tests/flows` tests the room of that name."""
    tests = ROOT / "tests" / "flows"
    folders = {path.name for path in tests.iterdir() if path.is_dir() and path.name[0] != "_"}
    loose = {path.stem.removeprefix("test_") for path in tests.glob("*.py")}
    assert folders <= {path.name for path in (ROOT / "flows").iterdir() if path.is_dir()}
    assert loose <= {path.stem for path in (ROOT / "flows").glob("*.py")}
