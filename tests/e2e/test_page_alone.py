"""A session whose agent acts on nothing but the page."""

import re
import shlex
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.project import git
from tests.support.server import Server
from wildloop.flows.prompt.tokens import parts_of, token_count

pytestmark = pytest.mark.e2e
AGENT = Path(__file__).parents[1] / "support" / "page_agent.py"
DIGITS = Path(__file__).parents[2] / "examples" / "digits"
AT_ONCE = """\
import os, random, sys
flags = dict(word.removeprefix("--").split("=") for word in sys.argv[1:])
better = min(float(flags.get("hidden", 16)), 64) / 400 + min(float(flags.get("lr", 0.02)), 0.2) / 2
value = 0.7 + better + random.Random(flags["seed"]).gauss(0, 0.004)
with open(os.environ["WILDLOOP_RUN_DIR"] + "/metrics.jsonl", "a") as file:
    file.write('{"step": 1, "val_accuracy": %.5f}\\n' % value)
"""
"""As train.py to whom starts it, without the training."""
CONFIRMING = "[confirm]\nseeds = 5"


class Played(NamedTuple):
    """A session that has ended, and the prompts that its agent has read."""

    id: str
    session: dict[str, Any]
    workdir: Path
    prompts: Path


@pytest.fixture(scope="module")
def played(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Played:
    """A session of the page's agent on the demo's project, of which no run takes time."""
    folder = tmp_path_factory.mktemp("played")
    digits, kept = folder / "digits", folder / "prompts"
    kept.mkdir()
    shutil.copytree(DIGITS, digits)
    (digits / "train.py").write_text(AT_ONCE)
    settings = (digits / "wildloop.toml").read_text()
    assert CONFIRMING in settings
    (digits / "wildloop.toml").write_text(settings.replace(CONFIRMING, "[confirm]\nseeds = 0"))
    git(digits, "init", "-q", "-b", "main")
    git(digits, "config", "user.name", "Tester")
    git(digits, "config", "user.email", "tester@localhost")
    git(digits, "add", "-A")
    git(digits, "commit", "-q", "-m", "start")
    session_id = server.start(
        digits,
        f"command:{shlex.join([sys.executable, str(AGENT), str(kept)])}",
        goal="Get val_accuracy on the digits above 0.97",
        max_iterations=6,
        budget={"runs": 16},
    )
    return Played(session_id, server.session_ended(session_id), digits, kept)


def test_the_page_alone_is_enough_with_two_calls_an_experiment(
    server: Server, played: Played
) -> None:
    session = played.session
    assert (session["status"], session["error"]) == ("completed", None)
    history = session["history"]
    assert [call["error"] for call in history if call["failed"]] == []
    assert [fault for call in history for fault in call["faults"]] == []
    assert session["runs"]["completed"] == 12
    assert session["tasks"]["done"] == 8
    calls = Counter(call["index"] for call in history if call["kind"] == "iteration")
    # Four experiments of two calls, two tasks without runs of one; a gate is one reflection.
    assert sorted(calls.values()) == [1, 1, 2, 2, 2, 2]
    assert sum(call["kind"] == "reflection" for call in history) == 2
    report = server.get(f"/wild/v2/report/{played.id}")["report"]
    assert "val_accuracy" in report
    for name in ("baseline", "wider", "confirm", "gate", "verdict", "summary"):
        assert git(played.workdir, "show", f"{session['branch']}:.wild/experiments/{name}.md")
    for path in played.prompts.glob("prompt-*.md"):
        parts = parts_of(path.read_text(encoding="utf-8"))
        own = [text for name, text in parts.items() if not re.match("Goal|The plan|Phase", name)]
        assert sum(map(token_count, own)) <= 2500, path


def test_the_changes_are_told_in_words(played: Played) -> None:
    """The agent declares its task's text; each is found in the table by it."""
    last = max(played.prompts.glob("prompt-*.md"), key=lambda path: int(path.stem.split("-")[1]))
    rows = [line.split(" | ") for line in last.read_text().splitlines() if line.startswith("| ")]
    told = {row[1] for row in rows}
    assert {"baseline", "Wider: hidden=64", "Ablation: hidden=32"} <= told
    assert not any("deliverable" in cell for cell in told)


def test_prompts_are_shown_as_they_were_sent_and_measured(server: Server, played: Played) -> None:
    sent = server.get(f"/wild/v2/prompt/{played.id}", iteration=2)
    assert (sent["label"], sent["is_sent"]) == ("iteration-02.2", True)
    assert sent["prompt"] == (played.prompts / "prompt-4.md").read_text(encoding="utf-8")
    assert server.get(f"/wild/v2/prompt/{played.id}", iteration=0)["label"] == "planning"
    reflected = server.get(f"/wild/v2/prompt/{played.id}", iteration=3, kind="reflection")
    assert reflected["prompt"].startswith("# Reflection")
    record = played.session["history"][3]
    assert record["prompt_tokens"] == sent["tokens"]
    assert sent["repeated"] > 0.4
    coming = server.get(f"/wild/v2/prompt/{played.id}", kind="iteration")
    assert not coming["is_sent"] and "# Iteration 7 of at most" in coming["prompt"]
    missing = server.http.get(f"/wild/v2/prompt/{played.id}", params={"iteration": 19})
    assert missing.status_code == 404
