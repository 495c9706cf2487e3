"""The notebook of the docs, cell by cell, on a real server."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import Server
from wildloop.shim.client.frame import LIBRARIES

pytestmark = pytest.mark.server
NOTEBOOK = Path(__file__).parents[3] / "docs" / "notebook.ipynb"


def test_every_cell_runs(
    server: Server, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("WILDLOOP_SERVER_URL", server.url)
    monkeypatch.setenv("WILDLOOP_AUTH_TOKEN", server.token or "")
    monkeypatch.chdir(project)
    told = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    has_frames = any(importlib.util.find_spec(name) for name in LIBRARIES)
    names: dict[str, Any] = {}
    for cell in told["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code" and (has_frames or "to_frame" not in source):
            exec(compile(source, NOTEBOOK.name, "exec"), names)
    assert names["best"].record.parameters == {"lr": 0.3}
    assert names["best"].metrics().last == {"val_loss": 0.0}
    assert "val_loss" in names["best"].log()
