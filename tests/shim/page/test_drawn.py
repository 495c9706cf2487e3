"""Pictures of many runs: what stands where, in which colour, and what is left out."""

import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from wildloop.flows.models.run import Run, RunStatus
from wildloop.shim.page.drawn import BOTTOM, TOP, pictures


def run(number: int, value: float, **parameters: Any) -> tuple[float, Run]:
    made = Run(
        id=f"run-{number}",
        name=f"run {number}",
        command="python train.py",
        workdir="/project",
        run_dir="/project/.wild/runs/x",
        status=RunStatus.FINISHED,
        parameters=parameters,
        metrics={"score": value},
        created_at=float(number),
        finished_at=float(number) + 0.5,
    )
    return value, made


def test_axes_show_values_that_were_tried_and_numbers_in_their_places() -> None:
    rows = [run(1, 0.1, lr=0.001, kind="a"), run(2, 0.2, lr=0.1, kind="b")]
    found = pictures([*rows, run(3, 0.3, lr=0.01, kind="b")], "score", "max")
    assert found.parallel is not None
    lr, kind, score = found.parallel.axes
    assert (lr.name, lr.is_log, kind.name, score.name) == ("lr", True, "kind", "score")
    places = {tick.text: tick.at for tick in lr.ticks}
    assert set(places) == {"0.001", "0.01", "0.1"}
    assert (places["0.001"], places["0.1"]) == (BOTTOM, TOP)
    assert math.isclose(places["0.01"], (TOP + BOTTOM) / 2)
    assert {tick.text for tick in kind.ticks} == {"a", "b"}
    assert [name for name, _ in found.scatters] == ["time", "lr", "kind"]


def test_the_best_has_the_last_colour_and_lies_on_top_whichever_way_is_better() -> None:
    rows = [run(number, number / 10, lr=number) for number in range(1, 6)]
    for direction, best in (("max", "run-5"), ("min", "run-1")):
        found = pictures(rows, "score", direction)  # type: ignore[arg-type]
        assert found.parallel is not None
        last = found.parallel.marks[-1]
        assert (last.run, last.shade) == (best, 9)
        assert found.parallel.marks[0].shade == 0


def test_an_outlier_neither_flattens_the_scale_nor_is_hidden() -> None:
    rows = [run(number, 0.8 + number / 1000, lr=number) for number in range(20)]
    found = pictures([*rows, run(20, -1e9, lr=20)], "score", "max")
    assert found.parallel is not None and found.parallel.beyond == 1
    (mark,) = [one for one in found.parallel.marks if one.is_beyond]
    assert (mark.run, mark.points[-1][1], mark.shade) == ("run-20", BOTTOM, 0)
    assert found.low > 0.7


def test_runs_without_a_setting_are_counted_as_left_out() -> None:
    rows = [run(1, 0.1, lr=1, width=2), run(2, 0.2, lr=2, width=3), run(3, 0.3, lr=3)]
    found = pictures(rows, "score", "max")
    assert found.parallel is not None
    assert (len(found.parallel.marks), found.parallel.left_out) == (2, 1)
    over = dict(found.scatters)
    assert (over["width"].left_out, over["lr"].left_out, over["time"].left_out) == (1, 0, 0)


def test_what_never_varies_has_no_axis_and_the_scatter_over_time_stays() -> None:
    found = pictures([run(1, 0.5, lr=1), run(2, 0.5, lr=1)], "score", "max")
    assert found.parallel is None and found.importance == {}
    assert len(dict(found.scatters)["time"].marks) == 2


def test_importance_is_told_of_eight_runs_and_names_what_mattered() -> None:
    rows = [run(n, float(n % 4), lr=n % 4 + 1, other=n % 3 + 1) for n in range(24)]
    found = pictures(rows, "score", "max").importance
    assert next(iter(found)) == "lr" and math.isclose(sum(found.values()), 1, abs_tol=1e-6)
    assert pictures(rows[:7], "score", "max").importance == {}


VALUES = st.one_of(
    st.integers(-(10**12), 10**12),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.booleans(),
    st.text(max_size=5),
    st.none(),
)


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.floats(-1e30, 1e30),
            st.dictionaries(st.sampled_from(["a", "b", "a b", "--c"]), VALUES, max_size=4),
        ),
        min_size=2,
        max_size=7,
    )
)
def test_any_parameters_can_be_drawn_within_the_picture(
    found: list[tuple[float, dict[str, Any]]],
) -> None:
    rows = [run(number, value, **settings) for number, (value, settings) in enumerate(found)]
    drawn = pictures(rows, "score", "min")
    every = [drawing for _, drawing in drawn.scatters]
    every += [drawn.parallel] if drawn.parallel else []
    for drawing in every:
        for mark in drawing.marks:
            assert 0 <= mark.shade <= 9
            assert all(TOP - 1e-6 <= y <= BOTTOM + 1e-6 for _, y in mark.points)
