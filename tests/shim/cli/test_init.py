"""`wildloop init`: what it drafts for projects as they are."""

import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from wildloop.blocks.agents.baseline.config import read_project
from wildloop.flows.project import load_project
from wildloop.shim.cli.init.draft import choose_metric, draft
from wildloop.shim.cli.init.repository import read_repository
from wildloop.shim.cli.main import application

ARGPARSE = """
import argparse
p = argparse.ArgumentParser()
p.add_argument("--lr", type=float, default=1e-3)
p.add_argument("--batch-size", type=int, default=64)
p.add_argument("--epochs", type=int, default=3)
p.add_argument("--optimizer", choices=["sgd", "adam"], default="adam")
p.add_argument("--seed", type=int, default=0)
p.add_argument("--data", default="data")
a = p.parse_args()
for epoch in range(a.epochs):
    print(f"Epoch {epoch}/{a.epochs} | train_loss: {1 / (epoch + 1):.4f} | val_acc: {a.lr:.4f}")
"""
CLICK = """
import click
@click.command()
@click.option("--lr", default=0.1)
@click.option("--act", type=click.Choice(["relu", "gelu"]), default="relu")
@click.option("--debug/--no-debug", default=False)
def main(lr, act, debug):
    print("Test accuracy: %.3f" % lr)
if __name__ == "__main__":
    main()
"""
TYPER = """
import typer
def main(lr: float = 0.01, hidden: int = typer.Option(64, help="x"), name: str = "a"):
    print("{'eval_f1': %s}" % lr)
if __name__ == "__main__":
    typer.run(main)
"""
HYDRA = """
import csv, hydra
@hydra.main(config_path="conf", config_name="config", version_base=None)
def main(cfg):
    writer = csv.writer(open("metrics.csv", "w"))
    writer.writerow(["epoch", "train_loss", "val_accuracy"])
    for epoch in range(2):
        writer.writerow([epoch, 1.0, cfg.lr])
if __name__ == "__main__":
    main()
"""
TYRO = """
from dataclasses import dataclass
from typing import Literal
import tyro
@dataclass
class Args:
    learning_rate: float = 2.5e-4
    act: Literal["relu", "gelu"] = "relu"
    seed: int = 1
    track: bool = False
args = tyro.cli(Args)
print(f"global_step={1}, episodic_return={args.learning_rate}")
"""
HUGGING_FACE = """
from dataclasses import dataclass, field
from transformers import HfArgumentParser
@dataclass
class ModelArguments:
    lora_dim: int = field(default=16, metadata={"help": "x"})
def main():
    (args,) = HfArgumentParser((ModelArguments,)).parse_args_into_dataclasses()
    print({"eval_loss": 0.1 * args.lora_dim})
if __name__ == "__main__":
    main()
"""
ABSL = """
from absl import app, flags
flags.DEFINE_float("lr", 0.1, "rate")
flags.DEFINE_enum("act", "relu", ["relu", "gelu"], "x")
def main(_):
    print("eval_loss: %.3f" % 0.5)
if __name__ == "__main__":
    app.run(main)
"""
FIRE = """
import fire
def train(lr=0.1, hidden=64):
    print(f"val_loss: {lr}")
if __name__ == "__main__":
    fire.Fire(train)
"""
AUTORESEARCH = {
    "program.md": "# x\n\n**The goal is simple: get the lowest val_bpb.**\n",
    "prepare.py": "TIME_BUDGET = 300\n",
    "train.py": 'DEPTH = 8\nprint(f"val_bpb:   {1.5:.6f}")\n',
}


def drafted(folder: Path, files: dict[str, str], *options: str) -> dict[str, Any]:
    """The draft for a repository of these files, as Wildloop reads it."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    done = CliRunner().invoke(application(), ["init", "--yes", "--workdir", str(folder), *options])
    assert done.exit_code == 0, done.output
    assert load_project(folder) is not None
    return tomllib.loads((folder / "wildloop.toml").read_text())


def test_an_argparse_script_that_prints(tmp_path: Path) -> None:
    found = drafted(tmp_path, {"train.py": ARGPARSE, "evaluate.py": "print(1)\n"})
    assert found["train"] == {"command": "python train.py"}
    assert found["metric"] == {"name": "val_acc", "direction": "max"}
    assert found["baseline"] == {"lr": 0.001, "batch-size": 64, "optimizer": "adam"}
    assert found["search"]["lr"] == {"low": 0.0001, "high": 0.01, "log": True}
    assert found["search"]["optimizer"] == {"values": ["sgd", "adam"]}
    assert found["project"]["protected"] == ["evaluate.py"]
    assert found["project"]["goal"].startswith("Raise val_acc")
    assert read_project(tmp_path).base() == found["baseline"]


def test_a_hydra_script_that_writes_a_csv(tmp_path: Path) -> None:
    config = "lr: 0.1\nseed: 1\nmodel:\n  width: 64\ndefaults:\n  - _self_\n  - data: small\n"
    files = {"main.py": HYDRA, "conf/config.yaml": config, "conf/data/small.yaml": "batch: 32\n"}
    found = drafted(tmp_path, files)
    assert found["train"] == {"command": "python main.py", "style": "hydra"}
    assert found["metric"]["name"] == "val_accuracy"
    assert found["baseline"] == {"lr": 0.1, "model.width": 64, "data.batch": 32}
    assert read_project(tmp_path).train.given({"lr": 0.2}, 3) == ["lr=0.2", "seed=3"]


def test_an_autoresearch_project(tmp_path: Path) -> None:
    found = drafted(tmp_path, AUTORESEARCH)
    assert found["metric"] == {"name": "val_bpb", "direction": "min"}
    assert found["project"]["protected"] == ["prepare.py"]
    assert "lowest val_bpb" in found["project"]["goal"]
    assert found["train"] == {"command": "python train.py", "seed": "", "timeout_seconds": 600}
    assert "five" not in found and "search" not in found
    assert read_project(tmp_path).train.given({}, 3) == []


def test_an_aide_task(tmp_path: Path) -> None:
    task = "goal: Predict prices\neval: RMSE\ndata_dir: ./input_data\n"
    found = drafted(tmp_path, {"task.yaml": task, "train.py": ARGPARSE})
    assert found["project"]["goal"] == "Predict prices (evaluation: RMSE)"
    assert "input_data" in found["isolation"]["link"]


def test_aides_options_are_taken(tmp_path: Path) -> None:
    options = ("--goal", "Predict", "--eval", "RMSE", "--data-dir", "d", "--metric", "rmse")
    found = drafted(tmp_path, {"train.py": ARGPARSE}, *options)
    assert found["project"]["goal"] == "Predict (evaluation: RMSE)"
    assert found["metric"] == {"name": "rmse", "direction": "min"}


@pytest.mark.parametrize(
    ("source", "baseline", "metric"),
    [
        (CLICK, {"lr": 0.1, "act": "relu"}, "test_accuracy"),
        (TYPER, {"lr": 0.01, "hidden": 64}, "eval_f1"),
        (TYRO, {"learning_rate": 2.5e-4, "act": "relu"}, "episodic_return"),
        (HUGGING_FACE, {"lora_dim": 16}, "eval_loss"),
        (ABSL, {"lr": 0.1, "act": "relu"}, "eval_loss"),
        (FIRE, {"lr": 0.1, "hidden": 64}, "val_loss"),
    ],
    ids=["click", "typer", "tyro", "hugging face", "absl", "fire"],
)
def test_libraries_for_command_lines(
    tmp_path: Path, source: str, baseline: dict[str, Any], metric: str
) -> None:
    found = drafted(tmp_path, {"run.py": source})
    assert (found["baseline"], found["metric"]["name"]) == (baseline, metric)


def test_the_script_that_the_makefile_runs_is_taken(tmp_path: Path) -> None:
    files = {
        "Makefile": "train:\n\tpython src/experiment_b.py\n",
        "src/experiment_a.py": ARGPARSE,
        "src/experiment_b.py": ARGPARSE,
    }
    assert drafted(tmp_path, files)["train"]["command"] == "python src/experiment_b.py"


def test_a_script_that_imports_from_the_root_is_started_as_a_module(tmp_path: Path) -> None:
    source = "from src.data import load\n" + ARGPARSE
    files = {"src/train.py": source, "src/data.py": "def load(): ...\n"}
    assert drafted(tmp_path, files)["train"]["command"] == "python -m src.train"


def test_a_module_that_the_readme_starts_is_started_so(tmp_path: Path) -> None:
    files = {"README.md": "Run\n\n    python -m tool.fit --lr 1\n", "tool/fit.py": ARGPARSE}
    assert drafted(tmp_path, files)["train"]["command"] == "python -m tool.fit"


def test_options_of_a_module_that_the_script_imports_are_searched(tmp_path: Path) -> None:
    files = {
        "options.py": ARGPARSE.partition("for epoch")[0],
        "main.py": "import options\nfor epoch in range(3):\n    print(f'val_acc: {epoch}')\n",
    }
    assert drafted(tmp_path, files)["baseline"]["lr"] == 0.001


def test_arguments_that_a_script_needs_are_those_of_the_readme(tmp_path: Path) -> None:
    needed = 'p.add_argument("--config", required=True)\np.add_argument("task")\n'
    readme = (
        "`python train.py <task>`\n```\npython train.py dig --lr 0.1 \\\n  --config a.yaml\n```\n"
    )
    files = {
        "train.py": ARGPARSE.replace("a = p.", needed + "a = p."),
        "README.md": readme,
        "a.yaml": "x: 1\n",
    }
    found = drafted(tmp_path, files)
    assert found["train"]["command"] == "python train.py dig --config a.yaml"


def test_what_is_measured_on_is_not_searched(tmp_path: Path) -> None:
    config = "lr: 0.1\ndata:\n  n_val: 150\n  noise: 0.4\n  batch_size: 8\n"
    found = drafted(tmp_path, {"main.py": HYDRA, "conf/config.yaml": config})
    assert found["baseline"] == {"lr": 0.1, "data.batch_size": 8}


def test_a_folder_that_runs_write_to_is_not_shared_by_them(tmp_path: Path) -> None:
    source = ARGPARSE.replace(
        '"--data"', '"--save-dir", default="./checkpoints"); p.add_argument("--data"'
    )
    files = {"train.py": source, "checkpoints/best.pt": "", "weights/resnet.pt": ""}
    assert drafted(tmp_path, files)["isolation"]["link"][-1] == "weights"


def test_python3_where_there_is_no_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("python3", "git"):
        (tools / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", str(tools))
    found = drafted(tmp_path / "project", {"train.py": ARGPARSE})
    assert found["train"]["command"] == "python3 train.py"


def test_a_short_time_budget_leaves_time_to_start(tmp_path: Path) -> None:
    files = AUTORESEARCH | {"prepare.py": "TIME_BUDGET = 4\n"}
    assert drafted(tmp_path, files)["train"]["timeout_seconds"] == 64


def test_a_repository_without_a_script_gets_a_draft_to_fill_in(tmp_path: Path) -> None:
    found = drafted(tmp_path, {"README.md": "nothing\n", "broken.py": "def (:\n"})
    assert found["train"] == {}
    assert "metric" not in found


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    drafted(tmp_path, {"train.py": ARGPARSE})
    done = CliRunner().invoke(application(), ["init", "--yes", "--workdir", str(tmp_path)])
    assert done.exit_code == 2
    assert "--force" in done.output


def test_what_a_makefile_or_job_gives_is_where_the_search_starts(tmp_path: Path) -> None:
    (tmp_path / "train.sbatch").write_text(
        "srun python main.py --config base.yaml --lr 3e-4 --hidden=64 --seed 1\n"
    )
    (tmp_path / "main.py").write_text(
        "import argparse\np = argparse.ArgumentParser()\np.add_argument('--config')\n"
        "p.add_argument('--lr', type=float, default=0.1)\n"
        "p.add_argument('--hidden', type=int, default=32)\n"
        "p.add_argument('--seed', type=int, default=0)\na = p.parse_args()\n"
        "if __name__ == '__main__':\n    print(f'val_acc: {a.lr:.3f}')\n"
    )
    found = read_repository(tmp_path)
    told = tomllib.loads(draft(found, choose_metric(found), None))
    assert told["train"]["command"] == "python main.py --config base.yaml"
    assert told["baseline"] == {"lr": 3e-4, "hidden": 64}


def test_the_metric_of_an_aide_task_is_that_of_its_evaluation(tmp_path: Path) -> None:
    (tmp_path / "task.yaml").write_text("goal: the price\neval: RMSE of the log\ndata_dir: input\n")
    found = read_repository(tmp_path)
    metric = choose_metric(found)
    assert metric is not None and (metric.name, metric.direction) == ("rmse", "min")
