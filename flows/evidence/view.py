"""The account as one document, which every text is rendered from."""

from collections.abc import Mapping

from wildloop.flows.evidence import texts
from wildloop.flows.evidence.ablation import ablation
from wildloop.flows.evidence.account import KEEP_RULE, RULE, Account
from wildloop.flows.evidence.claims import claims, proofs
from wildloop.flows.evidence.configuration import Configuration
from wildloop.flows.evidence.lessons import failing_regions
from wildloop.flows.evidence.settings import seed_of
from wildloop.flows.evidence.values import value_of
from wildloop.flows.evidence.verdict import verdict
from wildloop.flows.models.evidence import AccountView, ConfigurationView, Level, RunNote
from wildloop.flows.models.memory import Shown
from wildloop.flows.models.run import Run
from wildloop.flows.text.redaction import redact


def view_of(
    account: Account,
    session_id: str,
    blobs: Mapping[str, Mapping[str, str]] | None = None,
) -> AccountView:
    """The whole account.

    Args:
        account: of the session.
        session_id: of the session.
        blobs: the files of each configuration with their git blobs, by its id.
    """
    metric, target = account.contract.metric, account.contract.target
    ablated = ablation(account)
    return AccountView(
        session_id=session_id,
        metric=metric.name if metric else None,
        direction=account.direction,
        alpha=account.contract.alpha,
        target=target.value if target else None,
        target_verdict=account.target_verdict,
        target_text=texts.target_line(account),
        is_deterministic=account.is_exact,
        baseline=account.baseline.id if account.baseline else None,
        best=account.best.id if account.best else None,
        verdict=verdict(account),
        headline=texts.headline(account),
        level=account.level,
        rule=RULE if account.branch is None else KEEP_RULE,
        ties=[one.id for one in account.ties if len(account.ties) > 1],
        candidates=[one.id for one in account.candidates],
        configurations=[
            _configuration(account, one, dict((blobs or {}).get(one.id, {})))
            for one in account.configurations
        ],
        not_compared=[_run(account, run) for run in account.unknown],
        ablation=ablated,
        findings=established(account),
    )


def established(account: Account) -> list[str]:
    """What the session has established, a sentence each.

    The best, what its parts are worth, and where runs fail.
    """
    ablated = ablation(account)
    rows = ablated.rows if ablated else []
    said = [row.text for row in rows if row.verdict.startswith(("needed", "not needed"))]
    regions = [one.text for one in failing_regions(account)]
    return [*texts.findings(account), *said, *regions]


def lessons(account: Account) -> dict[str, Shown]:
    """What is established, each with its level of evidence, its claim and its runs."""
    best, said, shown_by = texts.findings(account), claims(account), proofs(account)
    return {
        text: Shown(
            level=account.level.value if text in best else Level.CLAIMED.value,
            claim=said.get(text),
            runs=shown_by.get(text, []),
        )
        for text in established(account)
    }


def _configuration(
    account: Account, one: Configuration, blobs: dict[str, str]
) -> ConfigurationView:
    first = one.runs[0]
    return ConfigurationView(
        id=one.id,
        label=one.name,
        program=one.program,
        settings=one.settings,
        command=redact(first.command),
        code=one.code,
        code_name=one.code_name,
        commit=first.git_commit,
        blobs=blobs,
        runs=[_run(account, run) for run in one.runs],
        estimate=one.counted,
        confirming=one.confirming,
        further=account.further.get(one.id),
        missing_seeds=one.missing_seeds,
        not_reproducible=one.not_reproducible,
        level=one.level,
        doubts=one.doubts,
        standing=account.standing(one),
        comparison=account.comparisons.get(one.id),
        seeds_to_decide=account.seeds_to_decide(one),
        changes=one.changes_from(account.baseline) if account.baseline else 0,
        withdrawn=one.withdrawn,
    )


def _run(account: Account, run: Run) -> RunNote:
    metric, mine = account.contract.metric, account.by_run.get(run.id)
    seed = seed_of(run)
    note = run.code_note
    if metric is not None and metric.name in run.diverged:
        note = f"diverged: {metric.name} ended as NaN or infinite"
    return RunNote(
        run_id=run.id,
        name=run.name,
        seed=seed,
        status=run.status.value,
        value=value_of(run, metric.name) if metric else None,
        level=account.level_of_run(run),
        chose=mine is not None and (seed or f"run {run.id}") in mine.choosing,
        note=note,
    )
