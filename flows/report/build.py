"""A report as files: Markdown, page, table and plots."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wildloop.flows.models.evo_sweep import EvoSweepRecord
from wildloop.flows.report.document import document
from wildloop.flows.report.facts import ReportFacts
from wildloop.flows.report.page import page
from wildloop.flows.report.table_file import runs_csv
from wildloop.flows.text.redaction import redact

TITLE_LENGTH = 80


@dataclass(frozen=True)
class Report:
    """A report, without secrets."""

    markdown: str
    html: str
    csv: str


def build(facts: ReportFacts, folder: Path) -> Report:
    """Write the report of these facts; its plots are drawn into `folder`/plots.

    Takes seconds: call it in a thread.
    """
    # The worker, and the Prefect server that loads it, do without matplotlib until now.
    from wildloop.flows.report.plots import draw_plots

    (folder / "plots").mkdir(parents=True, exist_ok=True)
    drawn = draw_plots(folder / "plots", facts)
    pictures = {f"plots/{path.name}": path for path in drawn}
    sweeps = _sweep_pictures(facts.evo_sweeps, folder)
    text = redact(document(facts, list(pictures), list(sweeps)))
    goal = " ".join(facts.session.goal.split())[:TITLE_LENGTH]
    return Report(
        markdown=text,
        html=page(text, redact(f"{goal} - Wildloop report"), pictures | sweeps),
        csv=redact(runs_csv(facts)),
    )


def _sweep_pictures(records: Sequence[EvoSweepRecord], folder: Path) -> dict[str, Path]:
    """The pictures of the sweeps, by their paths from the report; those under way are drawn now."""
    found: dict[str, Path] = {}
    for record in records:
        paths = [Path(path) for path in record.plots if Path(path).is_file()]
        if not paths and record.state.trials:
            from wildloop.flows.search.plots import draw_sweep_plots

            where = folder / "evo" / record.label
            paths = draw_sweep_plots(where, record.state.spec, record.state.trials)
        found |= {f"evo/{record.label}/{path.name}": path for path in paths}
    return found
