"""Three projects as people have them: nothing in them knows of Wildloop."""

from pathlib import Path

from tests.support.project import git

ARGPARSE = {
    "README.md": "# rings\n\nSmall classifier.\n\n```\npython train.py --epochs 4 --lr 0.05\n```\n",
    ".gitignore": "__pycache__/\ncheckpoints/\n",
    "dataset.py": """\
import math
import random


def make(n, seed):
    rng = random.Random(seed)
    rows = []
    for _ in range(n):
        y = rng.randrange(3)
        r, a = y + 1 + rng.gauss(0, 0.35), rng.uniform(0, 2 * math.pi)
        rows.append(((r * math.cos(a), r * math.sin(a)), y))
    return rows


def splits():
    return make(300, 1), make(150, 2), make(150, 3)
""",
    "evaluate.py": "from dataset import splits\n\nprint(f'Test accuracy: {len(splits()[2])}')\n",
    "train.py": '''\
#!/usr/bin/env python3
"""Train the classifier."""
import argparse
import json
import math
import os
import random

from dataset import splits


def get_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--lr', default=0.05, type=float, metavar='LR', help='learning rate')
    parser.add_argument('--wd', '--weight-decay', default=1e-4, type=float, metavar='W')
    parser.add_argument('-b', '--batch-size', default=32, type=int, metavar='N')
    parser.add_argument('--epochs', default=4, type=int, metavar='N')
    parser.add_argument('--seed', default=42, type=int)
    parser.add_argument('--save-dir', default='checkpoints')
    parser.add_argument('--no-cuda', action='store_true', default=False)
    return parser.parse_args()


def predict(w, x):
    f = [x[0] ** 2 + x[1] ** 2, abs(x[0]), 1.0]
    z = [sum(a * b for a, b in zip(row, f)) for row in w]
    e = [math.exp(min(v - max(z), 0)) for v in z]
    return f, [v / sum(e) for v in e]


def main():
    args = get_args()
    print(args)
    random.seed(args.seed)
    train, val, _ = splits()
    w = [[random.gauss(0, 0.1) for _ in range(3)] for _ in range(3)]
    print(f'=> {sum(map(len, w)):,} parameters')
    best = 0.0
    os.makedirs(args.save_dir, exist_ok=True)
    for epoch in range(1, args.epochs + 1):
        random.shuffle(train)
        total = 0.0
        for i, (x, y) in enumerate(train):
            f, p = predict(w, x)
            total -= math.log(max(p[y], 1e-12))
            for k, row in enumerate(w):
                for j, v in enumerate(f):
                    row[j] -= args.lr / 10 * ((p[k] - (k == y)) * v + args.wd * row[j])
            if i % 100 == 0:
                print(f'Train Epoch: {epoch} [{i}/{len(train)}]\\tLoss: {total / (i + 1):.6f}')
        right = sum(p.index(max(p)) == y for y, p in ((y, predict(w, x)[1]) for x, y in val))
        acc = 100.0 * right / len(val)
        print(f'Epoch {epoch:3d}/{args.epochs} | 0.1s | train loss {total / len(train):.4f} | val acc {acc:.2f}%')
        if acc > best:
            best = acc
            with open(os.path.join(args.save_dir, 'best.json'), 'w') as file:
                json.dump({'epoch': epoch, 'w': w}, file)
    print(f'Best val acc: {best:.2f}%')


if __name__ == '__main__':
    main()
''',
}
HYDRA = {
    ".gitignore": "outputs/\nmultirun/\n__pycache__/\n",
    "configs/train.yaml": """\
defaults:
  - _self_
  - model: linear
  - data: synthetic
  - optimizer: sgd

seed: 123
max_epochs: 3

hydra:
  job:
    chdir: true
""",
    "configs/model/linear.yaml": "_target_: src.linear.Linear\nl2: 1e-4\n",
    "configs/data/synthetic.yaml": "n_train: 200\nn_val: 100\nnoise: 0.4\n",
    "configs/optimizer/sgd.yaml": "lr: 0.05\n",
    "src/__init__.py": "",
    "src/linear.py": """\
class Linear:
    def __init__(self, n, l2):
        self.w, self.l2 = [0.0] * n, l2

    def predict(self, x):
        return sum(a * b for a, b in zip(self.w, x))

    def step(self, x, y, lr):
        e = self.predict(x) - y
        self.w = [w - lr * (e * xi + self.l2 * w) for w, xi in zip(self.w, x)]
        return e * e
""",
    "src/train.py": """\
import csv
import logging
import random

import hydra
from omegaconf import DictConfig, OmegaConf

from src.linear import Linear

log = logging.getLogger(__name__)


def make(cfg, n, seed):
    rng = random.Random(seed)
    rows = [[rng.gauss(0, 1) for _ in range(4)] for _ in range(n)]
    return [(x, 2 * x[0] - x[1] + rng.gauss(0, cfg.noise)) for x in rows]


@hydra.main(version_base="1.3", config_path="../configs", config_name="train.yaml")
def main(cfg: DictConfig) -> None:
    log.info("config:\\n%s", OmegaConf.to_yaml(cfg))
    random.seed(cfg.seed)
    train, val = make(cfg.data, cfg.data.n_train, 1), make(cfg.data, cfg.data.n_val, 2)
    model = Linear(4, cfg.model.l2)
    with open("metrics.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, ["epoch", "train/loss", "val/rmse", "lr"])
        writer.writeheader()
        for epoch in range(cfg.max_epochs):
            random.shuffle(train)
            loss = sum(model.step(x, y, cfg.optimizer.lr / 10) for x, y in train) / len(train)
            rmse = (sum((model.predict(x) - y) ** 2 for x, y in val) / len(val)) ** 0.5
            writer.writerow({"epoch": epoch, "train/loss": loss, "val/rmse": rmse, "lr": cfg.optimizer.lr})
    log.info("done")


if __name__ == "__main__":
    main()
""",
}
AUTORESEARCH = {
    ".gitignore": "__pycache__/\nrun.log\nresults.tsv\n",
    "pyproject.toml": '[project]\nname = "nano"\nversion = "0.1"\ndependencies = []\n',
    "program.md": """\
# autoresearch

This is an experiment to have the LLM do its own research.

## Setup

Read `prepare.py` and `train.py`, and run `python prepare.py` once.

## Experimentation

The training script runs for a **fixed time budget**. You launch it simply as: `python train.py`.
What you CANNOT do: modify `prepare.py`.

**The goal is simple: get the lowest val_bpb.** Everything else is fair game.
""",
    "prepare.py": '''\
"""Data and evaluation. Do not modify."""
import math
import random

TIME_BUDGET = 1  # seconds
WORDS = "the of and to in model data loss gradient train step layer a is attention".split()


def load(split):
    rng = random.Random({"train": 1, "val": 2}[split])
    return " ".join(rng.choice(WORDS) for _ in range({"train": 2000, "val": 200}[split]))


def evaluate_bpb(prob, val):
    nats = sum(-math.log(max(prob(val[i - 1], val[i]), 1e-9)) for i in range(1, len(val)))
    return nats / math.log(2) / (len(val) - 1)
''',
    "train.py": '''\
"""Autoresearch training script. Single file. Usage: python train.py"""
import time
from collections import Counter, defaultdict

from prepare import TIME_BUDGET, evaluate_bpb, load

# Hyperparameters (edit these directly, no CLI flags needed)
SMOOTHING = 1.0

counts = defaultdict(Counter)
text, step, start = load("train"), 0, time.time()
while time.time() - start < TIME_BUDGET and (step + 1) * 500 < len(text):
    for before, char in zip(text[step * 500:], text[step * 500 + 1:(step + 1) * 500]):
        counts[before][char] += 1
    step += 1
    print(f"\\rstep {step:05d} | loss: {1 / step:.6f} | remaining: {TIME_BUDGET}s    ", end="", flush=True)
print()


def prob(before, char):
    seen = counts[before]
    return (seen[char] + SMOOTHING) / (sum(seen.values()) + SMOOTHING * 27)


val_bpb = evaluate_bpb(prob, load("val"))
print("---")
print(f"val_bpb:          {val_bpb:.6f}")
print(f"training_seconds: {time.time() - start:.1f}")
print(f"num_steps:        {step}")
''',
}
UNLIKE = {"val_acc": ARGPARSE, "val/rmse": HYDRA, "val_bpb": AUTORESEARCH}
"""Each by the metric that it is about."""


def repository_of(folder: Path, files: dict[str, str]) -> Path:
    """A git repository with these files in one commit."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "-c", "user.name=A", "-c", "user.email=a@localhost", "commit", "-q", "-m", "start")
    return folder
