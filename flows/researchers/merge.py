"""What a researcher keeps, brought together with what the others have kept meanwhile.

Its own runs have shown the change on the code that it began with. Where the session's branch is
still there, the change goes onto it as it is. Where it has moved, Wildloop runs the merged code
itself, and the gain has to hold against what the branch holds now. Changes are merged in the order
of their decisions; meanwhile their researchers go on.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from prefect.logging import get_run_logger

from wildloop.flows.errors import BudgetSpent, InvalidRequest
from wildloop.flows.evidence.account import Account
from wildloop.flows.evidence.configuration import Configuration
from wildloop.flows.evidence.confirm import Wanted
from wildloop.flows.git import merging, repository
from wildloop.flows.git.restore import project_changes
from wildloop.flows.keep.decide import limit_of
from wildloop.flows.keep.measured import evidence_of
from wildloop.flows.loop.decided import note_verdict
from wildloop.flows.loop.work import Work
from wildloop.flows.models.contract import SessionContract
from wildloop.flows.models.keep import Decided, KeepStatus, Merge
from wildloop.flows.models.run import MOST_PRIORITY, Checkout, Run, RunCreate, RunStatus
from wildloop.flows.researchers.claims import with_task
from wildloop.flows.run.control import RunControl
from wildloop.flows.session.desk import DeskPosition
from wildloop.flows.session.evidence import account_for
from wildloop.flows.spending import hours_end_at
from wildloop.flows.store.base import EXPERIMENT
from wildloop.flows.store.own_runs import evaluate, own_runs, run_again
from wildloop.flows.store.run_mapping import readable_spec

CHECK_SECONDS = 5.0
SHOWN = 5
ALREADY = "the session's branch holds the same code already"
GONE = "its runs cannot be made again on the merged code"


class Merging:
    """Merges the changes of one researcher, while nobody else's are merged.

    Args:
        lead: the session's own work.
        desk: the researcher's.
        position: of the researcher.
    """

    def __init__(self, lead: Work, desk: Work, position: DeskPosition) -> None:
        self._lead, self._desk, self._position = lead, desk, position

    async def __call__(self, decided: Decided) -> None:
        """Merge a change that is to be kept and note it, or leave it until its turn comes.

        Called in the line. It is left where others come first, or its merged code is to be run.
        """
        desk = self._position.desk
        merge = Merge(**dict(decided), begun=desk.onto, task=desk.task)
        is_not_first = any(one.merging for one in self._lead.position.record.desks)
        if is_not_first or await self._is_to_be_run(merge):
            desk.merging.append(merge)
        else:
            await note_verdict(self._desk, merge.verdict)
            return
        get_run_logger().info("%s: is to be kept, and waits to be merged", merge.verdict.label)
        await self._position.save()

    async def finish(self, merge: Merge, control: RunControl) -> None:
        """Merge a change whose turn has come, and note what has become of it.

        Raises:
            StopRequested: by `control`, while the runs of the merged code are waited for.
        """
        async with self._lead.line:
            is_to_be_run = await self._is_to_be_run(merge)
            ids = await self._begin(merge) if is_to_be_run else []
        is_run = bool(ids) and await self._ended(ids, control)
        async with self._lead.line:
            if is_to_be_run:
                why = await self._why_not(merge, ids) if is_run else GONE
                if why is not None:
                    self._refuse(merge, why)
                else:
                    self._stays(merge)
            self._position.desk.merging.remove(merge)
            await note_verdict(self._desk, merge.verdict)

    async def _is_to_be_run(self, merge: Merge) -> bool:
        """Whether the merged code is to be run first; else the decision says what is to be done."""
        verdict, session = merge.verdict, self._lead.position
        if verdict.commit is None:
            self._note_best(merge)
            return False
        message = f"wild: the session's records\n\nSession: {session.id}"
        onto = (await repository.commit_all(session.workdir, message, allow_empty=False)).commit
        if merge.onto is None or await project_changes(session.workdir, merge.onto, onto):
            base = verdict.base or merge.begun
            found = await merging.merge_onto(session.workdir, onto, base, verdict.commit)
            if found.commit is None:
                await self._conflict(merge, found.conflicts)
                return False
            merge.onto, merge.merged = onto, found.commit
        if verdict.is_shown and await self._has_moved(merge, onto):
            return True
        self._stays(merge)
        return False

    async def _has_moved(self, merge: Merge, onto: str) -> bool:
        """Whether the session holds other code, or another best, than the change was shown on."""
        session, against = self._lead.position, merge.verdict.against
        best = session.record.keep.best
        if best is not None and against is not None and best.id != against.id:
            return True
        return bool(await project_changes(session.workdir, merge.begun, onto))

    def _stays(self, merge: Merge) -> None:
        """Have the decision say what goes onto the branch, and the session what is its best."""
        if merge.merged != merge.onto:
            merge.verdict.onto, merge.verdict.merged = merge.onto, merge.merged
        self._note_best(merge)

    def _note_best(self, merge: Merge) -> None:
        verdict, state = merge.verdict, self._lead.position.record.keep
        before, best = state.best, merge.best
        is_same = before is not None and best is not None and before.id == best.id
        if not (verdict.is_shown or before is None or is_same):
            return
        if verdict.is_shown and verdict.candidate is not None:
            best = verdict.candidate
        if best is not None and verdict.merged is not None:
            best = best.model_copy(update={"commit": verdict.merged})
        state.best, state.baseline = best, merge.baseline or state.baseline
        state.metric, state.direction = verdict.metric, verdict.direction

    async def _conflict(self, merge: Merge, names: Sequence[str]) -> None:
        verdict, shown = merge.verdict, ", ".join(names[:SHOWN])
        number = self._position.desk.number
        self._refuse(merge, f"it conflicts with what was kept meanwhile ({shown}): a task is left")
        said = (
            f"Merge by hand what {verdict.label} of researcher {number} has shown: it conflicts "
            f"with what was kept meanwhile in {shown}; see `git show {verdict.tag}`, begun at "
            f"{(verdict.base or '')[:12]} | deliverable: {names[0]} | done-when: the merged code "
            "was run on the seeds of both"
        )
        lead = self._lead.position
        text = with_task(lead.plan_text(), merge.task, said, f"`git show {verdict.tag}`")
        if text != lead.plan_text():
            lead.paths.tasks.write_text(text, encoding="utf-8")
            await lead.save_plan()

    def _refuse(self, merge: Merge, why: str) -> None:
        """A change that its researcher's runs have shown, and that does not stay all the same."""
        verdict = merge.verdict
        get_run_logger().warning("%s: not merged: %s", verdict.label, why)
        verdict.status, verdict.refused = KeepStatus.DISCARD, why
        verdict.why = f"{why}; else it were kept: {verdict.why}"
        if verdict.comparison is not None:
            verdict.comparison = verdict.comparison.model_copy(update={"established": False})

    async def _begin(self, merge: Merge) -> list[str]:
        """Have the merged code run; ids, none where that cannot be."""
        assert merge.verdict.candidate is not None and merge.onto and merge.merged
        # The code is the same after a crash, so that its runs are found again.
        await self._position.save()
        account = await self._account()
        one, best = account.by_id.get(merge.verdict.candidate.id), self._best(account)
        if one is None or best is None:
            return []
        code = Checkout(git_commit=merge.onto, snapshot=merge.merged)
        return await self._run(account, one, best, code)

    async def _why_not(self, merge: Merge, ids: Sequence[str]) -> str | None:
        """Compare the merged code with the session's best; None where it is better."""
        verdict, account = merge.verdict, await self._account()
        merged, best = account.by_run.get(ids[0]), self._best(account)
        if merged is None or best is None or not merged.n:
            return "the merged code gave no value"
        if merged.id == best.id:
            return ALREADY
        keep = self._lead.position.record.keep
        limit = limit_of(keep.tests, account.contract.alpha)
        found = account.compare(merged, best, limit, keep.tests + 1)
        verdict.candidate = evidence_of(merged, verdict.iteration, merge.merged, {})
        verdict.against, verdict.comparison = keep.best, found
        if not found.established:
            return f"its gain does not hold on the merged code: {found.why}"
        if broken := account.breaches(merged):
            return f"the merged code breaks a guard ({'; '.join(broken)})"
        verdict.why = f"on the code merged with what was kept meanwhile: {found.why}"
        return None

    def _best(self, account: Account) -> Configuration | None:
        best = self._lead.position.record.keep.best
        return account.by_id.get(best.id) if best is not None else None

    async def _account(self) -> Account:
        lead, runs = self._lead.position, self._lead.stores.runs
        every = await runs.all(chat_session_id=lead.id)
        own = await own_runs(runs, lead.id, lead.record.contract)
        return account_for(lead, self._lead.project, every, own=own)

    async def _run(
        self, account: Account, one: Configuration, best: Configuration, code: Checkout
    ) -> list[str]:
        """The runs of the merged code, each made once: ids; those of the best it lacks as well."""
        lead, store = self._lead.position, self._lead.stores.runs
        contract = lead.record.contract
        if contract is None or not contract.may_confirm or not lead.record.confirm_seeds:
            return await self._like_the_agents(one, code)
        each = 1 if account.is_exact else contract.confirm_seeds
        seeds = lead.record.confirm_seeds
        made = await run_again(
            store, lead.id, contract, Wanted(one, each), seeds, begun=0, merged=code
        )
        lacking = each - len(best.own_runs)
        if made and lacking > 0 and account.is_confirmable(best):
            made += await run_again(store, lead.id, contract, Wanted(best, lacking), seeds)
        return made

    async def _like_the_agents(self, one: Configuration, code: Checkout) -> list[str]:
        """Where Wildloop makes no runs of its own: the researcher's runs, on the merged code."""
        store, lead, ids = self._lead.stores.runs, self._lead.position, []
        finished = [run for run in one.runs if run.status is RunStatus.FINISHED]
        for run in {str(run.seed or run.parameters.get("seed")): run for run in finished}.values():
            spec = readable_spec(await store.read_flow_run("run", run.id, EXPERIMENT))
            body = RunCreate(
                **spec.model_dump(
                    exclude={"name", "checkout", "priority", "researcher", "sweep_id"}
                ),
                auto_start=True,
                # What comes after it is merged onto this.
                priority=min(spec.priority + 1, MOST_PRIORITY),
                name=f"merged {run.name}"[:200],
                checkout=code,
            )
            body = body.model_copy(update={"parent_run_id": run.id})
            try:
                made = await store.create(body, f"{lead.id}:merged:{code.snapshot}:{run.id}")
            except (BudgetSpent, InvalidRequest) as error:
                get_run_logger().warning("the merged code is not run: %s", error)
                return []
            ids.append(made.id)
        return ids

    async def _ended(self, ids: Sequence[str], control: RunControl) -> bool:
        """Wait until these runs, and their evaluations, have ended; False: the time is over."""
        lead = self._lead.position
        until = hours_end_at(lead.spec.budget, lead.record)
        while True:
            control.activity.clear()
            runs = await self._all_runs(lead.record.contract)
            if all(run.status.is_terminal for run in runs if run.id in ids or _serves(run, ids)):
                return True
            if until is not None and datetime.now(UTC).timestamp() > until:
                return False
            await control.guard(control.something_happens(CHECK_SECONDS))

    async def _all_runs(self, contract: SessionContract | None) -> list[Run]:
        lead, store = self._lead.position, self._lead.stores.runs
        every = await store.all(chat_session_id=lead.id)
        own = await own_runs(store, lead.id, contract)
        if contract is not None and await evaluate(store, lead.id, contract, [*every, *own]):
            own = await own_runs(store, lead.id, contract)
        return [*every, *own]


def _serves(run: Run, ids: Sequence[str]) -> bool:
    return run.parent_run_id in ids
