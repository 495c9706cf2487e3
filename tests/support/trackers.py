"""Writes metrics with the real wandb, TensorBoard and MLflow; run as a script, without network."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ENVIRONMENT = {
    "WANDB_MODE": "offline",
    "WANDB_SILENT": "true",
    "WANDB_DISABLE_GIT": "true",
    "MLFLOW_ALLOW_FILE_STORE": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}


class Writer:
    """A process with one tracker, told what to write line by line on its standard input."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def log(self, metrics: dict[str, Any], step: int) -> None:
        """Write one step; returns when the tracker's file has it."""
        self.tell({"metrics": metrics, "step": step})

    def summary(self, metrics: dict[str, Any]) -> None:
        """Set summary values (W&B)."""
        self.tell({"summary": metrics})

    def tell(self, order: dict[str, Any]) -> None:
        """Give an order and wait until it is carried out."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer.strip() == "done", f"the writer answered {answer!r}"


@contextmanager
def writer(tracker: str, workdir: Path, **environment: str) -> Iterator[Writer]:
    """A real writer in `workdir`; it has closed its files when the block ends.

    `tracker` is wandb, tensorboard, tensorboard_tensor, tensorboardx or mlflow; one with folder
    `x` is written `tensorboard:x`.
    """
    process = subprocess.Popen(
        [sys.executable, __file__, tracker],
        cwd=workdir,
        env=os.environ
        | ENVIRONMENT
        | {"MLFLOW_TRACKING_URI": (workdir.resolve() / "mlruns").as_uri()}
        | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready"
        yield Writer(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(300) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stdout.close()  # type: ignore[union-attr]


def write(tracker: str, workdir: Path, rows: list[dict[str, Any]], **environment: str) -> None:
    """Write one row of metrics a step, from step 0 on."""
    with writer(tracker, workdir, **environment) as tracked:
        tracked.tell({"rows": rows})


def _main(tracker: str) -> None:
    kind, _, folder = tracker.partition(":")
    orders = {"wandb": _wandb, "mlflow": _mlflow, "tensorboardx": _tensorboardx}.get(kind)
    steps = orders(folder) if orders else _tensorboard(folder, kind == "tensorboard_tensor")
    next(steps)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        order = json.loads(line)
        if "rows" in order and kind == "mlflow":
            steps.send(order)
        elif "rows" in order:
            for step, row in enumerate(order["rows"]):
                steps.send({"metrics": row, "step": step, "more": step + 1 < len(order["rows"])})
        else:
            steps.send(order)
        sys.stdout.write("done\n")
        sys.stdout.flush()
    steps.close()


def _wandb(folder: str) -> Any:
    import numpy
    import wandb

    run = wandb.init(project="p", name=folder or None)
    try:
        while True:
            order = yield
            if "summary" in order:
                run.summary.update(order["summary"])
            elif order.get("image"):
                run.log(
                    {
                        "picture": wandb.Image(numpy.zeros((4, 4), "uint8")),
                        "h": wandb.Histogram([1, 2]),
                    }
                )
            else:
                run.log(order["metrics"], step=order["step"])
    finally:
        run.finish()


def _tensorboard(folder: str, as_tensor: bool) -> Any:
    import time

    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.scalar import summary_v2
    from tensorboard.plugins.text import summary_v2 as text_v2
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(folder or "logs")
    try:
        while True:
            order = yield
            if "text" in order:
                summary = text_v2.text_pb("note", "many words")
                writer.add_event(Event(wall_time=time.time(), summary=summary))
            for tag, value in order.get("metrics", {}).items():
                summary = (
                    summary_v2.scalar_pb(tag, value)
                    if as_tensor
                    else Summary(value=[Summary.Value(tag=tag, simple_value=value)])
                )
                writer.add_event(Event(wall_time=time.time(), step=order["step"], summary=summary))
            if not order.get("more"):
                writer.flush()
    finally:
        writer.close()


def _tensorboardx(folder: str) -> Any:
    import numpy
    from tensorboardX import SummaryWriter

    writer = SummaryWriter(folder or "logs")
    try:
        while True:
            order = yield
            if order.get("image"):
                writer.add_image("picture", numpy.zeros((3, 64, 64)), 0)
                writer.add_histogram("weights", numpy.arange(100), 0)
            for tag, value in order.get("metrics", {}).items():
                writer.add_scalar(tag, value, order["step"])
            if not order.get("more"):
                writer.flush()
    finally:
        writer.close()


def _mlflow(folder: str) -> Any:
    import mlflow

    mlflow.set_experiment("experiment")
    with mlflow.start_run(run_name=folder or None) as run:
        while True:
            order = yield
            if "rows" in order:
                _mlflow_batches(run.info.run_id, order["rows"])
            elif "child" in order:
                with mlflow.start_run(run_name=order["child"], nested=True):
                    mlflow.log_metrics(order["metrics"], step=0)
            else:
                mlflow.log_metrics(order["metrics"], step=order["step"])


def _mlflow_batches(run_id: str, rows: list[dict[str, Any]]) -> None:
    import time

    from mlflow.entities import Metric
    from mlflow.tracking import MlflowClient

    metrics = [
        Metric(name, value, int(time.time() * 1000), step)
        for step, row in enumerate(rows)
        for name, value in row.items()
    ]
    for start in range(0, len(metrics), 1000):
        MlflowClient().log_batch(run_id, metrics[start : start + 1000])


if __name__ == "__main__":
    _main(sys.argv[1])
