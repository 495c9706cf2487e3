"""A small report with every kind of cell."""

from bench.figures import Facts, Failure, Figure, Report, Row


def example_report() -> Report:
    """Two subjects, a size of history, a failure and a cut."""
    return Report(
        command="python -m bench.engine --quick",
        facts=Facts(
            cores=2,
            python="3.11.7",
            prefect="3.8.8",
            platform="Linux",
            date="2026-11-21",
            load_before=0.25,
            others=0.5,
        ),
        cuts=["--quick: runs 200 -> 20"],
        figures=[
            Figure(row=Row.FIRST_BYTE, subject="wildloop", values=[0.1, 0.2, 0.9]),
            Figure(row=Row.FIRST_BYTE, subject="flow.serve()", values=[6.0, 7.0]),
            Figure(row=Row.LIST, subject="wildloop", values=[70.0], failures=2, note="2 x 503"),
            Figure(row=Row.FIRST_BYTE, subject="wildloop", recorded=1000, values=[0.2, 0.3, 0.4]),
        ],
        failures=[Failure(subject="flow.serve()", measure="gap", reason="not within 120 s")],
    )
