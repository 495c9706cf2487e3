"""What the Prefect page of a run tells once it has ended: one artifact of a few kilobytes."""

import asyncio
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.logging import get_run_logger

from wildloop.flows.evidence.levels import doubts, level_of
from wildloop.flows.files.manifest import Manifest
from wildloop.flows.files.paths import RunPaths
from wildloop.flows.metrics import downsample
from wildloop.flows.metrics.contract import contract_of, first_contract
from wildloop.flows.models.evidence import Level
from wildloop.flows.models.metrics import RunMetrics
from wildloop.flows.models.own_runs import session_behind
from wildloop.flows.models.run import MetricPoint, Run, RunFacts, RunSpec, RunStatus
from wildloop.flows.project import ProjectConfig
from wildloop.flows.run.attempts import log_tail
from wildloop.flows.run.execution import Execution, Outcome
from wildloop.flows.store import artifacts
from wildloop.flows.store.base import artifact_url, flow_run_url
from wildloop.flows.store.sweeps import PREFIX as SWEEP_PREFIX
from wildloop.flows.text.log_end import log_end
from wildloop.flows.text.markdown import block, code, curve, facts, head, link, page, section, table
from wildloop.flows.text.plural import counted

COMMAND_LENGTH = 2000
SETTINGS, METRICS, FILES, CURVES = 40, 25, 15, 2
VALUE_LENGTH = 120
POINTS = 60
LOG_BYTES = 64 * 1024
PATCH_BYTES = 4 * 1024 * 1024
DESCRIBED = 200
_PATCHED = re.compile(r"^diff --git a/(?P<path>.*) b/(?P=path)$")


@dataclass(frozen=True)
class Ended:
    """A run that has ended, and what was found out about it.

    Args:
        spec: what it was to run.
        run_id: its id.
        paths: its files.
        manifest: what it was, where, and how it ended.
        outcome: in words.
        facts: what its labels tell.
        metrics: what it has measured.
        project: wildloop.toml, if there is one that can be read.
        violations: what was seen of it that takes belief from its value.
    """

    spec: RunSpec
    run_id: str
    paths: RunPaths
    manifest: Manifest
    outcome: Outcome
    facts: RunFacts
    metrics: RunMetrics
    project: ProjectConfig | None = None
    violations: list[str] = field(default_factory=list)

    @property
    def primary(self) -> str | None:
        """The metric that it is judged by, under the name that it has there."""
        named = [one.found or one.wanted for one in self.metrics.taken[:1]]
        wanted = [self.spec.metric] if self.spec.metric else []
        return next((name for name in [*wanted, *named] if name in self.metrics.last), None)


async def attach_artifact(client: PrefectClient, execution: Execution, ended: Ended) -> None:
    """Write the artifact, once; a fault of it is logged, since the run is what it is without it."""
    flow_run_id, logger = UUID(execution.run_id), get_run_logger()
    try:
        text, description = await asyncio.to_thread(lambda: (run_text(ended), titled(ended)))
        # The worker before this one may have ended after it had written it.
        is_adopted = execution.control.is_adopted
        await artifacts.attach(
            client, flow_run_id, text=text, description=description, again=is_adopted
        )
    except Exception:
        logger.exception("the run's artifact was not written")


def titled(ended: Ended) -> str:
    """What a list of artifacts says of it."""
    said = [ended.outcome.status]
    if (name := ended.primary) is not None:
        said.append(f"{name} {ended.metrics.last[name]:.5g}")
    elif ended.outcome.status != "finished":
        said.append(ended.outcome.message)
    return head(f"{ended.spec.name}: {', '.join(said)}", DESCRIBED)


def run_text(ended: Ended) -> str:
    """The artifact's text."""
    spec, patch = ended.spec, _patch(ended.paths)
    return page(
        _standing(ended),
        facts(_facts(ended, len(patch))),
        section("Command", block(head(spec.command, COMMAND_LENGTH), "bash")),
        section("Configuration", _configuration(spec)),
        section("Metrics", _metrics(ended), *_curves(ended)),
        section("Uncommitted changes", table(["file", "added", "removed"], patch[:FILES])),
        section("End of the log", block(log_end(log_tail(ended.paths.log, 0, LOG_BYTES)))),
    )


def _standing(ended: Ended) -> str:
    manifest, seconds = ended.manifest, ""
    if manifest.finished_at is not None:
        seconds = f" after {manifest.finished_at - manifest.started_at:.1f} s"
    devices = f", GPU {', '.join(manifest.devices)}" if manifest.devices else ""
    said = f"**{ended.outcome.status}**{seconds} on {code(manifest.host)}{devices}"
    return f"{said}: {head(ended.outcome.message, 500)}"


def _facts(ended: Ended, patched: int) -> list[tuple[str, str]]:
    spec, manifest, environment = ended.spec, ended.manifest, ended.manifest.environment
    session = session_behind(spec.chat_session_id) if spec.chat_session_id else None
    parent = spec.parent_run_id
    installed = [code(environment.python)] if environment.python else []
    installed += [f"packages {code(environment.hash[:12])}"] if environment.hash else []
    installed += [f"driver {environment.driver}"] if environment.driver else []
    return [
        ("session", link(session, flow_run_url(session)) if session else ""),
        ("sweep", link(spec.sweep_id, _sweep_url(spec.sweep_id)) if spec.sweep_id else ""),
        ("repeats", link(parent, flow_run_url(parent)) if parent else ""),
        ("evidence so far", _evidence(ended)),
        ("code", _code(manifest, patched)),
        ("environment", ", ".join(installed)),
        ("platform", manifest.platform),
        ("seed", "" if manifest.seed is None else str(manifest.seed)),
        ("attempt", str(manifest.attempt + 1) if manifest.attempt else ""),
        ("Slurm job", manifest.job_id or ""),
        ("shared GPU", "; ".join(manifest.shared_devices)),
        ("not measured", ended.facts.unmeasured or ""),
        ("diverged", ", ".join(ended.metrics.diverged)),
        ("files", code(str(ended.paths.root))),
    ]


def _sweep_url(sweep_id: str) -> str | None:
    return artifact_url(SWEEP_PREFIX + sweep_id)


def _code(manifest: Manifest, patched: int) -> str:
    if manifest.git_commit is None:
        return "no commit: the folder is no git repository"
    said = f"commit {code(manifest.git_commit[:12])}"
    said += f" with changes of {counted(patched, 'file')} on top" if manifest.dirty else ""
    said += f", digest {code(manifest.code)}" if manifest.code else ""
    return said + (f"; {manifest.code_note}" if manifest.code_note else "")


def _evidence(ended: Ended) -> str:
    """What stands behind its value as far as the run alone tells; its session may know more."""
    if not ended.metrics.last:
        return ""
    contract = contract_of(first_contract(ended.project, None, ""), 0.05)
    run = _as_run(ended)
    found = doubts(run, contract.command, contract.is_guarded)
    level = level_of([run], {run.id: found})
    return level.value + (f": {'; '.join(found)}" if level is Level.CLAIMED else "")


def _as_run(ended: Ended) -> Run:
    spec, manifest = ended.spec, ended.manifest
    return Run(
        id=ended.run_id,
        name=spec.name,
        command=spec.command,
        workdir=manifest.workdir,
        status=RunStatus(ended.outcome.status),
        chat_session_id=spec.chat_session_id,
        parameters=spec.parameters,
        seed=spec.seed,
        created_at=manifest.started_at,
        run_dir=str(ended.paths.root),
        code=manifest.code,
        code_note=ended.facts.code_note or "",
        variables=sorted(spec.env),
        violations=ended.violations,
    )


def _configuration(spec: RunSpec) -> str:
    told: list[tuple[str, Any]] = [*spec.parameters.items()]
    rows = [(code(name), code(_short(value))) for name, value in told[:SETTINGS]]
    more = f"... and {len(told) - SETTINGS} more" if len(told) > SETTINGS else ""
    # Values of the environment may be secrets; the names tell what was set.
    names = ", ".join(code(name) for name in sorted(spec.env)[:SETTINGS])
    return page(table(["setting", "value"], rows), more, names and f"Environment sets {names}.")


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= VALUE_LENGTH else text[: VALUE_LENGTH - 1] + "…"


def _metrics(ended: Ended) -> str:
    found, rows = ended.metrics, []
    names = _by_weight(ended)
    for name in names[:METRICS]:
        numbers = [found.last.get(name), found.lowest.get(name), found.highest.get(name)]
        shown = ["" if value is None else f"{value:.6g}" for value in numbers]
        title = f"**{code(name)}**" if name == ended.primary else code(name)
        rows.append([title, *shown, str(len(found.series[name]))])
    more = f"... and {len(names) - METRICS} more" if len(names) > METRICS else ""
    return page(table(["metric", "last", "lowest", "highest", "points"], rows), more)


def _by_weight(ended: Ended) -> list[str]:
    """The names of its metrics, the one that counts first."""
    return sorted(ended.metrics.series, key=lambda name: name != ended.primary)


def _curves(ended: Ended) -> list[str]:
    drawn = ((name, curve(name, _places(ended.metrics.series[name]))) for name in _by_weight(ended))
    return [f"{code(name)}\n\n{picture}" for name, picture in drawn if picture][:CURVES]


def _places(points: Sequence[MetricPoint]) -> list[tuple[float, float]]:
    return [
        (float(number) if point.step is None else point.step, point.value)
        for number, point in enumerate(downsample(points, POINTS))
        if point.value is not None
    ]


def _patch(paths: RunPaths) -> list[list[str]]:
    """Each file that differed from the commit, with the lines added and removed."""
    if not paths.patch.is_file():
        return []
    with paths.patch.open(encoding="utf-8", errors="replace") as file:
        return [[code(name), str(added), str(removed)] for name, added, removed in _stat(file)]


def _stat(lines: Iterable[str]) -> list[tuple[str, int, int]]:
    found: list[tuple[str, int, int]] = []
    left = PATCH_BYTES
    for line in lines:
        left -= len(line)
        if left < 0:
            break
        if (named := _PATCHED.match(line)) is not None:
            found.append((named["path"], 0, 0))
        elif found and line[:1] in "+-" and not line.startswith(("+++ ", "--- ")):
            name, added, removed = found[-1]
            found[-1] = (name, added + (line[0] == "+"), removed + (line[0] == "-"))
    return found
