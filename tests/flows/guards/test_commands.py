"""Which commands of an agent are experiments past the API."""

import pytest

from wildloop.flows.guards.commands import scripts_of, started_by_words, started_directly

SCRIPTS = {"experiments/fit.py", "run.sh"}


@pytest.mark.parametrize(
    ("command", "started"),
    [
        ("python train.py", ["train.py"]),
        ("python3.12 -u ./train.py --lr 0.1 > log 2>&1 &", ["./train.py"]),
        ("cd sub && CUDA_VISIBLE_DEVICES=0 nohup python train.py &", ["train.py"]),
        ("timeout -k 5 60 python -W ignore train.py", ["train.py"]),
        ("for s in 1 2; do python train.py --seed $s; done", ["train.py"]),
        ("if true; then .venv/bin/python pretrain.py; fi", ["pretrain.py"]),
        ("uv run --with torch python train.py", ["train.py"]),
        ("uv run train.py", ["train.py"]),
        ("conda run -n base python train.py", ["train.py"]),
        ("torchrun --nproc_per_node 2 train.py --lr 1", ["train.py"]),
        ("accelerate launch --num_processes 2 train.py", ["train.py"]),
        ("python -m torch.distributed.run --nproc_per_node=2 train.py", ["train.py"]),
        ("srun --gres=gpu:1 python train.py", ["train.py"]),
        ("sbatch --gres=gpu:1 anything.sbatch", ["anything.sbatch"]),
        ("python -m experiments.fit --lr 1", ["experiments/fit.py"]),
        ("python experiments/fit.py", ["experiments/fit.py"]),
        ("./run.sh", ["./run.sh"]),
        ("bash run.sh 3", ["run.sh"]),
        ("bash -lc 'python train.py'", ["train.py"]),
        ('/bin/bash -c "cd x; python train.py"', ["train.py"]),
        ("tmux new-session -d -s t 'cd x; python train.py'", ["train.py"]),
        ("eval 'python train.py'", ["train.py"]),
        ("x=$(python train.py)", ["train.py"]),
        ("python train.py | tee log", ["train.py"]),
        ("cat train.py; python train.py", ["train.py"]),
        ("echo hi # comment\npython train.py", ["train.py"]),
        ("python \\\n  train.py", ["train.py"]),
        ("python train.py && python train.py", ["train.py"]),
    ],
)
def test_experiment_past_the_api_is_noticed(command: str, started: list[str]) -> None:
    assert started_directly(command, SCRIPTS) == started


@pytest.mark.parametrize(
    "command",
    [
        "cat train.py",
        "sed -n 1,80p experiments/fit.py",
        "head train.py | grep python",
        "vim train.py",
        "git diff train.py",
        "git commit -m 'run\npython train.py'",
        "grep -rn 'python train.py' .",
        "echo python train.py",
        "echo 'python train.py' > run_all.txt",
        "python train.py --help",
        "python train.py -h | head",
        "python -m py_compile train.py",
        "python -m compileall train.py",
        "python -m pytest tests/test_train.py",
        "pytest train.py",
        "python -c 'import train'",
        "python -c \"import runpy; print('train.py')\"",
        "python - <<EOF\nimport train\nEOF",
        "python --version",
        "cat > run2.sh <<'EOF'\n#!/bin/bash\npython train.py\nEOF\nchmod +x run2.sh",
        "cat <<EOF | tee plan.md\npython train.py\nEOF",
        'curl -d \'{"command": "python train.py"}\' $WILDLOOP_SERVER_URL/runs',
        'curl -d @- $WILDLOOP_SERVER_URL/runs <<< \'{"command": "python train.py"}\'',
        "wildloop runs --json | grep train.py",
        "python analyse.py .wild/runs/1/train.py",
        "python tests/test_train.py",
        "python prepare_train_data.py",
        "python train_test_split.py",
        "ls train.py && wc -l train.py",
        "# python train.py",
        "bash -n run.sh",
        "which python; nvidia-smi; sbatch --test-only x.sbatch",
        "ruff check train.py; mypy train.py; python -m ruff check train.py",
        "tmux ls; screen -ls; watch -n 5 'cat train.py'",
        "python train.py --dry-run",
        "python 'unclosed",
        "",
    ],
)
def test_other_commands_are_no_breach(command: str) -> None:
    assert started_directly(command, SCRIPTS) == []


@pytest.mark.parametrize(
    ("words", "started"),
    [
        (["python", "train.py", "--lr", "1"], ["train.py"]),
        (["/usr/bin/python3", "-u", "experiments/fit.py"], ["experiments/fit.py"]),
        (["bash", "-c", "python train.py"], ["train.py"]),
        (["python", "-c", "train.py"], []),
        (["grep", "train.py"], []),
        ([], []),
    ],
)
def test_processes_are_judged_by_their_words(words: list[str], started: list[str]) -> None:
    assert started_by_words(words, SCRIPTS) == started


def test_scripts_of_runs_are_known() -> None:
    commands = [
        "python fit.py --lr 0.1",
        "FOO=1 uv run sub/go.py && echo done",
        "echo score=1",
        "python -m pkg.main",
    ]
    assert scripts_of(commands) == {"fit.py", "sub/go.py", "pkg/main.py"}
