"""The page of an iteration, part by part, on the session that the model page tells of."""

from collections.abc import Sequence

import pytest

from tests.support.pages import GOAL, model_records, model_runs, model_state, rendered
from tests.support.records import made_account, made_run
from wildloop.flows.evidence.account import Account
from wildloop.flows.evidence.power import smallest_gain
from wildloop.flows.keep.measured import evidence_of
from wildloop.flows.models.change import Change, ChangeKind
from wildloop.flows.models.contract import SessionContract
from wildloop.flows.models.keep import KeepStatus, Verdict
from wildloop.flows.models.run import Run, RunStatus
from wildloop.flows.models.session_options import Budget, SessionSpec
from wildloop.flows.models.session_record import IterationRecord, SessionRecord
from wildloop.flows.models.spending import Closing, Spending
from wildloop.flows.prompt.believed import believed_section
from wildloop.flows.prompt.decides import decides_section
from wildloop.flows.prompt.kind import Kind
from wildloop.flows.prompt.known import known_section
from wildloop.flows.prompt.left import left_section
from wildloop.flows.prompt.page import BUDGET, page_sections
from wildloop.flows.prompt.results import NO_NEWS
from wildloop.flows.prompt.state import RunTimes, duration, run_times
from wildloop.flows.prompt.task import NO_TASK, task_section
from wildloop.flows.prompt.tokens import parts_of, repeated_share, token_count
from wildloop.flows.prompt.tried import command_of, tried_section
from wildloop.flows.protocol.plan import Plan, parse_plan

FREE = ("Goal", "The plan as it stands")


def spec(**fields: object) -> SessionSpec:
    return SessionSpec.model_validate(
        {"goal": GOAL, "workdir": "/w", "max_iterations": 14} | fields
    )


def test_what_decides_names_metric_direction_target_command_and_protected_files() -> None:
    text = decides_section(model_state())
    assert "`val_bpb`, smaller is better" in text
    assert "Wanted: below 2.2." in text
    assert "Command of a run: `python train.py`" in text
    assert "`prepare.py`, `wildloop.toml`" in text
    assert "Only the user changes this" in text
    nothing = model_state(fixed=SessionContract(), project=None)
    assert "No primary metric is named" in decides_section(nothing)


def test_left_tells_iterations_runs_time_slots_and_what_the_plan_needs() -> None:
    text = left_section(model_state())
    assert "- 9 of 14 iterations with this one, 30 of 42 runs" in text
    assert "- a run takes about 9 s alone, 9 s beside others; 3 seeds about 18 s" in text
    assert "2 of 2 slots are free; nothing of this session is queued or running" in text
    assert "the open tasks, this one too, ask for 21 runs: 9 to spare" in text


def test_a_plan_that_no_longer_fits_is_said_in_numbers() -> None:
    text = left_section(model_state(used=Spending(runs=30), index=11))
    assert "ask for 21 runs: 9 more than are left: cut the plan" in text
    assert "6 tasks are open for 4 iterations: cancel or join 2" in text


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"index": 14}, "**This is the last iteration**"),
        ({"index": 13}, "one iteration comes after this one"),
        (
            {"used": Spending(runs=42)},
            "**No run is left**: analyse what there is and write up",
        ),
        ({"used": Spending(runs=40)}, "**These are the last 2 runs**"),
        (
            {"spec": spec(budget=Budget(hours=8)), "used": Spending(hours=7.5)},
            "**The last 30 min**",
        ),
    ],
)
def test_last_things_are_said_before_they_come(fields: dict[str, object], said: str) -> None:
    assert said in left_section(model_state(**fields))
    assert said not in left_section(model_state())


def test_the_end_of_a_session_is_said() -> None:
    record = SessionRecord(session_id="s", closing=Closing(name="runs", reason="budget", at=1.0))
    text = left_section(model_state("reflection", record=record))
    assert "This session is at its end (budget)" in text


def test_run_times_are_told_alone_and_beside_others() -> None:
    alone = [made_run(n, 1.0, started_at=100.0 * n, finished_at=100.0 * n + 6) for n in (1, 2)]
    beside = [made_run(n, 1.0, started_at=500.0, finished_at=509.0) for n in (3, 4)]
    assert run_times([*alone, *beside]) == RunTimes(6.0, 9.0)
    assert run_times([]).longest is None
    assert [duration(seconds) for seconds in (6.04, 42, 150, 4000, 9000)] == [
        "6 s",
        "42 s",
        "2.5 min",
        "67 min",
        "2.5 h",
    ]


def test_the_task_stands_with_its_own_text_and_its_neighbours() -> None:
    text = task_section(model_state())
    assert "`- [/] [P3-T1] Architecture: interpolated n-gram model" in text
    assert "deliverable: .wild/experiments/ngram.md | done-when: verdict written" in text
    assert "This is the first call of this iteration: no run of it exists yet." in text
    assert "P4-T1 Ablation of the best by three parts (9 runs)" in text
    assert task_section(model_state(plan=Plan())) == NO_TASK


def test_a_further_call_is_told_why_it_is_made() -> None:
    calls = [IterationRecord(index=6, started_at=600.0, run_ids=["a", "b"])]
    record = SessionRecord(
        session_id="s", iterations=[*model_records(), *calls], woken="all 2 runs have ended"
    )
    text = task_section(model_state(record=record, turn=2))
    assert "This is call 2 of this iteration; the call before it created 2 runs" in text
    assert "You are called because all 2 runs have ended." in text


def test_the_table_has_commands_commits_means_gains_and_verdicts() -> None:
    text = tried_section(model_state(), 1000)
    rows = [line for line in text.splitlines() if line.startswith("|")][2:]
    assert rows[0].startswith("| 1 | baseline | `python train.py` e1096a8 | 2.7838 ± 0.021 (n=3)")
    assert "| +0.2177, p " in rows[1] and "once the best" in rows[1]
    assert "**2.3739 ± 0.0066 (n=3)** claimed" in rows[2] and rows[2].endswith("| **the best** |")
    assert "the same, hidden=64 | `python train.py --hidden 64` 48deb64" in rows[3]
    assert "-0.04" in rows[3] and "beats the baseline only" in rows[3]
    assert "0.1739 to go" in text
    assert "The project holds the best's code (48deb64" in text
    assert "Iterations without runs: 2, 5." in text


def test_the_table_says_why_a_shown_gain_was_taken_back() -> None:
    state = model_state()
    one = state.account.configurations[1]
    verdict = Verdict(
        iteration=3,
        label="iteration-03",
        status=KeepStatus.DISCARD,
        why="w",
        description="d",
        candidate=evidence_of(one, 3, "c", {}),
        refused="breaks a guard (latency_ms at most 20: 31, the bound is 20)",
    )
    state.record.keep.verdicts.append(verdict)
    told = "| taken back: breaks a guard (latency_ms at most 20: 31, the bound is 20) |"
    assert told in tried_section(state, 1000)


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("python train.py --lr=0.1 --seed=3", "python train.py --lr=0.1"),
        ("python train.py --seed 3 --lr 0.1", "python train.py --lr 0.1"),
        ("SEED=3 python train.py", "python train.py"),
        ("python train.py seed=3 model.depth=2", "python train.py model.depth=2"),
        ("python seed.py", "python seed.py"),
    ],
)
def test_a_command_is_shown_without_its_seed(command: str, shown: str) -> None:
    runs = [made_run(1, 0.5, command=command)]
    assert command_of(made_account(runs).configurations[0]) == shown


def long_session(iterations: int) -> tuple[list[Run], list[IterationRecord]]:
    """Three seeds an iteration; one in twenty fails, few are better."""
    kinds = [kind for kind in ChangeKind if kind is not ChangeKind.NONE]
    runs, records = list[Run](), list[IterationRecord]()
    for index in range(1, iterations + 1):
        score = None if index % 20 == 0 else 2.8 - 0.1 * len(str(index)) + 0.01 * (index % 7)
        mine = [
            made_run(
                3 * index + seed,
                command=f"python train.py --lr {index / 1000} --seed {seed}",
                metrics={} if score is None else {"val_bpb": score + 0.002 * seed},
                status=RunStatus.FAILED if score is None else RunStatus.FINISHED,
                seed=seed,
                code="abcdef"[index % 6] * 12,
                git_commit=f"{index:07x}" + "0" * 33,
                error="exit code 1" if score is None else None,
            )
            for seed in (0, 1, 2)
        ]
        runs += mine
        change = Change(
            kind=kinds[index % len(kinds)],
            text=f"a {kinds[index % len(kinds)].value} of another kind, number {index}",
        )
        records.append(
            IterationRecord(
                index=index,
                started_at=3.0 * index,
                change=change,
                summary=f"P2-T{index}: tried number {index}, " + "and said much of it; " * 8,
                run_ids=[run.id for run in mine],
                told_runs=[run.id for run in runs[:-3]],
            )
        )
    return runs, records


def long_state(iterations: int, kind: Kind = "iteration"):  # type: ignore[no-untyped-def]
    runs, records = long_session(iterations)
    metric = model_state().account.contract
    return model_state(
        kind,
        runs=runs,
        record=SessionRecord(session_id="s", iterations=records),
        account=Account(runs, metric, None, {id: it.label for it in records for id in it.run_ids}),
        index=iterations + (kind == "iteration"),
        spec=spec(max_iterations=1000),
        memories=[f"[lesson] number {n}: " + "much to be learnt of it, " * 6 for n in range(12)],
    )


def beside_goal_and_plan(prompt: str, drop: Sequence[str] = FREE) -> int:
    parts = parts_of(prompt)
    return sum(token_count(text) for name, text in parts.items() if name not in drop)


@pytest.mark.parametrize("iterations", [4, 49, 399])
@pytest.mark.parametrize("kind", ["iteration", "reflection", "planning"])
def test_the_page_keeps_its_budget_however_long_the_session(iterations: int, kind: Kind) -> None:
    prompt = rendered(long_state(iterations, kind))
    assert beside_goal_and_plan(prompt) <= BUDGET


def test_a_long_table_is_folded_by_kind_of_change_and_loses_neither_best_nor_failures() -> None:
    state = long_state(399)
    text = tried_section(state, 800)
    assert token_count(text) < 900
    assert "**the best**" in text and "| baseline |" in text
    assert " x optimiser, best (it. " in text and " x architecture, best " in text
    assert "19 that failed, the last: " in text
    # Of the rows that are shown, the latest are.
    assert "number 399" in text


def test_known_has_the_reflection_the_last_entries_and_lessons_with_runs() -> None:
    text = known_section(model_state())
    assert "Reflection after iteration 5 (go on): The two gains are real" in text
    assert "iteration-04 said: P2-T2: hidden 128 gives 2.3739 ± 0.007" in text
    assert "(its runs: id-0020, id-0021, id-0022 ...)" in text
    assert "94 symbols" in text


def test_the_smallest_gain_shrinks_with_seeds_and_is_what_is_then_shown() -> None:
    account = model_state().account
    gains = [smallest_gain(account, seeds, limit=0.05) or 0.0 for seeds in (2, 3, 5, 8)]
    assert gains == sorted(gains, reverse=True)
    assert 0.01 < gains[-1] < gains[0] < 0.1
    exact = [made_run(n, 0.5, parameters={"lr": 1, "seed": n}) for n in (1, 2, 3)]
    assert smallest_gain(made_account(exact), 3, limit=0.05) == 0.0
    assert smallest_gain(made_account([]), 3, limit=0.05) is None
    one = [made_run(1, 0.5)]
    assert smallest_gain(made_account(one), 3, limit=0.05) is None


def test_what_would_be_believed_is_told_in_numbers() -> None:
    text = believed_section(model_state())
    assert "The best has 2.3739 ± 0.0066 (n=3)." in text
    assert "with 3 seeds" in text
    kept = believed_section(model_state(spec=spec(keep="better")))
    assert "p below 0.025 for the next one (all tests since the last keep share 0.05)" in kept
    nothing = model_state(runs=[], account=made_account([]), spec=spec(keep="better"))
    assert "Nothing is measured yet" in believed_section(nothing)


def test_what_stays_the_same_stands_first_byte_for_byte() -> None:
    first = rendered(model_state())
    waited = [
        *model_records(),
        IterationRecord(index=6, started_at=600.0, run_ids=["id-0050"], summary="WAITING for it"),
    ]
    runs = [*model_runs(), made_run(50, 1.0, metrics={"val_bpb": 2.3}, seed=0, code="d" * 12)]
    second = rendered(
        model_state(
            turn=2,
            runs=runs,
            record=SessionRecord(session_id="s", iterations=waited),
            plan=parse_plan("- [ ] [P1-T1] other"),
        )
    )
    assert repeated_share(first, second) > 0.5
    assert repeated_share(first, first) == 1.0
    assert repeated_share("", first) == 0.0


def test_parts_are_told_by_headings_outside_of_code() -> None:
    parts = parts_of("intro\n# A\na\n```bash\n# no heading\n```\n## B\nb\n## B\nagain\n")
    assert list(parts) == ["head", "A", "B", "B (2)"]
    assert "".join(parts.values()).startswith("intro\n# A\n")
    assert "# no heading" in parts["A"]


def test_no_secret_and_no_gap_is_in_the_page() -> None:
    secret = "eyJ" + "a1B2c3D4e5" + ".eyJ" + "f6G7h8I9j0" + "." + "k1L2m3N4o5P6q7R8"
    runs = [made_run(1, 0.5, command=f"python train.py --key {secret} --seed 1"), *model_runs()]
    prompt = rendered(model_state(runs=runs, account=made_account(runs)))
    assert secret not in prompt
    assert "\n\n\n" not in prompt


def one_try(said: str, summary: str = "P3-T1: it helps", **changed: object) -> str:
    """The `change` cell of an iteration's one configuration after the baseline."""
    runs = [
        made_run(n, 0.5 + n / 100, created_at=float(n), parameters={"seed": n}, code=code)
        for n, code in ((1, "a" * 12), (2, "a" * 12), (3, "b" * 12), (4, "b" * 12))
    ]
    change = None if said == "unsaid" else Change(kind=ChangeKind.ARCHITECTURE, text=said)
    calls = [
        IterationRecord(index=1, started_at=1.0, run_ids=[runs[0].id, runs[1].id]),
        IterationRecord(
            index=2,
            started_at=2.0,
            run_ids=[runs[2].id, runs[3].id],
            summary=summary,
            change=change,
        ),
    ]
    record = SessionRecord(session_id="s", iterations=calls)
    state = model_state(runs=runs, account=made_account(runs), record=record, **changed)
    rows = [line for line in tried_section(state, 1000).splitlines() if line.startswith("| 2 |")]
    return rows[0].split(" | ")[1]


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("wider: hidden 64", "wider: hidden 64"),
        ("Wider: hidden=64 | deliverable: .wild/wider.md | done-when: 3 runs", "Wider: hidden=64"),
        ("- [/] [P3-T1] Wider: hidden=64 | runs: 3", "Wider: hidden=64"),
        ("[P3-T2]", "Mix network and n-gram"),
        ("", "Architecture: interpolated n-gram model"),
        ("unsaid", "Architecture: interpolated n-gram model"),
    ],
)
def test_a_change_is_told_in_words_never_as_a_line_of_the_plan(said: str, shown: str) -> None:
    told = one_try(said)
    assert told == shown or (told.startswith(shown) and told.endswith(" ..."))
    assert "deliverable" not in told and "|" not in told


def test_a_change_of_which_nothing_is_said_is_seen_by_its_command() -> None:
    assert one_try("", summary="no task is named") == "see its command"


def test_nothing_new_is_asked_for_where_nothing_can_be_tried() -> None:
    def hints(kind: Kind = "iteration", **fields: object) -> str:
        tried = [made_run(n, 0.9 - n / 100, parameters={"lr": n}) for n in range(8)]
        state = model_state(kind, runs=tried, account=made_account(tried), **fields)
        return page_sections(state, None, 0)["diversity_section"]

    assert "Make the next one of a different kind" in hints()
    assert hints(used=Spending(runs=42)) == ""
    assert hints(index=14) == ""
    closed = SessionRecord(session_id="s", closing=Closing(name="runs", reason="budget", at=1.0))
    assert hints("reflection", record=closed) == ""


def test_a_reflection_is_not_asked_for_its_kind_of_change() -> None:
    told = [run.id for run in model_runs()]
    calls = [IterationRecord(index=5, started_at=1.0, run_ids=["a"], told_runs=told)]
    record = SessionRecord(session_id="s", iterations=calls)
    asked = page_sections(model_state(record=record), None, 0)["diversity_section"]
    assert "did not say what kind of change" in asked
    state = model_state("reflection", record=record, index=5)
    sections = page_sections(state, None, 0)
    assert sections["diversity_section"] == ""
    assert sections["experiment_results"] == NO_NEWS
