"""Every command that README and docs print is typed, in one project, on the session's server."""

import re
import shlex
import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

import pytest

from tests.support.project import git, make_project
from tests.support.script import Script, planned
from tests.support.server import Server
from tests.support.typist import Typed, Typist, typist
from tests.test_documented_commands import PAGES, fenced, words_of
from wildloop.shim.described import commands

pytestmark = pytest.mark.e2e

NOT_HERE = {
    "up": "the server is that of the tests: test_survival.py starts and stops others",
    "down": "as `up`",
    "demo": "test_demo.py runs it",
    "service install": "asks systemd or launchd of this machine: tests/shim/test_service.py",
    "service remove": "as `service install`",
    "service status": "as `service install`",
    "worker": "goes on for ever: tests/flows/worker has it",
    "serve": "goes on for ever: `up` runs it",
    "mcp": "speaks with an agent: tests/shim/test_mcp_server.py",
    "notify add": "would leave channels on the server: test_notify.py has it",
    "notify test": "needs a service that answers: test_notify.py has it",
    "notify remove": "as `notify add`",
    "approve": "a session has to ask: test_approval.py has it",
    "ask": "its agent has to answer: test_ask.py has it",
    "open": "opens a browser: tests/shim/cli/test_best_and_open.py has it",
    "take": "it takes home what a session has kept: test_keep.py has it",
    "verify": "its runs take a session of their own: test_levels.py has it",
}
"""What cannot be typed here, and where it is tested instead."""
ONCE = {"start": "a session at a time: tests/shim/test_session_options.py sends all options"}
"""What is typed once, though docs have it with several options."""
ALSO = """
sessions
plan
agents
completion bash
contract set --target 0.95
contract show
digest status
digest off
notify list
export
export --format csv --out tables
runs --status finished
runs --group
best
tree
compare RUN RUN
"""
"""Commands that docs name in passing only, as they are typed."""
ORDER = (
    "init", "metrics", "doctor", "agents", "completion", "holdout", "memories add",
    "memories edit", "memories list", "memories rm", "nightly", "nightly status", "nightly off",
    "digest", "digest on", "digest status", "digest off", "notify", "prune", "deploy", "start",
    "status", "sessions", "steer", "plan", "prompt", "contract", "runs", "logs", "rerun", "cancel",
    "pause", "resume", "stop", "watch", "report", "results", "show", "best", "tree", "compare",
    "export",
)  # fmt: skip
"""As a user comes to them: those after `start` are about its session."""
MAY_REFUSE = {
    "doctor": "no agent is installed here",
    "cancel": "the run has ended",
    "stop": "it is stopped already",
    "digest": "there is no such channel",
    "rerun": "--exact needs the tree of then",
    "prompt": "there is no prompt of that kind yet",
}
TRAIN = 'print("epoch 1 val_accuracy: 0.9")\n'
TOML = """
[train]
command = "python train.py"

[metric]
name = "val_accuracy"
"""
WAITING = "while [ ! -e {} ]; do sleep 0.2; done; echo '<summary>waited</summary>'"


@cache
def known() -> frozenset[str]:
    """The names of all commands."""
    return frozenset(commands())


def name_of(words: list[str]) -> str:
    """The command's name: one word, or two."""
    two = " ".join(words[:2])
    return two if two in known() else words[0]


def to_type() -> list[str]:
    """The lines of the docs' code blocks, and those of `ALSO`, each once, in the order of use."""
    lines = [line for page in PAGES for line in fenced(page.read_text("utf-8"))]
    lines += [f"wildloop {line}" for line in ALSO.strip().splitlines()]
    found: dict[str, str] = {}
    for line in dict.fromkeys(lines):
        name = name_of(words_of(line))
        if name not in NOT_HERE:
            found.setdefault(name if name in ONCE else line, line)

    def rank(line: str) -> int:
        words = words_of(line)
        names = (" ".join(words[:2]), words[0])
        return next((ORDER.index(one) for one in names if one in ORDER), len(ORDER))

    return sorted(found.values(), key=rank)


def test_every_command_is_typed_or_says_where_it_is_tested() -> None:
    typed = {name_of(words_of(line)) for line in to_type()}
    assert known() - typed - set(NOT_HERE) == set()
    assert [line for line in to_type() if words_of(line)[0] not in " ".join(ORDER)] == []


class Story:
    """One project and its session, and what stands for the words of the docs."""

    def __init__(self, server: Server, hand: Typist, tmp_path: Path) -> None:
        self.server, self.hand, self.tmp_path = server, hand, tmp_path
        self.project = make_project(tmp_path / "my-project", TOML)
        (self.project / "train.py").write_text(TRAIN)
        (self.project / "run.log").write_text("epoch 1 val_accuracy: 0.9\nscored 0.5\n")
        (self.project / "outputs").mkdir()
        (self.project / "outputs" / "metrics.csv").write_text("step,val_accuracy\n1,0.9\n")
        (self.project / "sealed-test.csv").write_text("1\n")
        git(self.project, "add", "-A")
        git(self.project, "commit", "-q", "-m", "code")
        self.script = Script(tmp_path / "script").reply(1, planned())
        self.script.reply(2, "<summary>looked</summary>")
        for call in range(3, 12):
            self.script.shell(call, WAITING.format(shlex.quote(str(tmp_path / "go on"))))
        later = datetime.now() + timedelta(hours=12)
        self.words = {
            "~/my-project": str(self.project),
            "~/project": str(self.project),
            "./sealed-test.csv": "sealed-test.csv",
            "baseline": self.script.agent,
            "22:00": f"{later:%H:%M}",
            "07:30": f"{later:%H:%M}",
            "47": "1",
        }

    def type(self, line: str) -> Typed:
        """Type a line of the docs, its placeholders filled in."""
        words = [self.words.get(word, word) for word in self._shell_words(line)]
        name, folder, answers = name_of(words), self.project, ""
        if name == "init":
            folder = self.tmp_path / f"fresh {len(list(self.tmp_path.iterdir()))}"
            shutil.copytree(self.project, folder, ignore=shutil.ignore_patterns("wildloop.toml"))
            (folder / "input").mkdir()
            answers = "y\n"
        if name == "start":
            words = [word for word in words if word != "--watch"]
        done = self.hand.type(words, folder, answers)
        self._learn(name, done)
        return done

    def _shell_words(self, line: str) -> list[str]:
        for placeholder, meant in self._meant.items():
            line = re.sub(rf"<{placeholder}>|\b{placeholder.upper()}\b", meant, line)
        return shlex.split(re.sub(r"[\[\]]", "", line), comments=True)[1:]

    @property
    def _meant(self) -> dict[str, str]:
        return {name: self.words.get(name, "none") for name in ("session", "run", "id", "memory")}

    def _learn(self, name: str, done: Typed) -> None:
        """Keep the ids that later lines are about."""
        if name == "memories add":
            (memory,) = (one for one in self.server.get("/memories") if "bf16" in one["content"])
            self.words |= {"id": memory["id"], "memory": memory["id"]}
        if name == "start":
            assert done.code == 0, done.err
            found = self.server.get("/wild/v2/sessions")
            session = next(one for one in found if one["workdir"] == str(self.project))
            self.words["session"] = session["session_id"]
            fields = {"workdir": str(self.project), "chat_session_id": session["session_id"]}
            run = self.server.run("python train.py", gpus=0, **fields)
            self.words["run"] = self.server.ended(run["id"])["id"]
            self.server.wait_for(lambda: self.script.calls() >= 3 or None, "the agent works")


@pytest.fixture
def story(server: Server, tmp_path: Path) -> Iterator[Story]:
    with typist(server.env | {"WILDLOOP_SERVER_URL": server.url}) as hand:
        yield Story(server, hand, tmp_path)
    server.stop_all()


def test_what_the_docs_tell_to_type_works(story: Story) -> None:
    faults = []
    for line in to_type():
        done = story.type(line)
        allowed = (0, 1) if name_of(words_of(line)).split()[0] in MAY_REFUSE else (0,)
        is_told = done.code == 0 or done.err.strip() or done.out.strip()
        if done.code not in allowed or not is_told or "Traceback" in done.out + done.err:
            faults.append((line, done.code, done.err[-400:], done.out[-200:]))
    assert faults == []
