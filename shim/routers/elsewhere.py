"""For workers on hosts that do not share the project's folder: code to them, files from them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from wildloop.flows.errors import Conflict
from wildloop.flows.git.bundle import draft_bundle, write_bundle
from wildloop.flows.git.process import GitError
from wildloop.flows.git.snapshot import take_snapshot
from wildloop.flows.models.copy import (
    COMMIT_HEADER,
    SNAPSHOT_HEADER,
    CodeRequest,
    FolderState,
    FolderStep,
)
from wildloop.flows.models.run import Checkout, RunSpec
from wildloop.flows.run.elsewhere import is_elsewhere
from wildloop.flows.store.base import EXPERIMENT
from wildloop.flows.store.run_mapping import readable_spec
from wildloop.shim.deps import Runs, WithSeen
from wildloop.shim.errors import RESPONSES
from wildloop.shim.folder_copy import take_step

PART_BYTES = 256 * 1024

router = APIRouter(prefix="/runs", tags=["runs"], responses=RESPONSES)


@router.post(
    "/{run_id}/code",
    summary="Fetch the code of a run for another clone",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/octet-stream": {}}}},
)
async def get_code(run_id: str, body: CodeRequest, runs: Runs) -> StreamingResponse:
    """A git bundle of the commit that the run is to execute, less what the asker has.

    Where the run names none, it is a snapshot of the project as it is now, as on this host.
    """
    spec = readable_spec(await runs.read_flow_run("run", run_id, EXPERIMENT))
    try:
        code = await _code_of(run_id, spec)
        commit = code.snapshot or code.git_commit
        headers = {COMMIT_HEADER: code.git_commit, SNAPSHOT_HEADER: commit}
        file = await asyncio.to_thread(draft_bundle)
        try:
            if body.bundle:
                await write_bundle(Path(spec.workdir or "."), commit, body.have, file)
        except BaseException:
            file.unlink(missing_ok=True)
            raise
    except GitError as error:
        raise Conflict(f"the code of run '{run_id}' cannot be told: {error}") from error
    return StreamingResponse(_content(file), media_type="application/octet-stream", headers=headers)


async def _code_of(run_id: str, spec: RunSpec) -> Checkout:
    workdir = Path(spec.workdir or ".")
    if is_elsewhere(spec, workdir):
        raise Conflict(f"'{workdir}' on this host is not the folder that run '{run_id}' is of")
    if spec.checkout is None:
        return await take_snapshot(workdir)
    if spec.checkout.patch is not None and spec.checkout.snapshot is None:
        raise Conflict(f"the code of run '{run_id}' is a patch that lies on this host only")
    return spec.checkout


async def _content(file: Path) -> AsyncIterator[bytes]:
    try:
        with file.open("rb") as opened:
            while data := await asyncio.to_thread(opened.read, PART_BYTES):
                yield data
    finally:
        file.unlink(missing_ok=True)


@router.post("/{run_id}/copy", summary="Send files of a run that runs on another host's disk")
async def copy_files(run_id: str, body: FolderStep, runs: Runs, seen: WithSeen) -> FolderState:
    """What a worker sends as the run writes it; `sizes` says how far each file goes now."""
    run = await runs.peek(run_id)
    state = await asyncio.to_thread(take_step, run, body)
    if body.parts:
        seen.changed()
    return state
