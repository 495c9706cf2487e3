"""A run in a folder that is not the one it was created in, but a clone of it on this host.

What lies in the clone may be of any age: the run executes the code that the API tells, in a
worktree of its own, as an isolated one does.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from wildloop.blocks.proxies import async_transport_to
from wildloop.flows.errors import WildloopError
from wildloop.flows.files.paths import RunPaths
from wildloop.flows.files.place import is_another
from wildloop.flows.git.bundle import COMMIT, draft_bundle, fetch_commit, has_commit, tips
from wildloop.flows.git.process import GitError
from wildloop.flows.models.copy import COMMIT_HEADER, SNAPSHOT_HEADER, CodeRequest
from wildloop.flows.models.run import Checkout, RunSpec
from wildloop.flows.settings import Settings

REMOTE_VARIABLE = "WILDLOOP_CODE_REMOTE"
ANSWER_SECONDS = 120.0
CONNECT_SECONDS = 10.0


class CannotServe(WildloopError):
    """This host cannot run it, another may; the text says why, and what to do."""


def is_elsewhere(spec: RunSpec, workdir: Path) -> bool:
    """Whether `workdir` on this host is another folder than the one that the run was created in."""
    return is_another(workdir, spec.place)


def code_given(paths: RunPaths) -> Checkout | None:
    """The code that a run was given when it was begun here; None if it was given none."""
    try:
        return Checkout.model_validate_json(paths.code.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None


async def bring_code(spec: RunSpec, workdir: Path, run_id: str, settings: Settings) -> Checkout:
    """Have the commit that a run is to execute in the clone at `workdir`.

    It comes as a bundle from the API, or from the remote that WILDLOOP_CODE_REMOTE names.

    Raises:
        CannotServe: the clone is none, or the code is not to be had.
    """
    try:
        checkout = spec.checkout
        if (
            checkout is not None
            and checkout.snapshot
            and await has_commit(workdir, checkout.snapshot)
        ):
            return checkout
        have = await tips(workdir)
    except GitError as error:
        raise CannotServe(
            f"'{workdir}' is not the folder that the run is of, nor a clone of it: share the "
            f"folder, or clone it there ({error})"
        ) from error
    remote = os.environ.get(REMOTE_VARIABLE)
    bundle = await asyncio.to_thread(draft_bundle)
    try:
        checkout = await _ask(settings, run_id, CodeRequest(have=have, bundle=not remote), bundle)
        commit = checkout.snapshot or checkout.git_commit
        if not await has_commit(workdir, commit):
            source = remote.replace("{workdir}", str(workdir)) if remote else str(bundle)
            await fetch_commit(workdir, source, commit)
        return checkout
    except GitError as error:
        raise CannotServe(f"the run's code did not come: {error}") from error
    finally:
        bundle.unlink(missing_ok=True)


async def _ask(settings: Settings, run_id: str, body: CodeRequest, bundle: Path) -> Checkout:
    path, given = f"/runs/{run_id}/code", body.model_dump(mode="json")
    try:
        async with api(settings) as http, http.stream("POST", path, json=given) as answer:
            if answer.is_error:
                await answer.aread()
                raise CannotServe(_refusal(settings, answer))
            with bundle.open("wb") as file:
                async for data in answer.aiter_bytes():
                    file.write(data)
            names = [answer.headers.get(one, "") for one in (COMMIT_HEADER, SNAPSHOT_HEADER)]
    except httpx.HTTPError as error:
        raise CannotServe(
            f"the API at {settings.server_url} does not answer ({type(error).__name__}), and the "
            "run's code comes from there: set WILDLOOP_SERVER_URL for the worker of this host"
        ) from error
    if not all(COMMIT.fullmatch(name) for name in names):
        raise CannotServe(f"{settings.server_url} is no API of Wildloop's, or an older one")
    return Checkout(git_commit=names[0], snapshot=names[1])


def _refusal(settings: Settings, answer: httpx.Response) -> str:
    if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        return (
            f"the API at {settings.server_url} refuses this host's token: set "
            "WILDLOOP_AUTH_TOKEN for its worker"
        )
    return f"the API at {settings.server_url} has no code for the run: {answer.text[:500]}"


@asynccontextmanager
async def api(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the API, as the user."""
    token = settings.token.get_secret_value() if settings.token else None
    async with httpx.AsyncClient(
        base_url=settings.server_url,
        headers={"X-Auth-Token": token} if token else {},
        timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
        transport=async_transport_to(settings.server_url, ours=True),
    ) as http:
        yield http
