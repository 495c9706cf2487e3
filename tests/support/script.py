"""Scripts for the scripted agent."""

import shlex
import sys
from pathlib import Path

AGENT = Path(__file__).with_name("scripted_agent.py")
PHASES = 4
TASKS = 3


class Script:
    """A folder of replies."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.default("<summary>nothing more to say</summary>")

    @property
    def agent(self) -> str:
        """The agent's name for `start`."""
        return f"command:{shlex.join([sys.executable, str(AGENT), str(self.folder)])}"

    def reply(self, number: int, text: str) -> "Script":
        """What the n-th call answers."""
        (self.folder / f"{number}.txt").write_text(text, encoding="utf-8")
        return self

    def shell(self, number: int, text: str) -> "Script":
        """A bash script that the n-th call runs; its output is the answer."""
        (self.folder / f"{number}.sh").write_text(text, encoding="utf-8")
        return self

    def default(self, text: str) -> "Script":
        """What every other call answers."""
        (self.folder / "default.txt").write_text(text, encoding="utf-8")
        return self

    def finish(self, number: int) -> "Script":
        """Let call `number` write the deliverable, close every task and say DONE."""
        plan = self.folder / "done-plan.md"
        plan.write_text(good_plan("x"), encoding="utf-8")
        closing = f'touch a.md; cp "{plan}" "$WILDLOOP_TASKS_PATH"'
        return self.shell(number, f"{closing}\ncat <<END\n{DONE}END\n")

    def prompt(self, number: int) -> str:
        """The prompt of the n-th call."""
        return (self.folder / f"prompt-{number}.md").read_text(encoding="utf-8")

    def calls(self) -> int:
        """How many calls there were."""
        return len(list(self.folder.glob("prompt-*.md")))


def good_plan(box: str = " ") -> str:
    """A plan that meets every rule; all its tasks have this box."""
    parts = ["## Goal\n\nRaise the score.\n", "## Planning Notes\n\nNone.\n"]
    for phase in range(1, PHASES + 1):
        parts.append(f"## Phase {phase} - Part {phase}\n")
        for task in range(1, TASKS + 1):
            text = {(2, 3): "Reflection gate (midpoint)", (4, 3): "Reflection gate (final)"}.get(
                (phase, task), "Ablation" if (phase, task) == (4, 2) else "Work"
            )
            parts.append(
                f"- [{box}] [P{phase}-T{task}] {text} | deliverable: a.md | done-when: it is there"
            )
    parts.append("\n## Shared Metrics and Analytics Contract\n\nscore (max)\n")
    return "\n".join(parts)


def planned(box: str = " ") -> str:
    """A planning reply."""
    return f"<summary>planned</summary>\n<plan>\n{good_plan(box)}</plan>\n"


DONE = "<summary>all done</summary>\n<promise>DONE</promise>\n"
STOP = "<reflection>enough</reflection><continue>no</continue><summary>stop</summary>"
