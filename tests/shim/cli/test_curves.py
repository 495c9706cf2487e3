"""Curves in the terminal."""

from wildloop.shim.cli.curves import HEIGHT, drawn_runs, drawn_series


def test_runs_are_drawn_in_their_order_with_the_best_so_far() -> None:
    text = drawn_runs([0.5, 0.9, 0.7], "accuracy", "max", 60)
    lines = text.splitlines()
    assert len(lines) == HEIGHT and "accuracy by run" in lines[0]
    assert text.count("•") >= 1 and "0.90" in text and "0.50" in text
    assert drawn_runs([0.5], "accuracy", "max", 60) == ""


def test_an_outlier_does_not_flatten_the_rest() -> None:
    text = drawn_runs([0.50, 0.61, 0.72, 0.65, 900.0, 0.71, 0.68], "loss", "min", 60)
    assert "(1 beyond)" in text.splitlines()[0] and text.count("^") == 1
    assert "900" not in text
    calm = drawn_series({"a": [(0.0, 9000.0), *((n, 2.0 / n) for n in range(1, 40))]}, "loss", 60)
    assert "beyond)" in calm and "9000" not in calm


def test_no_curve_is_wider_than_there_is_room_nor_too_narrow_to_be_read() -> None:
    for width, most in ((10, 36), (50, 50), (400, 70)):
        lines = drawn_runs([1.0, 2.0], "a metric with a very long name" * 4, "min", width)
        plain = [line.replace("\x1b[0m", "") for line in lines.splitlines()]
        assert max(map(len, plain)) <= most


def test_runs_at_work_are_drawn_by_their_steps() -> None:
    series = {"run one": [(1.0, 0.5), (2.0, 0.7)], "run two": [(1.0, 0.1)]}
    text = drawn_series(series, "score", 60)
    assert "run one" in text and "run two" not in text
    assert drawn_series({"a": []}, "score", 60) == ""
