"""Alerts: an artifact each, on the page of the run that they are about.

Who answers first is settled by Prefect's server: an answer is a flow run input of the run, and
its key can be taken once.
"""

import asyncio
import json
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4, uuid5

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import ArtifactCollection
from prefect.events.schemas.events import Event
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

from wildloop.flows import events
from wildloop.flows.errors import Conflict, InvalidRequest, InvalidTransition, NotFound
from wildloop.flows.models.alert import (
    APPROVE,
    REJECT,
    Action,
    Alert,
    AlertCreate,
    AlertKind,
    AlertStatus,
    Finding,
    Severity,
)
from wildloop.flows.models.run import Run, RunRerun
from wildloop.flows.settings import Settings
from wildloop.flows.store import artifacts
from wildloop.flows.store.alert_texts import alert_markdown, alert_text
from wildloop.flows.store.base import Store, parse_id
from wildloop.flows.store.budget import BudgetGate
from wildloop.flows.store.runs import RunStore

logger = logging.getLogger("wildloop.alerts")

PREFIX = "alert-"
ANSWER_KEY = "alert-answer-"
ALERTS_RESOURCE = "wildloop.alerts"
READ_LIMIT = 5000
IDS_PER_REQUEST = 200
MAX_OPEN = 50
# An answer that is still under way after this long was given by a process that has died.
STALE_SECONDS = 60.0
WAIT_LOOK_SECONDS = 1.0


class AlertStore(Store):
    """Raise, read and answer alerts.

    Args:
        client, settings, session_id: as of `Store`.
        gate: as of `RunStore`.
    """

    def __init__(
        self,
        client: PrefectClient,
        settings: Settings,
        gate: BudgetGate | None = None,
        session_id: str | None = None,
    ) -> None:
        super().__init__(client, settings, session_id=session_id)
        self.runs = RunStore(client, settings, self.deployment_ids, gate, session_id)

    async def create(self, run_id: str, body: AlertCreate) -> Alert:
        """Raise a custom alert; the same open message of a run is one alert, however often sent.

        Raises:
            NotFound: there is no such run.
            Conflict: the run has too many open alerts.
        """
        run = await self.runs.get(run_id)
        opened = [one for one in await self.of_runs([run.id]) if one.status is AlertStatus.OPEN]
        for other in opened:
            if other.kind is AlertKind.CUSTOM and other.message == body.message:
                return other
        if len(opened) >= MAX_OPEN:
            raise Conflict(
                f"run '{run_id}' has {len(opened)} open alerts: respond to some of them first"
            )
        return await self._raise(
            Alert(
                id=str(uuid4()),
                run_id=run.id,
                session_id=run.chat_session_id,
                kind=AlertKind.CUSTOM,
                severity=body.severity,
                message=body.message,
                choices=list(body.actions),
                actions=body.actions,
                created_at=_now(),
            )
        )

    async def report(self, run_id: str, session_id: str | None, finding: Finding) -> Alert | None:
        """Raise an alert of what Wildloop has found.

        None if this occurrence was told before, or another alert of its kind is still open.
        """
        alert_id = str(uuid5(parse_id("run", run_id), finding.key))
        for other in await self.of_runs([run_id]):
            still = other.kind is finding.kind and other.status is AlertStatus.OPEN
            if still or other.id == alert_id:
                return None
        return await self._raise(
            Alert(
                id=alert_id,
                run_id=run_id,
                session_id=session_id,
                kind=finding.kind,
                severity=finding.severity,
                message=finding.message,
                choices=list(finding.choices),
                created_at=_now(),
            )
        )

    async def ask(self, session_id: str, key: str, message: str) -> Alert:
        """A session's question to its user, raised once: the same key finds it as it stands."""
        alert_id = str(uuid5(parse_id("session", session_id), f"approval:{key}"))
        try:
            return await self.get(alert_id)
        except NotFound:
            pass
        return await self._raise(
            Alert(
                id=alert_id,
                run_id=session_id,
                session_id=session_id,
                kind=AlertKind.APPROVAL,
                severity=Severity.WARNING,
                message=message,
                choices=[APPROVE, REJECT],
                created_at=_now(),
            )
        )

    async def withdraw_questions(self, session_id: str) -> None:
        """Close what a session that ends has asked and nobody has answered."""
        for alert in await self.of_runs([session_id]):
            if alert.kind is AlertKind.APPROVAL and alert.status is AlertStatus.OPEN:
                closed = {"status": AlertStatus.RESOLVED, "resolved_at": _now()}
                told = {"effect": "the session ended before anybody answered"}
                await self._write(alert.model_copy(update=closed | told))

    async def get(self, alert_id: str) -> Alert:
        """Read one alert.

        Raises:
            NotFound: there is no such alert.
        """
        key = f"{PREFIX}{parse_id('alert', alert_id)}"
        alerts = _alerts(await artifacts.latest(self.client, key))
        if not alerts:
            raise NotFound("alert", alert_id)
        return alerts[0]

    async def select(
        self,
        status: AlertStatus | None = None,
        session_id: str | None = None,
        limit: int = 100,
    ) -> list[Alert]:
        """The alerts of all runs, newest first, among the 5,000 last changed."""
        found = _alerts(await artifacts.latest_by_prefix(self.client, PREFIX, READ_LIMIT))
        wanted = (one for one in found if session_id in (None, one.session_id))
        return [one for one in wanted if status in (None, one.status)][:limit]

    async def of_runs(self, run_ids: Sequence[str]) -> list[Alert]:
        """Every alert of these runs, newest first."""
        found: list[Alert] = []
        for start in range(0, len(run_ids), IDS_PER_REQUEST):
            ids = [parse_id("run", run_id) for run_id in run_ids[start : start + IDS_PER_REQUEST]]
            found += _alerts(await artifacts.latest_by_prefix(self.client, PREFIX, READ_LIMIT, ids))
        return _newest_first(found)

    async def respond(self, alert_id: str, choice: str, reason: str | None = None) -> Alert:
        """Answer an alert, and do to its run what the choice does; whoever waits is told.

        Args:
            alert_id: of the alert.
            choice: one of its choices, in any case.
            reason: what is said with it.

        Raises:
            NotFound: there is no such alert, or its run is gone.
            InvalidRequest: the choice is none of the alert's.
            Conflict: it was answered before.
            BudgetSpent: `rerun`, and its session may create no more runs; the run is not stopped.
        """
        alert = await self.get(alert_id)
        if alert.status is AlertStatus.RESOLVED:
            raise _answered(alert_id, alert.choice)
        choice = next((one for one in alert.choices if one == choice), None) or next(
            (one for one in alert.choices if one.casefold() == choice.casefold()), choice
        )
        if choice not in alert.choices:
            raise InvalidRequest(
                f"choice: '{choice}' is none of alert '{alert_id}': use one of "
                + ", ".join(f"'{word}'" for word in alert.choices)
            )
        await self._claim(alert, choice)
        try:
            done = await self._perform(alert, choice)
        except Exception:
            await self._unclaim(alert)
            raise
        resolved = done.model_copy(
            update={
                "status": AlertStatus.RESOLVED,
                "choice": choice,
                "reason": reason,
                "resolved_at": _now(),
            }
        )
        await self._write(resolved)
        self._tell_answer(resolved)
        if alert.is_of_session or alert.kind is AlertKind.PREFECT_AWAY:
            # No run waits for a file.
            return resolved
        run = await self.runs.get(alert.run_id)
        try:
            await asyncio.to_thread(write_response, Path(run.run_dir), resolved)
        except OSError as error:
            # The answer is given all the same, and `wait` tells it.
            logger.warning("the answer of alert %s is in no file: %s", alert.id, error)
        return resolved

    async def wait(self, alert_id: str, seconds: float) -> Alert:
        """The alert once it is answered, or as it stands after so many seconds.

        Raises:
            NotFound: there is no such alert.
        """
        deadline = time.monotonic() + seconds
        while True:
            alert = await self.get(alert_id)
            left = deadline - time.monotonic()
            if alert.status is AlertStatus.RESOLVED or left <= 0:
                return alert
            await asyncio.sleep(min(WAIT_LOOK_SECONDS, left))

    async def _perform(self, alert: Alert, choice: str) -> Alert:
        action = alert.actions[choice]
        if action is Action.NONE:
            return alert
        if action is Action.STOP:
            return alert.model_copy(update={"effect": await _stop(self.runs, alert.run_id)})
        # Repeated first: a run that may not be repeated is not to be lost either.
        body, key = RunRerun(origin_alert_id=alert.id), f"alert:{alert.id}"
        repeated: Run = await self.runs.rerun(alert.run_id, body, key)
        effect = await _stop(self.runs, alert.run_id)
        return alert.model_copy(
            update={"effect": f"{effect}; repeated as {repeated.id}", "rerun_id": repeated.id}
        )

    async def _claim(self, alert: Alert, choice: str) -> None:
        """Be the one who answers.

        Raises:
            Conflict: somebody else is.
        """
        value = json.dumps({"choice": choice, "time": _now()})
        flow_run_id, key = UUID(alert.run_id), ANSWER_KEY + alert.id
        try:
            await self.client.create_flow_run_input(flow_run_id, key=key, value=value)
        except PrefectHTTPStatusError as error:
            if error.response.status_code == 404:
                raise NotFound("run", alert.run_id) from error
            if error.response.status_code != 409:
                raise
            given = json.loads(await self.client.read_flow_run_input(flow_run_id, key))
            current = await self.get(alert.id)
            if current.status is AlertStatus.RESOLVED or _now() - given["time"] < STALE_SECONDS:
                raise _answered(alert.id, given["choice"]) from error
            await self._unclaim(alert)
            await self._claim(alert, choice)

    async def _unclaim(self, alert: Alert) -> None:
        try:
            await self.client.delete_flow_run_input(UUID(alert.run_id), ANSWER_KEY + alert.id)
        except ObjectNotFound:
            return

    async def _raise(self, alert: Alert) -> Alert:
        await self._write(alert)
        events.tell(
            events.ALERT_RAISED,
            ALERTS_RESOURCE,
            f"Wildloop: {alert.severity.value} alert, {alert.kind.value}",
            alert_text(alert),
            session_id=alert.session_id,
            labels={
                "wildloop.alert.id": alert.id,
                "wildloop.alert.kind": alert.kind.value,
                "wildloop.alert.severity": alert.severity.value,
                "wildloop.run.id": alert.run_id,
            },
            payload={"message": alert.message, "choices": alert.choices},
        )
        return alert

    def _tell_answer(self, alert: Alert) -> None:
        events.tell(
            events.ALERT_ANSWERED,
            ALERTS_RESOURCE,
            f"Wildloop: {alert.kind.value} alert answered: {alert.choice}",
            alert_text(alert),
            session_id=alert.session_id,
            labels={"wildloop.alert.id": alert.id, "wildloop.alert.kind": alert.kind.value},
            payload={"choice": alert.choice, "reason": alert.reason},
        )

    async def _write(self, alert: Alert) -> None:
        await artifacts.write(
            self.client,
            PREFIX + alert.id,
            text=alert_markdown(alert),
            description=f"{alert.severity.value}: {alert.kind.value} ({alert.status.value})",
            record=alert.model_dump_json(),
            flow_run_id=UUID(alert.run_id),
        )


def write_response(run_dir: Path, alert: Alert) -> None:
    """Leave the answer where the process that raised the alert may wait for it.

    The file `alerts/<id>.response` of the run's folder; nothing where that is not on this machine.

    Raises:
        OSError: it cannot be written.
    """
    if alert.choice is None or not run_dir.is_dir():
        return
    folder = run_dir / "alerts"
    if folder.is_symlink():
        raise OSError(f"{folder} is a link: the command has put it there")
    folder.mkdir(exist_ok=True)
    temporary = folder / f".{alert.id}.tmp"
    temporary.write_text(alert.choice + "\n", encoding="utf-8")
    temporary.replace(folder / f"{alert.id}.response")


def alerted_session(event: Event) -> UUID | None:
    """The session that an alert's event concerns; None if it concerns none."""
    if event.event not in (events.ALERT_RAISED, events.ALERT_ANSWERED):
        return None
    try:
        return UUID(event.resource.get("wildloop.session.id", ""))
    except ValueError:
        return None


async def _stop(runs: RunStore, run_id: str) -> str:
    if not (await runs.get(run_id)).status.is_terminal:
        try:
            await runs.stop(run_id)
        except InvalidTransition:
            return "the run had just ended"
        return "the run is stopped"
    return "the run had ended"


def _answered(alert_id: str, choice: str | None) -> Conflict:
    if choice is None:
        return Conflict(f"alert '{alert_id}' is closed: its session has ended")
    return Conflict(f"alert '{alert_id}' was answered with '{choice}': it takes one answer only")


def _alerts(found: Mapping[str, ArtifactCollection]) -> list[Alert]:
    alerts = []
    for artifact in found.values():
        try:
            record = artifacts.record_of(artifact)
        except KeyError:
            # Anybody may write an artifact whose key begins like ours.
            continue
        alerts.append(Alert.model_validate_json(record))
    return _newest_first(alerts)


def _newest_first(alerts: Iterable[Alert]) -> list[Alert]:
    return sorted(alerts, key=lambda alert: alert.created_at, reverse=True)


def _now() -> float:
    return datetime.now(UTC).timestamp()
