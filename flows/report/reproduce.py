"""The report's section about the way back: the exact commands that run the best again."""

import shlex
from pathlib import Path

from pydantic import ValidationError

from wildloop.flows.evidence.configuration import Configuration
from wildloop.flows.evidence.settings import seed_of
from wildloop.flows.evidence.values import value_of
from wildloop.flows.files.manifest import Manifest, read_manifest
from wildloop.flows.files.paths import RunPaths
from wildloop.flows.models.own_runs import is_confirmation
from wildloop.flows.models.run import Run
from wildloop.flows.report.facts import ReportFacts
from wildloop.flows.report.findings import OWN, run_link
from wildloop.flows.report.text import code, fenced, number, plain
from wildloop.flows.text.redaction import redact


def reproduce(facts: ReportFacts) -> str:
    """The commands, and what they give; empty where nothing has a value.

    Of the runs that count they name the one whose value is nearest to the mean.
    """
    best = facts.account.best
    run = nearest(best) if best is not None else None
    if best is None or run is None:
        return ""
    paths = RunPaths(Path(run.run_dir))
    try:
        manifest: Manifest | None = read_manifest(paths)
    except (OSError, ValidationError):
        manifest = None
    head = facts.session.branch if facts.is_at_head else None
    lines = _checkout(run, paths, facts.session.workdir, head) + _links(run, facts)
    lines += _environment(manifest, facts)
    lines += ['export WILDLOOP_RUN_DIR="${WILDLOOP_RUN_DIR:-$(mktemp -d)}"', redact(run.command)]
    lines += _evaluation(facts)
    text = [_told(run, best, facts), fenced(lines)]
    if facts.is_at_head is not None:
        word = "are the very files" if facts.is_at_head else "are other files than those"
        text.append(f"By their git blobs, the files at the branch's head {word} that it ran.")
    own = " (that run belongs to no session and changes nothing here)" * is_confirmation(run)
    again = code(f"wildloop rerun {run.id} --exact")
    text.append(f"Or, by Wildloop, in a worktree of its own: {again}{own}.")
    if manifest is not None:
        devices = ", ".join(manifest.devices) or "no GPU"
        text.append(f"It ran on {code(manifest.host)} ({code(manifest.platform)}, {devices}).")
    return "\n\n".join(text)


def nearest(one: Configuration) -> Run | None:
    """Of the runs behind what a configuration is compared by, that nearest to their mean."""
    found, mean = one.compared, one.compared.mean
    if mean is None:
        return None
    by_seed = one.own_by_seed if one.own.n > 1 else one.by_seed
    pairs = [pair for seed, pairs in by_seed.items() if seed in found.seeds for pair in pairs]
    return min(pairs, key=lambda pair: abs(pair[1] - mean))[0]


def _told(run: Run, best: Configuration, facts: ReportFacts) -> str:
    """Which run it is, what it gave, and what the mean of all that count is."""
    metric, found = facts.metric, best.compared
    value = value_of(run, metric.name) if metric is not None else None
    assert metric is not None and value is not None
    is_own = is_confirmation(run)
    of = " of Wildloop's own" * is_own
    with_seed = f", with its seed {plain(seed, 20)}" if (seed := seed_of(run)) else ""
    text = f"Run {run_link(run, OWN if is_own else None)}{of}{with_seed}, gave "
    text += f"{code(metric.name)} {number(value)}"
    if found.n > 1:
        text += f"; of the {found.n} that count it is nearest to their mean, {plain(found.text)}"
    if found.low is not None and found.high is not None and found.sd:
        text += f", 95 % interval {found.low:.4g} to {found.high:.4g}"
    return f"{text}:"


def _checkout(run: Run, paths: RunPaths, workdir: str, head: str | None) -> list[str]:
    """The code: the branch's head, where it has what ran, else the commit with what was changed."""
    if not run.git_commit:
        return [f"cd {shlex.quote(run.workdir)}  # no git repository: the code as it is now"]
    lines = [
        "# the code, in a folder of its own",
        f"cd {shlex.quote(str(_project(run, workdir)))}",
        'project="$PWD" copy="$(mktemp -d)/code"',
        f'git worktree add --detach "$copy" {head or run.git_commit}',
        'cd "$copy/$(git rev-parse --show-prefix)"',
    ]
    if head is None and paths.patch.exists():
        lines.append(f'git -C "$copy" apply {shlex.quote(str(paths.patch))}')
    return lines


def _project(run: Run, workdir: str) -> Path:
    """Where it ran; its own folder may have been a snapshot's that is gone by now."""
    here = Path(run.workdir)
    return here if here.is_relative_to(workdir) and ".wild" not in here.parts else Path(workdir)


def _links(run: Run, facts: ReportFacts) -> list[str]:
    """What git does not hold and an isolated run is given by links."""
    if not run.git_commit:
        return []
    here = _project(run, facts.session.workdir)
    found = [name for name in facts.session.linked if (here / name).exists()]
    lines = [
        f'[ -e {shlex.quote(name)} ] || ln -s "$project"/{shlex.quote(name)} {shlex.quote(name)}'
        for name in found
    ]
    return ["# what git does not hold", *lines] if lines else []


def _environment(manifest: Manifest | None, facts: ReportFacts) -> list[str]:
    lines = []
    note = manifest.environment if manifest is not None else None
    if note is not None and note.python:
        lines += [
            "# the run's own Python",
            f'export PATH={shlex.quote(str(Path(note.python).parent))}:"$PATH"',
        ]
    if note is not None and note.file:
        lines.append(f"# on another machine: pip install -r {shlex.quote(note.file)}")
    if facts.session.setup:
        lines += ["# the project's own set-up", *[redact(one) for one in facts.session.setup]]
    return lines


def _evaluation(facts: ReportFacts) -> list[str]:
    """Where a command of the project's gives the value, that command."""
    contract = facts.session.contract
    if contract is None or contract.evaluate is None:
        return []
    return [
        "# the value, by [evaluate] command",
        'export WILDLOOP_EVALUATED_RUN_DIR="$WILDLOOP_RUN_DIR" WILDLOOP_RUN_DIR="$(mktemp -d)"',
        redact(contract.evaluate),
    ]
