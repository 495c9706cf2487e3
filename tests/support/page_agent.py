"""An agent that acts on nothing but the page that it is given.

It parses task, table, results and what is left from the prompt, writes the files that the page
names, and calls the API for nothing but to create runs, by the line that the page shows.
Usage: page_agent.py FOLDER; its prompts are kept as FOLDER/prompt-<n>.md.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

PLAN = """\
## Goal
{goal}

## Planning Notes
Baseline first, then one setting after the other.
Cost: 12 runs, 0.5 hours

## Phase 1 - Ground
- [ ] [P1-T1] Write down the command of a run | deliverable: .wild/experiments/check.md | done-when: it is there
- [ ] [P1-T2] Baseline | deliverable: .wild/experiments/baseline.md | done-when: 3 runs | runs: 3

## Phase 2 - Broad
- [ ] [P2-T1] Wider: hidden=64 | deliverable: .wild/experiments/wider.md | done-when: 3 runs | runs: 3
- [ ] [P2-T2] Reflection gate (midpoint) | deliverable: .wild/experiments/gate.md | done-when: decided

## Phase 3 - Narrow
- [ ] [P3-T1] Confirm the best on seeds 3, 4, 5 | deliverable: .wild/experiments/confirm.md | done-when: 3 runs | runs: 3
- [ ] [P3-T2] Ablation: hidden=32 | deliverable: .wild/experiments/ablation.md | done-when: 3 runs | runs: 3

## Phase 4 - Sure
- [ ] [P4-T1] Write up | deliverable: .wild/experiments/summary.md | done-when: it is there
- [ ] [P4-T2] Reflection gate (final) | deliverable: .wild/experiments/verdict.md | done-when: decided

## Shared Metrics and Analytics Contract
Primary metric: val_accuracy (max). Means over seeds are compared.
"""  # noqa: E501
PIPE = re.compile(r"(?<!\\)\|")
TASK = re.compile(r"`- \[(.)\] \[(P\d+-T\d+)\] (.*?)`")


class Page:
    """A prompt, read part by part."""

    def __init__(self, text: str) -> None:
        self.text = text

    def part(self, title: str) -> str:
        """The text of a part, by the beginning of its heading."""
        found = re.search(rf"^##? {re.escape(title)}.*?\n(.*?)(?=^##? |\Z)", self.text, re.M | re.S)
        assert found is not None, f"the page has no part '{title}'"
        return found[1].strip()

    def number(self, pattern: str, part: str) -> int:
        """A number that a part tells."""
        found = re.search(pattern, self.part(part))
        assert found is not None, f"the page does not tell {pattern}"
        return int(found[1])

    def rows(self, part: str) -> list[list[str]]:
        """The rows of a part's first table."""
        lines = [line for line in self.part(part).splitlines() if line.startswith("|")][2:]
        return [[cell.strip() for cell in PIPE.split(line.strip("|"))] for line in lines]

    def best_command(self) -> str:
        """The exact command of the best, from the table of what was tried."""
        row = next(row for row in self.rows("All that was tried") if "**the best**" in row[-1])
        return row[2].split("`")[1]


def plan(page: Page) -> str:
    """Write the plan where the page says."""
    path = re.search(r"\*\*Write the plan\*\* to `([^`]+)`", page.text)
    assert path is not None
    Path(path[1]).write_text(PLAN.format(goal=page.part("Goal")), encoding="utf-8")
    return "<summary>Planned: the baseline, then one setting after the other.</summary>"


def iterate(page: Page) -> str:
    """Do the task: create its runs and wait, or write down what they have shown."""
    task = TASK.search(page.part("Your task"))
    assert task is not None, page.part("Your task")
    id, fields = task[2], dict(field.strip().split(": ", 1) for field in task[3].split(" | ")[1:])
    wanted = int(fields.get("runs", 0))
    is_first = "no run of it exists yet" in page.part("Your task")
    if wanted and is_first:
        assert page.number(r"(\d+) of \d+ runs", "Left") >= wanted
        page.number(r"(\d+) of \d+ slots are free", "Left")
        create(page, id, task[3].split(" | ")[0])
        mark(id, "/")
        return f"<summary>{id}: {wanted} runs</summary>\n<promise>WAITING</promise>"
    found = "no run was needed"
    if wanted:
        (row,) = page.rows("Runs of this iteration")
        found = f"{row[1]}: {row[3]}, runs {', '.join(re.findall(r'[0-9a-f]{8}', row[2]))}"
        assert "(n=" in row[3], row
    deliverable = Path(fields["deliverable"])
    deliverable.parent.mkdir(parents=True, exist_ok=True)
    deliverable.write_text(f"# {id}\n\n{found}\n", encoding="utf-8")
    mark(id, "x")
    kind = "hyper-parameter" if wanted else "none"
    change = task[3].split(" | ")[0]
    return f'<summary>{id}: {found}</summary>\n<change kind="{kind}">{change}</change>'


def create(page: Page, id: str, text: str) -> None:
    """Make the runs by the page's own call, with the task's settings."""
    block = re.search(r"```bash\n(curl .*?)\ncurl", page.text, re.S)
    assert block is not None
    settings = dict(re.findall(r"(\w+)=([\d.]+)", text))
    seeds = [3, 4, 5] if "seeds 3, 4, 5" in text else [0, 1, 2]
    base = re.search(r'"base_command": ("[^"]*")', block[1])
    assert base is not None
    command = json.loads(base[1])
    if "the best" in text or "Ablation" in text:
        command = page.best_command()
    grid = {name: [value] for name, value in settings.items()} | {"seed": seeds}
    call = re.sub(
        r'"name": "[^"]*"',
        f'"name": "{id.lower()}-ablate"' if "Ablation" in text else f'"name": "{id.lower()}"',
        block[1],
    )
    call = call.replace(base[0], f'"base_command": {json.dumps(command)}')
    call = re.sub(r'"parameters": \{.*?\]\}', f'"parameters": {json.dumps(grid)}', call)
    subprocess.run(["bash", "-c", f"{call} -f > /dev/null"], check=True)


def mark(id: str, box: str) -> None:
    """Set the box of a task in the plan."""
    path = Path(os.environ["WILDLOOP_TASKS_PATH"])
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub(rf"- \[.\] \[{id}\]", f"- [{box}] [{id}]", text), encoding="utf-8")


def reflect(page: Page) -> str:
    """Go on while the plan has open tasks."""
    goes_on = "- [ ]" in page.part("The plan as it stands") or "\n- [ ] [P" in page.text
    decision = "yes" if goes_on else "no"
    stands = re.search(r"^Stands: .*", page.text, re.M)
    return (
        f"<reflection>{stands[0] if stands else 'Nothing yet.'}</reflection>\n"
        f"<continue>{decision}</continue>\n<summary>Reflected: {decision}.</summary>"
    )


def main() -> int:
    """Answer one call."""
    folder, text = Path(sys.argv[1]), sys.stdin.read()
    number = 1 + len(list(folder.glob("prompt-*.md")))
    # Whole before it is there: a test that counts the calls reads it at once.
    arriving = folder / f"arriving-{number}"
    arriving.write_text(text, encoding="utf-8")
    arriving.rename(folder / f"prompt-{number}.md")
    acts = {"# Planning": plan, "# One iteration": iterate, "# Reflection": reflect}
    act = next(act for title, act in acts.items() if text.startswith(title))
    sys.stdout.write(act(Page(text)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
