"""The <evo_sweep> block: a sweep, or sentences that name the field and the mend."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildloop.flows.models.evo import Choice, EvoSweepSpec, PrunerKind, Range, SamplerKind
from wildloop.flows.protocol.evo import parse_evo_sweep

LR = {"low": 1e-4, "high": 0.1, "log": True}


def block(**fields: Any) -> str:
    given = {"target_script": "train.py", "fitness_metric": "acc", "search_space": {"lr": LR}}
    return json.dumps(given | fields)


def spec_of(**fields: Any) -> EvoSweepSpec:
    spec, faults = parse_evo_sweep(block(**fields))
    assert faults == []
    assert spec is not None
    return spec


def fault_of(raw: str) -> str:
    spec, faults = parse_evo_sweep(raw)
    assert spec is None
    assert faults
    return "\n".join(faults)


def test_the_defaults_are_those_of_the_protocol() -> None:
    spec = spec_of()
    assert spec.fitness_direction == "max"
    assert (spec.population_size, spec.generations, spec.top_k) == (4, 3, 2)
    assert (spec.mutation_strength, spec.timeout_per_run) == (0.3, 600)
    assert (spec.sampler, spec.pruner) == (SamplerKind.EVO, PrunerKind.NONE)
    assert spec.budget == 12
    assert "train.py" in spec.name


def test_all_forms_of_a_dimension_are_read() -> None:
    spec = spec_of(
        search_space={
            "--lr": LR,
            "layers": {"low": 1, "high": 4, "int": True},
            "act": ["relu", "tanh", "relu"],
            "widths": {"values": [[64, 64], [128]]},
            "epochs": 20,
        }
    )
    assert spec.search_space == {
        "lr": Range(low=1e-4, high=0.1, log=True),
        "layers": Range(low=1, high=4, int=True),
        "act": Choice(values=["relu", "tanh"]),
        "widths": Choice(values=[[64, 64], [128]]),
        "epochs": Choice(values=[20]),
    }


def test_one_and_true_are_different_choices() -> None:
    assert spec_of(search_space={"x": [1, True, 1.0]}).search_space["x"] == Choice(
        values=[1, True, 1.0]
    )
    values = spec_of(search_space={"x": [1, True, 1.0]}).search_space["x"]
    assert isinstance(values, Choice)
    assert [type(value) for value in values.values] == [int, bool, float]


def test_a_spec_survives_its_own_json() -> None:
    spec = spec_of(search_space={"a": [1, [2]], "b": LR}, defaults={"b": 0.01}, sampler="tpe")
    assert EvoSweepSpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize(("word", "direction"), [("Minimize", "min"), ("maximise", "max")])
def test_long_words_for_the_direction_are_understood(word: str, direction: str) -> None:
    assert spec_of(fitness_direction=word).fitness_direction == direction


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"search_space": {"lr": {"low": 2, "high": 1}}}, ["lr", "low must be below high"]),
        ({"search_space": {"lr": {"low": 1}}}, ["lr.high", "is required"]),
        ({"search_space": {"lr": {"low": 0, "high": 1, "log": True}}}, ["lr", "above 0"]),
        ({"search_space": {"n": {"low": 0.5, "high": 2, "int": True}}}, ["n", "whole numbers"]),
        ({"search_space": {"lr": {"low": "1", "high": 2}}}, ["lr.low", "number"]),
        ({"search_space": {"lr": {"low": 1, "high": 2, "step": 1}}}, ["lr.step", "low, high, log"]),
        ({"search_space": {"lr": []}}, ["lr", "at least 1"]),
        ({"search_space": {"lr": None}}, ["lr", "[value, ...] or {low, high"]),
        ({"search_space": {"l r": [1]}}, ["search_space", "'l r'", "name of a flag"]),
        ({"search_space": {"lr": [1], "--lr": [2]}}, ["'lr'", "twice"]),
        ({"search_space": {}}, ["search_space"]),
        ({"search_space": [1]}, ["search_space", "dictionary"]),
        ({"population_size": 0}, ["population_size"]),
        ({"generations": 2.5}, ["generations"]),
        ({"population_size": 1000, "generations": 1000}, ["1000000", "at most 10000"]),
        ({"mutation_strength": 1.5}, ["mutation_strength", "1"]),
        ({"timeout_per_run": 0}, ["timeout_per_run"]),
        ({"fitness_direction": "up"}, ["fitness_direction", "'max' or 'min'"]),
        ({"sampler": "genetic"}, ["sampler", "evo", "tpe"]),
        ({"sampler": "cmaes"}, ["cmaes", "two dimensions"]),
        ({"defaults": {"lr": 5}}, ["defaults", "'lr'", "outside"]),
        ({"defaults": {"wd": 5}}, ["defaults", "'wd'"]),
        ({"target_script": " "}, ["target_script", "blank"]),
        ({"metric": "acc"}, ["metric", "is no field", "fitness_metric"]),
    ],
)
def test_a_fault_names_the_field_and_the_mend(fields: dict[str, Any], said: list[str]) -> None:
    told = fault_of(block(**fields))
    for word in said:
        assert word in told


@pytest.mark.parametrize("field", ["target_script", "fitness_metric", "search_space"])
def test_what_is_required_is_asked_for(field: str) -> None:
    data = json.loads(block())
    del data[field]
    assert fault_of(json.dumps(data)) == f"<evo_sweep> {field}: is required."


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        ("", "not valid JSON"),
        ("{'a': 1}", "double quotes"),
        ('{"a": 1,}', "line 1"),
        ("[]", "one JSON object"),
        ('{"mutation_strength": NaN}', "finite"),
        ('{"a": 1, "a": 2}', "twice"),
        ("[" * 90_000, "nested too deeply"),
        ("x" * 100_001, "at most 100000"),
        ('{"target_script": ' + "1" * 5000 + "}", "not usable"),
    ],
)
def test_what_is_no_usable_json_is_told(raw: str, word: str) -> None:
    assert word in fault_of(raw)


def test_many_faults_are_cut_short() -> None:
    _, faults = parse_evo_sweep(block(search_space={f"x{i}": {} for i in range(40)}))
    assert len(faults) == 11
    assert "30 more faults" in faults[-1]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["low", "high", "values", "int", "x"]), inner)
        ),
        max_leaves=8,
    )
)
def test_any_search_space_is_read_or_told(space: Any) -> None:
    spec, faults = parse_evo_sweep(block(search_space={"x": space}))
    assert (spec is None) == bool(faults)


@given(st.text(max_size=200))
def test_any_text_is_read_or_told(raw: str) -> None:
    spec, faults = parse_evo_sweep(raw)
    assert (spec is None) == bool(faults)
