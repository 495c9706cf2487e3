"""The work pool, its queues, and the deployments: what Wildloop needs on a Prefect server."""

from contextlib import suppress
from typing import Any

from prefect.blocks.core import Block
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import DeploymentUpdate, WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.objects import WorkPool
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.schedules import Cron
from prefect.types.entrypoint import EntrypointType
from tzlocal import get_localzone_name

from wildloop.blocks.agents.registry import AGENT_BLOCKS
from wildloop.blocks.launchers.kubernetes_compute import KubernetesCompute
from wildloop.blocks.launchers.slurm_compute import SlurmCompute
from wildloop.flows.experiment import experiment
from wildloop.flows.news.digest import DIGEST_TAG, digest
from wildloop.flows.research_loop import research_loop
from wildloop.flows.settings import CPU_QUEUE, LOOPS_QUEUE, POOL_NAME, RUNS_QUEUE
from wildloop.flows.store.base import DEPLOYMENT, EXPERIMENT, MORNING, NIGHTLY, RESEARCH_LOOP
from wildloop.flows.worker.variables import completed

BLOCKS: tuple[type[Block], ...] = (*AGENT_BLOCKS, SlurmCompute, KubernetesCompute)
REGISTER_TRIES = 6
NIGHTLY_CRON = "0 22 * * *"
MORNING_CRON = "0 8 * * *"
QUEUES = {
    LOOPS_QUEUE: "Research sessions.",
    RUNS_QUEUE: "Experiments: its limit is the number of GPU slots.",
    CPU_QUEUE: "Experiments that asked for no GPU: its limit goes by the CPU.",
}


async def deployments() -> list[RunnerDeployment]:
    """Wildloop's deployments, as prefect.yaml declares them too."""
    common: dict[str, Any] = {
        "work_pool_name": POOL_NAME,
        "entrypoint_type": EntrypointType.MODULE_PATH,
    }
    return [
        await experiment.ato_deployment(
            name=DEPLOYMENT,
            work_queue_name=RUNS_QUEUE,
            description="One tracked experiment: a command, its log, metrics and exit code.",
            tags=[f"wildloop:{EXPERIMENT}"],
            # Checked by our own models at the edge; the server's JSON-schema check costs more than
            # a quarter of a creation, and there are thousands of them.
            enforce_parameter_schema=False,
            **common,
        ),
        await research_loop.ato_deployment(
            name=DEPLOYMENT,
            work_queue_name=LOOPS_QUEUE,
            description="A research session: plan, experiment, reflect, report.",
            tags=[f"wildloop:{RESEARCH_LOOP}"],
            **common,
        ),
        await research_loop.ato_deployment(
            name=NIGHTLY,
            work_queue_name=LOOPS_QUEUE,
            description="A research session every night, as `wildloop nightly` or a schedule of "
            "the UI says.",
            tags=[f"wildloop:{RESEARCH_LOOP}", "nightly"],
            # For whoever switches it on in the UI: made once, and then the user's.
            schedules=[
                Cron(
                    NIGHTLY_CRON,
                    active=False,
                    slug=NIGHTLY,
                    timezone=get_localzone_name(),
                )
            ],
            parameters={"goal": "Improve the primary metric of wildloop.toml", "workdir": "."},
            **common,
        ),
        await digest.ato_deployment(
            name=MORNING,
            work_queue_name=LOOPS_QUEUE,
            description="What last night's sessions have come to, to the channels of "
            "`wildloop notify`.",
            tags=[DIGEST_TAG],
            schedules=[
                Cron(MORNING_CRON, active=False, slug=MORNING, timezone=get_localzone_name())
            ],
            **common,
        ),
    ]


async def ensure_pool(client: PrefectClient) -> WorkPool:
    """The work pool and its queues, created where they are missing."""
    from wildloop.flows.worker import WildloopWorker

    try:
        pool = await client.read_work_pool(POOL_NAME)
    except ObjectNotFound:
        try:
            pool = await client.create_work_pool(
                WorkPoolCreate(
                    name=POOL_NAME,
                    type=WildloopWorker.type,
                    description=WildloopWorker.get_description(),
                    base_job_template=WildloopWorker.get_default_base_job_template(),
                )
            )
        except ObjectAlreadyExists:
            pool = await client.read_work_pool(POOL_NAME)
    if (template := completed(pool.base_job_template or {})) is not None:
        await client.update_work_pool(POOL_NAME, WorkPoolUpdate(base_job_template=template))
    for name, description in QUEUES.items():
        try:
            await client.read_work_queue_by_name(name, POOL_NAME)
        except ObjectNotFound:
            # Another worker may have made it meanwhile.
            with suppress(ObjectAlreadyExists):
                await client.create_work_queue(
                    name, description=description, work_pool_name=POOL_NAME
                )
    return pool


async def register_blocks() -> None:
    """Make the types of our blocks known to the server, so that the UI has forms for them."""
    for block in BLOCKS:
        await _register(block)


async def _register(block: type[Block]) -> None:
    # Prefect looks first and makes it then, the type, its schema and those within: of several
    # workers at once, one may find each of them there.
    for _ in range(REGISTER_TRIES - 1):
        with suppress(ObjectAlreadyExists):
            await block.register_type_and_schema()
            return
    await block.register_type_and_schema()


async def ensure_deployments(client: PrefectClient) -> list[str]:
    """Register the deployments that are missing; those that exist stay as the user has them."""
    await ensure_pool(client)
    await register_blocks()
    registered = []
    for deployment in await deployments():
        name = f"{deployment.flow_name}/{deployment.name}"
        try:
            await client.read_deployment_by_name(name)
        except ObjectNotFound:
            await deployment.aapply()
            registered.append(name)
    return registered


async def deploy_all(client: PrefectClient) -> list[str]:
    """Register all deployments anew, after an upgrade as well; return their names.

    What the user has set stays: parameters, schedules, limits, and whether they are switched on.
    """
    await ensure_pool(client)
    await register_blocks()
    names = []
    for deployment in await deployments():
        name = f"{deployment.flow_name}/{deployment.name}"
        try:
            there = await client.read_deployment_by_name(name)
        except ObjectNotFound:
            await deployment.aapply()
        else:
            await client.update_deployment(there.id, _ours(deployment))
        names.append(name)
    return names


def _ours(deployment: RunnerDeployment) -> DeploymentUpdate:
    """Of a deployment that is there already, what is ours to say."""
    return DeploymentUpdate(
        description=deployment.description,
        tags=deployment.tags,
        entrypoint=deployment.entrypoint,
        version=deployment.version,
        parameter_openapi_schema=deployment._parameter_openapi_schema.model_dump(),
        work_pool_name=deployment.work_pool_name,
        work_queue_name=deployment.work_queue_name,
    )
