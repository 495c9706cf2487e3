"""The account of a session that is under way."""

from collections.abc import Mapping, Sequence

from wildloop.flows import events
from wildloop.flows.evidence.account import Account
from wildloop.flows.evidence.shown import digest_of, shown_of
from wildloop.flows.keep.standing import account_of
from wildloop.flows.metrics.contract import first_contract
from wildloop.flows.models.contract import SessionContract
from wildloop.flows.models.evidence import Shown
from wildloop.flows.models.run import Run
from wildloop.flows.project import ProjectConfig
from wildloop.flows.session.position import Position


def contract_for(position: Position, project: ProjectConfig | None) -> SessionContract:
    """The contract of a session; as it would be fixed now, where it is not yet."""
    return position.record.contract or first_contract(
        project, position.plan_text(), position.spec.goal
    )


def account_for(
    position: Position,
    project: ProjectConfig | None,
    runs: Sequence[Run],
    sweep_texts: Mapping[str, str] | None = None,
    own: Sequence[Run] = (),
) -> Account:
    """The one account of a session's runs, archived ones too.

    Args:
        position: of the session.
        project: wildloop.toml, if there is one.
        runs: all its runs.
        sweep_texts: name and goal of each sweep, by id, which tell ablations.
        own: runs that Wildloop has made for the session.
    """
    record, spec = position.record, position.spec
    return account_of(
        runs,
        position.told.iterations,
        contract_for(position, project),
        own=own,
        alpha=spec.keep_alpha,
        kept=record.keep if spec.keep == "better" else None,
        sweep_texts=sweep_texts,
        known=position.known,
    )


def note_shown(
    position: Position, account: Account, runs: Sequence[Run], own: Sequence[Run]
) -> None:
    """Note in the record what the account shows, as status and lists tell it; tell of a new best.

    Args:
        position: of the session; its record holds the call that has just ended.
        account: of its runs.
        runs: all its runs.
        own: runs that Wildloop has made for it.
    """
    record = position.whole
    calls, verdicts = len(position.told.iterations), len(record.keep.verdicts)
    digest = digest_of([*runs, *own], account.contract, calls, verdicts)
    before, record.shown = record.shown, shown_of(account, digest)
    if is_new_best(before, record.shown):
        _tell_best(position, before, record.shown)


def is_new_best(before: Shown | None, after: Shown) -> bool:
    """Whether another configuration than before is shown to be better than the baseline."""
    if after.best is None or after.gain is None:
        return False
    if before is None or before.best is None or before.gain is None:
        return True
    return before.best.id != after.best.id


def _tell_best(position: Position, before: Shown | None, after: Shown) -> None:
    assert after.best is not None
    known = before.best.id if before is not None and before.best is not None else ""
    events.tell(
        events.SESSION_BEST,
        events.session_resource(position.id),
        f"Wildloop: new best {after.best.metric} {after.best.value:.5g} ({after.best.level.value})",
        f"{after.headline}\n\ngoal: {position.spec.goal}\nsession: {position.id}",
        session_id=position.id,
        labels={"wildloop.level": after.best.level.value, "wildloop.metric": after.best.metric},
        payload=after.model_dump(mode="json", include={"best", "baseline", "headline", "target"}),
        once=f"{known} {after.best.id}",
    )
