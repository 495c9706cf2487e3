"""What a prompt says of the research so far: results, evidence, where to look next, alerts."""

from collections.abc import Sequence

from flows.diversity import diversity_section
from flows.evidence import evidence_section
from flows.failures import failure_logs
from flows.models.alert import AlertStatus
from flows.models.evo_sweep import EvoSweepRecord
from flows.models.run import Run
from flows.models.spending import Spending
from flows.prompts import alerts_section
from flows.run_results import results_section
from flows.search.summary import sweep_results, told_by
from flows.session import ResearchSession
from flows.store.alerts import AlertStore


async def research_sections(
    session: ResearchSession,
    kind: str,
    runs: Sequence[Run],
    sweep: EvoSweepRecord | None,
    spent: Spending,
) -> dict[str, str]:
    """The template variables that speak of the research so far, by name.

    Args:
        session: the session.
        kind: `planning`, `iteration` or `reflection`: the evidence is for reflections alone.
        runs: all runs of the session.
        sweep: its evolutionary sweep, if there is one.
        spent: what it has used.
    """
    metric = session.project.metric if session.project else None
    records = session.record.iterations
    store = AlertStore(session.client, session.settings)
    alerts = await store.select(AlertStatus.OPEN, session.id) if runs else []
    sections = {
        "experiment_results": _results(session, runs, sweep),
        "alerts_section": alerts_section(
            alerts,
            {run.id: run.name for run in runs},
            session.spec.autonomy_level,
            session.settings.server_url,
        ),
        "diversity_section": diversity_section(records, runs, metric),
    }
    if kind == "reflection":
        logs = failure_logs(runs)
        sections["evidence_section"] = evidence_section(records, runs, logs, metric, spent)
    return sections


def _results(session: ResearchSession, runs: Sequence[Run], sweep: EvoSweepRecord | None) -> str:
    """What has ended since the agent was last called: runs, and the evolutionary sweep."""
    metric = session.project.metric if session.project else None
    records = session.record.iterations
    since = records[-1].started_at if records else 0.0
    fresh = [
        run
        for run in runs
        if run.status.is_terminal and (run.finished_at or 0) >= since and not told_by(sweep, run)
    ]
    is_sweep_over = sweep is not None and (sweep.finished_at or 0) >= since
    text = results_section(fresh, failure_logs(fresh), metric, runs, records)
    if sweep is None or not is_sweep_over:
        return text
    return f"{sweep_results(sweep)}\n\n{text}" if fresh else sweep_results(sweep)
