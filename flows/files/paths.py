"""The files of runs and sessions inside a project, as objects."""

from dataclasses import dataclass
from pathlib import Path


def make_ignored(folder: Path) -> None:
    """Create a folder whose contents git does not see, whatever the project's own rules."""
    folder.mkdir(parents=True, exist_ok=True)
    rule = folder / ".gitignore"
    if not rule.exists():
        rule.write_text("*\n", encoding="utf-8")


def desk_folder(workdir: Path, session_id: str, number: int) -> Path:
    """The worktree of one of several researchers of a session."""
    return workdir / ".wild" / "researchers" / f"{session_id[:8]}-r{number}"


@dataclass(frozen=True)
class RunPaths:
    """Files of one run: `<workdir>/.wild/runs/<run_id>/`."""

    root: Path

    @classmethod
    def of(cls, workdir: Path | str, run_id: str) -> "RunPaths":
        """The paths of run `run_id` of the project in `workdir`."""
        return cls(Path(workdir) / ".wild" / "runs" / run_id)

    @property
    def log(self) -> Path:
        """stdout and stderr of the command, in order."""
        return self.root / "run.log"

    @property
    def metrics(self) -> Path:
        """One JSON object a line, appended by the command."""
        return self.root / "metrics.jsonl"

    @property
    def manifest(self) -> Path:
        """What was run, where, on which commit."""
        return self.root / "manifest.json"

    @property
    def exit_code(self) -> Path:
        """The command's exit code, renamed into place at its end."""
        return self.root / "exit_code"

    @property
    def devices(self) -> Path:
        """The devices given to the run, noted before its command starts."""
        return self.root / "devices.json"

    @property
    def attempt(self) -> Path:
        """Which attempt the run is at; there from the second one on."""
        return self.root / "attempt.json"

    @property
    def code(self) -> Path:
        """The commit that a run was given where it runs in another clone than its own."""
        return self.root / "code.json"

    @property
    def reports(self) -> Path:
        """What processes beside the run told of it, one JSON object a line."""
        return self.root / "reports.jsonl"

    @property
    def bytecode(self) -> Path:
        """What Python compiles while the command runs: read and written by this run alone."""
        return self.root / "__pycache__"

    @property
    def patch(self) -> Path:
        """Uncommitted changes of the project at launch."""
        return self.root / "dirty.patch"


@dataclass(frozen=True)
class SessionPaths:
    """Files of one session: `<workdir>/.wild/sessions/<session_id>/`."""

    root: Path
    workdir: Path
    own_tasks: Path | None = None
    """Where the plan lies as one of several researchers sees it."""

    @classmethod
    def of(cls, workdir: Path | str, session_id: str) -> "SessionPaths":
        """The paths of session `session_id` of the project in `workdir`."""
        project = Path(workdir)
        return cls(project / ".wild" / "sessions" / session_id, project)

    @property
    def tasks(self) -> Path:
        """The plan."""
        return self.own_tasks or self.root / "tasks.md"

    @property
    def log(self) -> Path:
        """The iteration log, appended after every iteration."""
        return self.root / "iteration_log.md"

    @property
    def playbook(self) -> Path:
        """The prompt-skill playbook written by planning."""
        return self.root / "prompt_skill_playbook.md"

    @property
    def report(self) -> Path:
        """The final report."""
        return self.root / "report.md"

    @property
    def results(self) -> Path:
        """The ledger of kept and discarded changes."""
        return self.root / "results.tsv"

    @property
    def page(self) -> Path:
        """The final report as a page of its own."""
        return self.root / "report.html"

    @property
    def runs_table(self) -> Path:
        """All runs of the report."""
        return self.root / "runs.csv"

    @property
    def pull_request(self) -> Path:
        """Title and text for what `wildloop take` has made a branch of."""
        return self.root / "pull_request.md"

    @property
    def plots(self) -> Path:
        """Folder of the report's pictures."""
        return self.root / "plots"

    @property
    def transcripts(self) -> Path:
        """Folder of prompts and replies."""
        return self.root / "transcripts"

    @property
    def processes(self) -> Path:
        """Folder of the agents' process records, git-ignored."""
        return self.workdir / ".wild" / "runs" / f"agents-{self.root.name}"

    @property
    def activity(self) -> Path:
        """What the agent does, in short lines, as it does it."""
        return self.processes / "activity.log"
