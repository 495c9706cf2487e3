"""The <experiments> block: good items become runs, broken ones become sentences."""

import shlex
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildloop.flows.models.run import RunSpec
from wildloop.flows.protocol.experiments import ExperimentRequest, parse_experiments

ROOT = Path("/project")


def spec_of(**fields: Any) -> RunSpec:
    request = ExperimentRequest.model_validate(
        {"goal": "A goal", "command": "python t.py"} | fields
    )
    return request.to_run_spec(ROOT, "session", "sweep")


def test_a_full_item_becomes_a_run() -> None:
    requests, faults = parse_experiments(
        "- goal: Try a rate\n"
        "  command: python train.py\n"
        "  workdir: sub\n"
        "  parameters: {lr: 0.1, seed: 3}\n"
        "  gpus: 2\n"
        "  timeout_seconds: 60\n"
        "  name: rate\n"
    )
    assert faults == []
    assert requests[0].to_run_spec(ROOT, "s1", "w1") == RunSpec(
        name="rate",
        command="python train.py --lr=0.1 --seed=3",
        workdir="/project/sub",
        parameters={"lr": 0.1, "seed": 3},
        gpus=2,
        timeout_seconds=60,
        seed=3,
        sweep_id="w1",
        chat_session_id="s1",
    )


def test_goal_and_command_are_enough() -> None:
    spec = spec_of()
    assert spec.command == "python t.py"
    assert spec.workdir == "/project"
    assert spec.name == "a-goal"
    assert spec.gpus == 1
    assert spec.timeout_seconds is None


@pytest.mark.parametrize(
    ("value", "flag"),
    [
        (1, "--k=1"),
        (0.001, "--k=0.001"),
        (True, "--k=true"),
        (False, "--k=false"),
        ("a b; rm -rf $HOME", "--k=a b; rm -rf $HOME"),
        ("it's", "--k=it's"),
        ("", "--k="),
        ([1, 2], "--k=[1, 2]"),
        ({"a": None}, '--k={"a": null}'),
        (float("inf"), "--k=inf"),
    ],
)
def test_parameters_are_shell_quoted_flags(value: Any, flag: str) -> None:
    assert shlex.split(spec_of(parameters={"k": value}).command) == ["python", "t.py", flag]


def test_a_parameter_without_value_is_left_out() -> None:
    assert spec_of(parameters={"a": None, "b": 1}).command == "python t.py --b=1"


def test_dashes_before_a_parameter_are_taken_off() -> None:
    assert spec_of(parameters={"--lr": 1}).command == "python t.py --lr=1"


def test_yaml_is_read_as_agents_mean_it() -> None:
    requests, faults = parse_experiments(
        "- goal: g\n  command: c\n"
        "  parameters: {lr: 1e-3, t: 1:30, d: 2026-01-02, z: 010, b: true, w: on, n: null}\n"
    )
    assert faults == []
    assert requests[0].parameters == {
        "lr": 0.001,
        "t": "1:30",
        "d": "2026-01-02",
        "z": "010",
        "b": True,
        "w": "on",
        "n": None,
    }


@pytest.mark.parametrize("name", ["a" * 201, " "])
def test_unusable_names_are_told(name: str) -> None:
    requests, faults = parse_experiments(f"- {{goal: g, command: c, name: '{name}'}}")
    assert requests == []
    assert faults[0].startswith("Experiment 1, name: ")


def test_default_names_of_neighbouring_configurations_differ() -> None:
    names = {
        spec_of(parameters={"a_very_long_parameter_name": "x" * 60, "b": b}).name for b in range(9)
    }
    assert len(names) == 9
    assert all(len(name) <= 80 for name in names)


def test_a_goal_without_letters_still_gives_a_name() -> None:
    assert spec_of(goal="目标").name == "experiment"
    assert spec_of(parameters={"lr": 0.1, "on": None}).name == "a-goal-lr0.1"


@pytest.mark.parametrize(
    ("item", "fault"),
    [
        ("{command: c}", "goal: is required"),
        ("{goal: g}", "command: is required"),
        ("{goal: ' ', command: c}", "goal: must not be blank"),
        ("{goal: g, command: 7}", "command: Input should be a valid string"),
        ("{goal: g, command: c, paramaters: {a: 1}}", "paramaters: is no field"),
        ("{goal: g, command: c, parameters: [a]}", "parameters: must be a mapping"),
        ("{goal: g, command: c, parameters: {a b: 1}}", "parameters: 'a b' cannot be"),
        ('{goal: g, command: c, parameters: {a: "x\\0"}}', "parameters: 'a' holds a NUL"),
        ("{goal: g, command: c, parameters: {a: 99999999999999999999}}", "parameters: 'a' holds"),
        ("{goal: g, command: c, parameters: {a: !!binary aGk=}}", "parameters.a: "),
        ("{goal: g, command: c, gpus: -1}", "gpus: "),
        ("{goal: g, command: c, gpus: many}", "gpus: "),
        ("{goal: g, command: c, timeout_seconds: 0}", "timeout_seconds: "),
        ("{goal: g, command: c, timeout_seconds: .inf}", "timeout_seconds: "),
        ('{goal: g, command: "c\\0"}', "command: must not contain a NUL"),
        ("{goal: g, command: c &, parameters: {a: 1}}", "command: it ends in a comment"),
        ("{goal: g, command: 'c # later', parameters: {a: 1}}", "command: it ends in a comment"),
        ("just text", "is no mapping"),
        ("null", "is no mapping"),
        ("{goal: g: h, command: c}", "is not valid YAML"),
    ],
)
def test_a_good_item_survives_beside_a_broken_one(item: str, fault: str) -> None:
    good = "- goal: fine\n  command: c\n"
    requests, faults = parse_experiments(f"{good}- {item}\n{good}")
    assert [request.goal for request in requests] == ["fine", "fine"]
    assert len(faults) == 1
    assert faults[0].startswith("Experiment 2")
    assert fault in faults[0]


def test_a_hash_in_quotes_is_no_comment() -> None:
    requests, faults = parse_experiments(
        "- goal: g\n  command: echo ' # x'\n  parameters: {a: 1}\n"
    )
    assert (len(requests), faults) == (1, [])


def test_a_colon_in_a_goal_breaks_that_item_only() -> None:
    requests, faults = parse_experiments(
        "- goal: Compare: a against b\n  command: c\n- goal: fine\n  command: c\n"
    )
    assert [request.goal for request in requests] == ["fine"]
    assert faults[0].startswith("Experiment 1 is not valid YAML")


@pytest.mark.parametrize(
    "raw", ["", "   ", "text", "a: 1", "7", "[]", "{}", "null", "'", "- [", "\x00", "? [a]\n: b"]
)
def test_what_is_no_list_is_told(raw: str) -> None:
    requests, faults = parse_experiments(raw)
    assert requests == []
    assert faults


def test_a_single_mapping_and_a_titled_list_count() -> None:
    assert len(parse_experiments("goal: g\ncommand: c")[0]) == 1
    assert len(parse_experiments("experiments:\n- goal: g\n  command: c")[0]) == 1


def test_an_alias_bomb_is_refused() -> None:
    levels = [f"- &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 20)]
    requests, faults = parse_experiments("- &l0 [x]\n" + "\n".join(levels))
    assert requests == []
    assert any("aliases" in fault for fault in faults)


def test_ampersand_and_star_in_commands_are_no_alias() -> None:
    requests, faults = parse_experiments("- goal: g\n  command: cd a && python *.py\n")
    assert (len(requests), faults) == (1, [])


@pytest.mark.parametrize("raw", ["x" * 100_001, "[" * 90_000, "- " * 45_000, "{a: " * 20_000])
def test_large_and_deep_input_is_told(raw: str) -> None:
    requests, faults = parse_experiments(raw)
    assert requests == []
    assert len(faults) == 1


def test_too_many_items_are_cut_and_told() -> None:
    requests, faults = parse_experiments("- {goal: g, command: c}\n" * 501)
    assert len(requests) == 500
    assert faults == ["<experiments> has 501 items; the first 500 count."]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.text(st.characters(exclude_categories=())))
def test_no_string_raises(raw: str) -> None:
    for text in (raw, f"- goal: {raw}\n  command: c\n", f"- {raw}\n- {{goal: g, command: c}}"):
        for request in parse_experiments(text)[0]:
            request.to_run_spec(ROOT, "s", None).model_dump_json()


@given(st.dictionaries(st.from_regex(r"[A-Za-z_]\w{0,5}", fullmatch=True), VALUES, max_size=4))
def test_whatever_is_accepted_makes_a_run(parameters: dict[str, Any]) -> None:
    try:
        spec = spec_of(parameters=parameters)
    except ValueError:
        return
    given = [key for key, value in parameters.items() if value is not None]
    assert len(shlex.split(spec.command)) == 2 + len(given)
    spec.model_dump_json()
