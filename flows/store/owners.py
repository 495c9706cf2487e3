"""The session that a run belongs to, and what the run takes from it: folder and code."""

import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound

from wildloop.flows.errors import Conflict, InvalidRequest
from wildloop.flows.files.paths import desk_folder
from wildloop.flows.git.place import top_of
from wildloop.flows.git.process import GitError
from wildloop.flows.git.snapshot import take_snapshot
from wildloop.flows.models.researcher_name import session_in
from wildloop.flows.models.run import Checkout
from wildloop.flows.store.base import LOOP_TAG
from wildloop.flows.store.graph import Anchors
from wildloop.flows.store.session_mapping import project_of

_BEGINNING = re.compile(r"[0-9a-fA-F]{8}[0-9a-fA-F-]{0,27}")
# Of the latest sessions; older ones are named in full.
LOOKED_AT = 200


async def find_session(client: PrefectClient, name: str) -> FlowRun | None:
    """The session that is meant, by every door; None if there is none.

    Args:
        client: Prefect's.
        name: the session's own id, the id that another front end has given it (of several sessions
            the latest), or the beginning of its own id, from eight characters on. The name of one
            of its researchers means the session.

    Raises:
        Conflict: several sessions' ids begin so.
    """
    name = session_in(name)
    with suppress(ValueError, ObjectNotFound):
        flow_run = await client.read_flow_run(UUID(name))
        if LOOP_TAG in flow_run.tags:
            return flow_run
    found = await _latest(client, f"chat:{name}", 1)
    if found or not _BEGINNING.fullmatch(name):
        return found[0] if found else None
    return _by_beginning(name, await _latest(client))


def the_one_meant(
    name: str,
    by_id: Callable[[str], FlowRun | None],
    latest: Callable[[str | None, int], list[FlowRun]],
) -> FlowRun | None:
    """As `find_session`, among sessions that are known: by their own ids; the latest with a tag."""
    name = session_in(name)
    with suppress(ValueError):
        if (found := by_id(str(UUID(name)))) is not None:
            return found
    if (called := latest(f"chat:{name}", 1)) or not _BEGINNING.fullmatch(name):
        return called[0] if called else None
    return _by_beginning(name, latest(None, LOOKED_AT))


def _by_beginning(name: str, among: Sequence[FlowRun]) -> FlowRun | None:
    named = [one for one in among if str(one.id).startswith(name.lower())]
    if len(named) > 1:
        raise Conflict(f"several sessions' ids begin with '{name}': give more of it")
    return named[0] if named else None


Find = Callable[[PrefectClient, str], Awaitable[FlowRun | None]]


class KnownSessions:
    """Sessions by their own ids: what runs take from one never changes, so it is read once.

    Args:
        anchors: what their runs hang on to, as far as it is known to more than this one.
        find: finds the session that is meant, and tells it as `find_session` does.
    """

    def __init__(self, anchors: Anchors | None = None, find: Find = find_session) -> None:
        self._known: dict[str, FlowRun] = {}
        self._find = find
        self.anchors = anchors or Anchors()

    async def find(self, client: PrefectClient, name: str) -> FlowRun | None:
        """As `find_session`; the state of what is known is as it was when it was read."""
        name = session_in(name)
        if name not in self._known:
            found = await self._find(client, name)
            if found is None or str(found.id) != name:
                # What another name stands for may change.
                return found
            self._known[name] = found
        return self._known[name]


async def session_id_of(client: PrefectClient, name: str) -> str:
    """The id of the session that is meant, as it is kept; the name itself where there is none."""
    session = await find_session(client, name)
    return str(session.id) if session is not None else name


def front_end_id(session: FlowRun | None) -> str | None:
    """The id that another front end has given a session, if one has."""
    given = session.parameters.get("chat_session_id") if session is not None else None
    return str(given) if given else None


async def _latest(
    client: PrefectClient, tag: str | None = None, limit: int = LOOKED_AT
) -> list[FlowRun]:
    tags = FlowRunFilterTags(all_=[LOOP_TAG, *([tag] if tag is not None else [])])
    return await client.read_flow_runs(
        flow_run_filter=FlowRunFilter(tags=tags),
        sort=FlowRunSort.EXPECTED_START_TIME_DESC,
        limit=limit,
    )


def folder_of(session: FlowRun | None, default: Path) -> str:
    """Where a run is executed that names no folder: in its session's project."""
    return str((session.parameters.get("workdir") if session else None) or default)


def compute_default(workdir: str) -> dict[str, Any]:
    """What runs of a project ask for of the compute where they do not say: its [compute]."""
    project = project_of(workdir)
    return project.compute.model_dump(exclude_none=True) if project is not None else {}


async def place_of(
    session: FlowRun | None, number: int | None, workdir: str | None, default: Path
) -> tuple[str, str]:
    """Where a run is executed, and where its code is taken from.

    They differ for the runs of one of several researchers: these are the project's, with the code
    of the researcher's worktree.

    Args:
        session: that it belongs to.
        number: of its researcher; None where the session has only one.
        workdir: the folder that it names, if it names one.
        default: the folder of a run without session.
    """
    project = folder_of(session, default)
    if session is None or number is None:
        return workdir or project, workdir or project
    desk = desk_folder(Path(project), str(session.id), number)
    try:
        root = (await top_of(Path(project))).resolve()
    except GitError:
        return workdir or project, workdir or project
    for top in (desk.resolve(), root):
        inner = Path(workdir or project).resolve()
        if inner.is_relative_to(top):
            inside = inner.relative_to(top)
            return str(root / inside), str(desk / inside)
    return workdir or project, workdir or project


async def snapshot_for(
    session: FlowRun | None, workdir: str, number: int | None = None
) -> Checkout | None:
    """A snapshot of the code in `workdir` as it is now, if the session wants one; else None.

    Args:
        session: that it is for.
        workdir: where the code lies.
        number: of the researcher whose it is, where there are several: their runs have one always.

    Raises:
        InvalidRequest: the code cannot be put into a snapshot.
    """
    if session is None:
        return None
    if number is None and session.parameters.get("isolation") != "snapshot":
        return None
    try:
        return await take_snapshot(Path(workdir))
    except GitError as error:
        raise InvalidRequest(
            f"workdir: the code in '{workdir}' cannot be put into a snapshot, as the session asks "
            f"for (isolation: snapshot): {error}"
        ) from error
