"""A session as the model page tells of it, and long ones: states that prompts are made from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.records import made_run
from wildloop.flows.evidence.account import Account, Contract
from wildloop.flows.evidence.target import Target
from wildloop.flows.keep.standing import calls_of
from wildloop.flows.models.change import Change, ChangeKind
from wildloop.flows.models.contract import SessionContract
from wildloop.flows.models.run import Run
from wildloop.flows.models.session_options import Budget, SessionSpec
from wildloop.flows.models.session_record import IterationRecord, SessionRecord
from wildloop.flows.models.spending import Spending
from wildloop.flows.project import MetricConfig, ProjectConfig
from wildloop.flows.prompt.kind import SKILLS, Kind
from wildloop.flows.prompt.page import page_sections
from wildloop.flows.prompt.sections import PromptContext, render_prompt
from wildloop.flows.prompt.state import PromptState
from wildloop.flows.prompt.tokens import token_count
from wildloop.flows.protocol.plan import parse_plan
from wildloop.flows.skills import SkillLibrary, shipped_skills_path

GOAL = """Get val_bpb (bits per byte on held-out text) as low as possible, below 2.2 if you can. \
train.py is yours to change in any way: architecture, features, optimiser, schedule. prepare.py is \
fixed: data, evaluation, 4 CPU seconds of training. Only numpy is available."""
METRIC = MetricConfig(name="val_bpb", direction="min")
PROJECT = ProjectConfig(protected=["prepare.py"])
FIXED = SessionContract(
    metric="val_bpb", direction="min", target=2.2, target_inclusive=False, train="python train.py"
)
PLAN = """## Goal

Low val_bpb.

## Phase 3 - Counts
- [/] [P3-T1] Architecture: interpolated n-gram model (Witten-Bell, orders 0-6) from sorted keys \
within the budget, 3 seeds | deliverable: .wild/experiments/ngram.md | done-when: verdict written \
with 3 runs | runs: 3
- [ ] [P3-T2] Mix network and n-gram | deliverable: mix.md | done-when: 3 runs | runs: 3
- [ ] [P3-T3] Discounts | deliverable: .wild/experiments/d.md | done-when: 3 runs | runs: 3

## Phase 4 - Sure
- [ ] [P4-T1] Ablation of the best by three parts | deliverable: a.md | done-when: 9 runs | runs: 9
- [ ] [P4-T2] Confirm on seeds 3, 4, 5 | deliverable: b.md | done-when: 3 runs | runs: 3
- [ ] [P4-T3] Write-up | deliverable: c.md | done-when: written
- [ ] [P4-T4] Reflection gate (final) | deliverable: d.md | done-when: decided
"""
TRIED: Sequence[tuple[int, str, str, str, list[float]]] = (
    (1, "none", "", "python train.py", [2.7594, 2.7936, 2.7984]),
    (3, "optimiser", "Adam 0.005, warm-up 100, cosine decay by CPU time", "python train.py",
     [2.5391, 2.5773, 2.5819]),
    (4, "architecture", "context 8, emb 16, hidden 128", "python train.py",
     [2.3665, 2.3759, 2.3793]),
    (4, "architecture", "context 8, emb 16, hidden 128", "python train.py --hidden 64",
     [2.4001, 2.4189, 2.4375]),
)  # fmt: skip


def model_runs() -> list[Run]:
    """The twelve runs of the model page."""
    runs = []
    for place, (_, _, _, command, values) in enumerate(TRIED):
        code = "abc"[min(place, 2)] * 12
        for seed, value in enumerate(values):
            number = 10 * place + seed
            runs.append(
                made_run(
                    number,
                    command=f"{command} --seed {seed}",
                    name=f"p{place}-s{seed}",
                    metrics={"val_bpb": value, "train_loss": 1.645},
                    seed=seed,
                    code=code,
                    git_commit=["e1096a8", "b5918b7", "48deb64", "48deb64"][place] + "0" * 33,
                    created_at=100.0 * place,
                    started_at=100.0 * place + 10 * (seed // 2),
                    finished_at=100.0 * place + 10 * (seed // 2) + 9,
                    status="finished",
                    exit_code=0,
                    error=None,
                )
            )
    return runs


def model_records() -> list[IterationRecord]:
    """The calls of the model page's session, up to iteration 5 and its reflection."""
    ids = {1: range(0, 3), 3: range(10, 13), 4: [*range(20, 23), *range(30, 33)]}
    said = {
        0: "Planned: baseline, optimiser, width, counts.",
        1: "P1-T2: baseline 2.7838 ± 0.021 over 3 seeds.",
        2: "P1-T3: np.unique of 418k int64 keys takes 12 ms: counts are nearly free.",
        3: "P2-T1: Adam gives 2.5661 ± 0.024, 0.218 better.",
        4: "P2-T2: hidden 128 gives 2.3739 ± 0.007; hidden 64 loses.",
        5: "P2-T3: a step at batch 128 costs 0.8 ms; np.add.at is a quarter of it.",
    }
    changes = {index: (kind, text) for index, kind, text, _, _ in TRIED if text}
    records = []
    for index, summary in said.items():
        kind, text = changes.get(index, ("none", ""))
        records.append(
            IterationRecord(
                index=index,
                kind="iteration" if index else "planning",
                started_at=100.0 * index - 150,
                summary=summary,
                change=Change(kind=ChangeKind(kind), text=text) if index else None,
                run_ids=[f"id-{number:04d}" for number in ids.get(index, ())],
                told_runs=[],
                files_changed=1,
                commit="c" * 40,
            )
        )
    records.append(
        IterationRecord(
            index=5,
            kind="reflection",
            started_at=500.0,
            reflection="The two gains are real; go for counts next, then mix; the plan stands.",
            continue_session=True,
            summary="Reflected: go on with counts.",
            told_runs=[f"id-{number:04d}" for number in (*ids[1], *ids[3], *ids[4])],
        )
    )
    return records


def model_state(kind: Kind = "iteration", **fields: Any) -> PromptState:
    """Iteration 6 of 14 of the model page's session."""
    runs, records = model_runs(), model_records()
    target = Target(value=2.2, direction="min", inclusive=False)
    values: dict[str, Any] = {
        "kind": kind,
        "index": 6 if kind == "iteration" else 5,
        "turn": 1,
        "spec": SessionSpec(
            goal=GOAL, workdir="/w", max_iterations=14, budget=Budget(runs=42), isolation="snapshot"
        ),
        "record": SessionRecord(session_id="s", iterations=records),
        "plan": parse_plan(PLAN),
        "account": Account(runs, Contract(METRIC, target=target), None, calls_of(records)),
        "runs": runs,
        "used": Spending(hours=0.4, runs=len(runs)),
        "project": PROJECT,
        "fixed": FIXED,
        "slots": 2,
        "free": 2,
        "memories": ["[context] 94 symbols; 94^9 fits int64, so keys work up to order 8."],
    }
    return PromptState(**values | fields)


def rendered(state: PromptState, **variables: Any) -> str:
    """The prompt of a state, as the shipped skills make it."""
    library = SkillLibrary(shipped_skills_path())
    fixed = token_count(render_prompt(library, SKILLS[state.kind], PromptContext()))
    task = state.task
    context = PromptContext(
        **page_sections(state, None, fixed),
        goal=state.spec.goal,
        task_title=f": do {task.id}" if task else "",
        iteration=state.index,
        max_iterations=state.spec.max_iterations,
        server_url="http://127.0.0.1:10000",
        session_id=state.record.session_id,
        workdir=str(Path(state.spec.workdir)),
        user_availability="The user may steer at any time.",
    )
    return render_prompt(library, SKILLS[state.kind], context.model_copy(update=variables))
