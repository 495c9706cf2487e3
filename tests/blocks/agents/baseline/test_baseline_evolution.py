"""The baseline agent's evolutionary sweep: asked for once, waited for, and taken into account."""

import shlex

from tests.blocks.agents.baseline.agent_calls import Call, Caller
from tests.blocks.agents.baseline.memory_api import Body
from tests.blocks.agents.baseline.test_baseline_session import curved
from wildloop.flows.protocol.evo import parse_evo_sweep
from wildloop.flows.protocol.plan import TaskStatus

ENABLED = "Go on.\n\n## Evolutionary sweeps\n\nThey are enabled.\n"


def up_to_the_sweep(toy: Caller) -> Call:
    """The call that asks for the sweep."""
    toy.call("planning", ENABLED)
    toy.work(curved, until="P3-T2")
    return toy.call("iteration", ENABLED)


def begin(toy: Caller, call: Call, status: str = "running") -> list[Body]:
    """Begin the sweep of a call, as Wildloop does; return the runs of its trials."""
    spec, faults = parse_evo_sweep(call.tags.evo_sweep_raw or "")
    assert spec is not None and not faults
    trials = []
    for number in range(spec.budget):
        _, run = toy.api.answer(  # type: ignore[misc]
            "POST",
            "/runs",
            {
                "name": f"{spec.name} g1 t{number:02d}",
                "command": spec.target_script,
                "parameters": {"lr": 0.05, "width": 64 - number},
                "seed": None,
                "chat_session_id": toy.session,
            },
        )
        trials.append({"run_id": run["id"], "parameters": run["parameters"]})
    toy.api.evo_sweep = {"name": spec.name, "status": status, "state": {"trials": trials}}
    return toy.api.runs[-len(trials) :]


def end(toy: Caller, runs: list[Body]) -> None:
    """End all trials, and the sweep."""
    for run in runs:
        run |= {"status": "finished", "exit_code": 0}
        run["metrics"] = {"val_accuracy": 0.99 + run["parameters"]["width"] / 1e5}
    assert toy.api.evo_sweep is not None
    toy.api.evo_sweep["status"] = "completed"


def test_sweep_is_asked_for_around_the_best_with_the_fixed_flags(toy: Caller) -> None:
    call = up_to_the_sweep(toy)
    assert call.tags.promise == "WAITING" and not call.tags.faults
    spec, faults = parse_evo_sweep(call.tags.evo_sweep_raw or "")
    assert spec is not None and faults == []
    assert shlex.split(spec.target_script)[1:] == ["train.py", "--epochs=3", "--seed=0"]
    assert (spec.fitness_metric, spec.fitness_direction) == ("val_accuracy", "max")
    assert set(spec.search_space) == {"lr", "width"}
    assert "- [/] [P3-T2]" in toy.tasks_path.read_text()


def test_running_sweep_is_waited_for_and_not_asked_for_again(toy: Caller) -> None:
    begin(toy, up_to_the_sweep(toy))
    again = toy.call("iteration", ENABLED)
    assert again.tags.promise == "WAITING"
    assert again.tags.evo_sweep_raw is None


def test_a_trial_of_the_sweep_is_raced_over_fresh_seeds(toy: Caller) -> None:
    runs = begin(toy, up_to_the_sweep(toy))
    end(toy, runs)
    closed = toy.call("iteration", ENABLED)
    assert "P3-T2" in (closed.tags.summary or "")
    assert "- [x] [P3-T2]" in toy.tasks_path.read_text()
    assert all(run["name"] in (toy.experiments / "evolved.md").read_text() for run in runs)
    toy.call("iteration", ENABLED)
    raced = [run for run in toy.api.runs if run["name"].startswith("p4-race")]
    trials = [run["parameters"]["width"] for run in runs]
    assert raced and {run["seed"] for run in raced} <= {1, 2, 3}
    assert any(run["parameters"]["width"] in trials for run in raced)


def test_sweep_that_was_not_begun_is_asked_for_once_more_then_given_up(toy: Caller) -> None:
    assert up_to_the_sweep(toy).tags.evo_sweep_raw
    assert toy.call("iteration", ENABLED).tags.evo_sweep_raw
    given_up = toy.call("iteration", ENABLED)
    assert given_up.tags.evo_sweep_raw is None
    assert "not begun" in (given_up.tags.summary or "")
    (task,) = [task for task in toy.plan().tasks if task.id == "P3-T2"]
    assert task.status is TaskStatus.CANCELLED


def test_without_sweeps_the_search_goes_on_by_runs(toy: Caller) -> None:
    toy.call("planning")
    toy.work(curved, until="P3-T2")
    call = toy.call("iteration", "Go on.")
    assert call.tags.evo_sweep_raw is None and call.tags.promise == "WAITING"
    assert toy.api.names("p3-evo")
