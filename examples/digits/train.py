"""Train a small neural network on scikit-learn's handwritten digits.

Real data (1,797 images of 8 x 8 pixels, shipped with scikit-learn), a two-layer network in NumPy,
stochastic gradient descent. The split into training and validation data is fixed: `--seed` changes
the initial weights and the order of the batches only.
"""

import os

# One core a run: runs share the machine.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse
import json
import math
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TextIO

import numpy as np

SPLIT_SEED = 20_240_101
TRAINING_SHARE = 0.7
DIVERGED = 3
# Ten times the loss of guessing; also what NaN is not below.
HOPELESS_LOSS = 10 * math.log(10)

Weights = list[np.ndarray]


def main() -> int:
    """Train, print progress, record metrics; return the exit code."""
    args = parse_arguments()
    train_x, train_y, val_x, val_y = load_data()
    rng = np.random.default_rng(args.seed)
    model = initial_weights(rng, train_x.shape[1], args.hidden, 10)
    velocity = [np.zeros_like(part) for part in model]
    accuracy = 0.0
    with open_metrics() as file:
        for epoch in range(1, args.epochs + 1):
            loss = train_epoch(model, velocity, train_x, train_y, rng, args)
            if not loss <= HOPELESS_LOSS:
                record(file, {"step": epoch, "train_loss": loss})
                print(f"diverged in epoch {epoch}: train_loss {loss:.4g}; lower --lr or --momentum")
                return DIVERGED
            accuracy = float((forward(model, val_x)[1].argmax(axis=1) == val_y).mean())
            record(file, {"step": epoch, "train_loss": loss, "val_accuracy": accuracy})
            print(f"epoch {epoch:3d}  train_loss {loss:.4f}  val_accuracy {accuracy:.4f}")
    print(f"val_accuracy: {accuracy:.6f}")
    return 0


def parse_arguments() -> argparse.Namespace:
    """The flags; the defaults are a plain starting point, and not a good one."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--lr", type=positive, default=0.02, help="learning rate")
    parser.add_argument("--hidden", type=int, default=16, help="width of the hidden layer")
    parser.add_argument("--momentum", type=float, default=0.0, help="0 up to below 1")
    parser.add_argument("--weight-decay", type=float, default=0.0)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if not 0 <= args.momentum < 1:
        parser.error("--momentum must be at least 0 and below 1")
    if not 0 <= args.weight_decay < math.inf:
        parser.error("--weight-decay must be at least 0 and finite")
    if min(args.hidden, args.batch_size, args.epochs) < 1:
        parser.error("--hidden, --batch-size and --epochs must be at least 1")
    if args.seed < 0:
        parser.error("--seed must be at least 0")
    return args


def positive(text: str) -> float:
    """A number above 0."""
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"must be above 0, not {text}")
    return value


def load_data() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training images (n, 64) in [-0.5, 0.5] and their digits (n,), then the same to validate."""
    table = np.loadtxt(digits_file(), delimiter=",")
    order = np.random.default_rng(SPLIT_SEED).permutation(len(table))
    images, targets = table[order, :-1] / 16.0 - 0.5, table[order, -1].astype(int)
    cut = int(TRAINING_SHARE * len(targets))
    return images[:cut], targets[:cut], images[cut:], targets[cut:]


def digits_file() -> Path:
    """The file of scikit-learn's `load_digits`, whose import takes ten times a training."""
    sklearn = find_spec("sklearn")
    if sklearn is None or sklearn.origin is None:
        sys.exit("the digits come with scikit-learn: pip install scikit-learn")
    return Path(sklearn.origin).parent / "datasets" / "data" / "digits.csv.gz"


def initial_weights(rng: np.random.Generator, inputs: int, hidden: int, outputs: int) -> Weights:
    """[w1 (inputs, hidden), b1, w2 (hidden, outputs), b2], He initialisation."""
    return [
        rng.normal(0, math.sqrt(2 / inputs), (inputs, hidden)),
        np.zeros(hidden),
        rng.normal(0, math.sqrt(2 / hidden), (hidden, outputs)),
        np.zeros(outputs),
    ]


def forward(model: Weights, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(activations of the hidden layer, class probabilities)."""
    hidden = np.maximum(0, x @ model[0] + model[1])
    logits = hidden @ model[2] + model[3]
    logits -= logits.max(axis=1, keepdims=True)
    exp = np.exp(logits)
    return hidden, exp / exp.sum(axis=1, keepdims=True)


def train_epoch(
    model: Weights,
    velocity: Weights,
    x: np.ndarray,
    y: np.ndarray,
    rng: np.random.Generator,
    args: argparse.Namespace,
) -> float:
    """One pass over the data, in place; returns the mean cross-entropy."""
    order, total = rng.permutation(len(y)), 0.0
    with np.errstate(all="ignore"):
        for start in range(0, len(y), args.batch_size):
            batch = order[start : start + args.batch_size]
            hidden, probabilities = forward(model, x[batch])
            picked = probabilities[np.arange(len(batch)), y[batch]]
            total -= float(np.log(picked + 1e-300).sum())
            delta = probabilities
            delta[np.arange(len(batch)), y[batch]] -= 1
            delta /= len(batch)
            back = (delta @ model[2].T) * (hidden > 0)
            gradients = [x[batch].T @ back, back.sum(0), hidden.T @ delta, delta.sum(0)]
            for part, speed, gradient in zip(model, velocity, gradients, strict=True):
                speed *= args.momentum
                speed -= args.lr * (gradient + args.weight_decay * part)
                part += speed
    return total / len(y)


def open_metrics() -> TextIO:
    """Where Wildloop reads metrics; run by hand, a new file in the current folder."""
    folder = os.environ.get("WILDLOOP_RUN_DIR")
    # Under Wildloop others may have written to the file, so it is appended to.
    return Path(folder or ".", "metrics.jsonl").open("a" if folder else "w", encoding="utf-8")


def record(file: TextIO, entry: dict[str, float]) -> None:
    """Append one line, at once readable."""
    file.write(json.dumps(entry) + "\n")
    file.flush()


if __name__ == "__main__":
    sys.exit(main())
