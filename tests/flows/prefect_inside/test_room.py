"""Prefect's private names are used in this room alone."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]
ROOM = ROOT / "flows" / "prefect_inside"


def private_imports(path: Path) -> Iterator[str]:
    """Names of Prefect that begin with an underscore, or lie in a module that does."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            first, *rest = name.split(".")
            if first == "prefect" and any(part.startswith("_") for part in rest):
                yield f"{path.relative_to(ROOT)}:{node.lineno} {name}"


def test_no_other_module_imports_private_names_of_prefect() -> None:
    folders = [ROOT / floor for floor in ("flows", "blocks", "shim", "bench")]
    modules = {path for folder in folders for path in folder.rglob("*.py")}
    assert [found for path in modules for found in private_imports(path)]
    outside = sorted(path for path in modules if ROOM not in path.parents)
    assert not [found for path in outside for found in private_imports(path)]
