"""A researcher on the digits of `examples/`: seven changes of a real training, one an iteration."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.support.fake_agent import fake_agent
from tests.support.project import git, make_project
from tests.support.server import Server

DIGITS = Path(__file__).parents[2] / "examples" / "digits" / "train.py"
GOAL = "Get val_accuracy of the digits as high as train.py can in 10 epochs"
TOML = """\
[metric]
name = "val_accuracy"
direction = "max"

[train]
command = "python train.py --epochs=10"
"""
SEEDS = (1, 2, 3)
COST = 0.37


@dataclass(frozen=True)
class Step:
    """What one iteration does: its task, the change and the edit."""

    task: str
    kind: str
    change: str
    old: str = ""
    new: str = ""


STEPS = (
    Step("P1-T1", "none", "the baseline"),
    Step("P1-T2", "architecture", "hidden width 64", '"--hidden", type=int, default=16',
         '"--hidden", type=int, default=64'),
    Step("P1-T3", "regularisation", "weight decay 0.03",
         '"--weight-decay", type=float, default=0.0',
         '"--weight-decay", type=float, default=0.03'),
    Step("P2-T1", "hyper-parameter", "batches of 128", '"--batch-size", type=int, default=32',
         '"--batch-size", type=int, default=128'),
    Step("P2-T2", "data", "pixels from 0 to 1", " / 16.0 - 0.5", " / 16.0"),
    Step("P3-T1", "architecture", "tanh in the hidden layer",
         "hidden = np.maximum(0, x @ model[0] + model[1])",
         "hidden = np.tanh(x @ model[0] + model[1])"),
    Step("P3-T2", "optimiser", "momentum 0.9", '"--momentum", type=float, default=0.0',
         '"--momentum", type=float, default=0.9'),
)  # fmt: skip
PLAN = """\
## Goal

High val_accuracy after 10 epochs.

## Planning Notes

train.py is the only file; a run takes two seconds.

## Phase 1 - Baseline and capacity
- [ ] [P1-T1] Measure the baseline on 3 seeds | deliverable: notes/P1-T1.md | done-when: 3 runs
- [ ] [P1-T2] Widen the hidden layer | deliverable: notes/P1-T2.md | done-when: 3 runs
- [ ] [P1-T3] Weight decay | deliverable: notes/P1-T3.md | done-when: 3 runs

## Phase 2 - Data
- [ ] [P2-T1] Larger batches | deliverable: notes/P2-T1.md | done-when: 3 runs
- [ ] [P2-T2] Scale of the pixels | deliverable: notes/P2-T2.md | done-when: 3 runs
- [ ] [P2-T3] Reflection gate (midpoint) | deliverable: notes/P2-T3.md | done-when: decided

## Phase 3 - Training
- [ ] [P3-T1] Another activation | deliverable: notes/P3-T1.md | done-when: 3 runs
- [ ] [P3-T2] Momentum | deliverable: notes/P3-T2.md | done-when: 3 runs
- [ ] [P3-T3] A schedule of the learning rate | deliverable: notes/P3-T3.md | done-when: 3 runs

## Phase 4 - Sure
- [ ] [P4-T1] Confirm the best on fresh seeds | deliverable: notes/P4-T1.md | done-when: 3 runs
- [ ] [P4-T2] Ablation of the best | deliverable: notes/P4-T2.md | done-when: 6 runs
- [ ] [P4-T3] Reflection gate (final) | deliverable: notes/P4-T3.md | done-when: decided

## Shared Metrics and Analytics Contract

val_accuracy (max), 3 seeds each.
"""
REFLECTED = (
    "<reflection>Width and momentum have helped; scale and decay have not.</reflection>\n"
    "<continue>yes</continue>\n<summary>Reflected: on with the plan.</summary>"
)
BODY = """
steps, plan, reflected, seeds, cost = json.loads({given!r})
phase, number = os.environ["WILDLOOP_PHASE"], int(os.environ["WILDLOOP_ITERATION"])
def uses(tool, at, **given):
    part = {{"type": "tool_use", "name": tool, "input": given}}
    message = {{"id": "t%d" % at, "model": "claude-opus-4-8", "content": [part], "usage": {{}}}}
    say({{"type": "assistant", "message": message}})
if phase == "planning":
    uses("Read", 1, file_path="train.py")
    text = "<summary>A plan of four phases.</summary>\\n<plan>\\n" + plan + "</plan>"
elif phase == "iteration" and number <= len(steps):
    step = steps[number - 1]
    if step["old"]:
        uses("Edit", 1, file_path="train.py", old_string=step["old"], new_string=step["new"])
        code = pathlib.Path("train.py").read_text()
        pathlib.Path("train.py").write_text(code.replace(step["old"], step["new"]))
    tasks = pathlib.Path(os.environ["WILDLOOP_TASKS_PATH"])
    mark = "[%s]" % step["task"]
    tasks.write_text(tasks.read_text().replace("- [ ] " + mark, "- [x] " + mark))
    uses("Bash", 2, command="python -m py_compile train.py")
    pathlib.Path("notes").mkdir(exist_ok=True)
    pathlib.Path("notes", step["task"] + ".md").write_text(step["change"] + chr(10))
    trials = "".join(
        "- goal: %s, seed %d\\n  name: %s seed %d\\n  command: python train.py --epochs=10\\n"
        "  parameters: {{seed: %d}}\\n" % (step["change"], seed, step["change"], seed, seed)
        for seed in seeds
    )
    text = (
        "<summary>%s: %s on %d seeds.</summary>\\n<change kind=\\"%s\\">%s</change>\\n"
        "<experiments>\\n%s</experiments>"
        % (step["task"], step["change"], len(seeds), step["kind"], step["change"], trials)
    )
else:
    text = reflected
usage = {{"input_tokens": 4100, "output_tokens": 900, "cache_read_input_tokens": 2500}}
say({{"type": "result", "subtype": "success", "is_error": False, "result": text,
      "total_cost_usd": cost, "num_turns": 4, "usage": usage}})
"""


def digits_project(folder: Path) -> Path:
    """The example's training, with a metric to judge it by."""
    project = make_project(folder, TOML)
    (project / "train.py").write_text(DIGITS.read_text(encoding="utf-8"), encoding="utf-8")
    git(project, "add", "-A")
    git(project, "commit", "-q", "-m", "train")
    return project


def researcher(server: Server, name: str, folder: Path) -> str:
    """Save the researcher as an agent block of this name; the agent's name for `start`."""
    given = json.dumps([[asdict(step) for step in STEPS], PLAN, REFLECTED, SEEDS, COST])
    return fake_agent(server, name, folder, BODY.format(given=given))
