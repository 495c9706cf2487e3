"""Options proposed from batch files, sacct and shell history."""

from pathlib import Path

import pytest

from wildloop.blocks.cluster.slurm_proposal import (
    Proposed,
    SlurmProposal,
    parse_batch_file,
    parse_history,
    parse_sacct_options,
    propose,
)

BATCH = """\
#!/bin/bash
#SBATCH --partition=a100 --account lab
#SBATCH -t 2:00:00 # two hours
#SBATCH --gres=gpu:a100:2
#SBATCH -c8
# a comment

python train.py
#SBATCH --partition=late
"""


def test_batch_file_is_read_up_to_its_first_command() -> None:
    assert parse_batch_file(BATCH) == [
        ("partition", "a100"),
        ("account", "lab"),
        ("time_limit", "2:00:00"),
        ("gres", "gpu:a100:2"),
        ("cpus_per_task", "8"),
    ]


@pytest.mark.parametrize(
    ("line", "uses"),
    [
        ("sbatch -p gpu job.sh -p other", [("partition", "gpu")]),
        (": 1700000000:0;srun --mem 32G --pty -q high bash", [("memory", "32G"), ("qos", "high")]),
        ("- cmd: salloc --exclude n7 -A lab", [("account", "lab")]),
        ("cd /x && /opt/slurm/bin/sbatch -pgpu a.sh", [("partition", "gpu")]),
        ("sbatch -p $PART --account='a;b' run.sh", []),
        ("sbatch -p 'unclosed", []),
        ("sbatch -p", []),
        ("echo -p gpu", []),
        ("", []),
    ],
)
def test_history_lines(line: str, uses: list[tuple[str, str]]) -> None:
    assert parse_history(line) == uses


def test_sacct_lines() -> None:
    text = (
        "gpu|lab|normal|1-00:00:00|billing=8,cpu=8,gres/gpu:a100=4,gres/gpu=4,mem=32G\n"
        "cpu|lab||Partition_Limit|cpu=1\ndamaged|line\n"
    )
    uses = parse_sacct_options(text)
    assert [value for option, value in uses if option == "partition"] == ["gpu", "cpu"]
    assert [value for option, value in uses if option == "gres"] == ["gpu:a100:4"]
    assert [value for option, value in uses if option == "time_limit"] == ["1-00:00:00"]
    assert [value for option, value in uses if option == "qos"] == ["normal"]


def test_each_value_comes_with_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project, home, programs = tmp_path / "project", tmp_path / "home", tmp_path / "bin"
    (project / "jobs").mkdir(parents=True)
    (project / ".git").mkdir()
    home.mkdir()
    programs.mkdir()
    (project / "jobs" / "a.sbatch").write_text("#SBATCH -p a100\n")
    (project / "jobs" / "b.slurm").write_text("#SBATCH -p a100\n")
    (project / "c.sh").write_text("#SBATCH -p debug\n")
    (project / ".git" / "d.sbatch").write_text("#SBATCH -p hidden\n" * 9)
    (project / "broken.sbatch").write_bytes(b"\xff\xfe\x00")
    (home / ".bash_history").write_text("sbatch -p old -q high -A other x.sh\n")
    sacct = programs / "sacct"
    sacct.write_text("#!/bin/sh\necho 'gpu|lab||2:00:00|gres/gpu=1'\n")
    sacct.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    found = propose(project, home)
    files = "batch files of the project"
    assert found.partition == Proposed(value="a100", uses=2, source=files)
    assert found.account == Proposed(value="lab", uses=1, source="sacct")
    assert found.gres == Proposed(value="gpu:1", uses=1, source="sacct")
    assert found.qos == Proposed(value="high", uses=1, source="shell history")
    assert found.memory is None


def test_failing_sacct_and_no_files_propose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sacct = tmp_path / "sacct"
    sacct.write_text("#!/bin/sh\necho 'gpu|lab||1|'; exit 1\n")
    sacct.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert propose(tmp_path / "nowhere", tmp_path / "nobody") == SlurmProposal()
