"""A project whose own modules bear the names of ours and of libraries that we import."""

from pathlib import Path

from tests.support.project import make_project

NAMES = ("blocks", "shim", "skills", "examples", "httpx", "mcp", "prefect", "pydantic", "typer")
SHADOW = 'raise ImportError(f"the project\'s own {__name__} was imported")\n'
TRAIN = "from flows.answer import ANSWER\nprint(f'score: {ANSWER}')\n"
TOML = """\
[train]
command = "python train.py"

[metric]
name = "score"
direction = "max"

[baseline]
lr = 0.1

[search.lr]
low = 0.01
high = 1.0
"""


def shadowing_project(folder: Path) -> Path:
    """A git repository with a package `flows` that its train.py needs, and modules that must not
    be imported by Wildloop. Its train.py prints `score: 42`.
    """
    make_project(folder, TOML)
    (folder / "flows").mkdir()
    (folder / "flows" / "__init__.py").touch()
    (folder / "flows" / "answer.py").write_text("ANSWER = 42\n", encoding="utf-8")
    (folder / "train.py").write_text(TRAIN, encoding="utf-8")
    for name in NAMES:
        (folder / f"{name}.py").write_text(SHADOW, encoding="utf-8")
    return folder
