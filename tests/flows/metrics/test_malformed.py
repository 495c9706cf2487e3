"""No content of a file raises, whatever the format."""

import struct
import zlib
from pathlib import Path

import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildloop.flows.metrics import read_all
from wildloop.flows.metrics.jsonl import JsonlReader
from wildloop.flows.metrics.mlflow import MlflowReader
from wildloop.flows.metrics.tensorboard import TensorboardReader
from wildloop.flows.metrics.wandb import WandbReader, started_at
from wildloop.flows.metrics.wire import WireError, fields, varint

MLFLOW_RUN = "0123456789abcdef0123456789abcdef"


def tfrecord(data: bytes) -> bytes:
    def crc(part: bytes) -> bytes:
        value = google_crc32c.value(part)
        return struct.pack("<I", ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF)

    length = struct.pack("<Q", len(data))
    return length + crc(length) + data + crc(data)


def wandb_record(data: bytes) -> bytes:
    return struct.pack("<IHB", zlib.crc32(b"\x01" + data), len(data), 1) + data


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_sound_frames_with_any_content_raise_nothing(
    tmp_path_factory: pytest.TempPathFactory, contents: list[bytes]
) -> None:
    folder = tmp_path_factory.mktemp("run")
    events, run = folder / "events", folder / "run-a.wandb"
    events.write_bytes(b"".join(map(tfrecord, contents)))
    run.write_bytes(b":W&B\xe1\xbe\x00" + b"".join(map(wandb_record, contents)))
    for reader in (TensorboardReader(events), WandbReader(run)):
        list(reader.read())
        assert reader.problem is None
        assert reader.broken <= len(contents)
    started_at(run)


@given(st.binary(max_size=400), st.integers(1, 300))
def test_any_bytes_raise_nothing(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, tail_bytes: int
) -> None:
    folder = tmp_path_factory.mktemp("run")
    (folder / "metrics").mkdir()
    file = folder / "metrics" / "x"
    file.write_bytes(content)
    (folder / "meta.yaml").write_bytes(content)
    for reader in (
        JsonlReader(file, tail_bytes),
        TensorboardReader(file, tail_bytes),
        WandbReader(file, tail_bytes),
        MlflowReader(folder, tail_bytes),
    ):
        list(reader.read())
        assert list(reader.read()) == []
    started_at(file)


@given(st.binary())
def test_what_is_no_message_is_told(message: bytes) -> None:
    try:
        list(fields(message))
    except WireError as error:
        assert str(error)


def test_an_endless_varint_is_refused() -> None:
    with pytest.raises(WireError):
        varint(b"\xff" * 20, 0)


def test_folders_in_the_place_of_files_are_told_of(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").mkdir()
    found = read_all(tmp_path)
    assert found.series == {}
    assert "cannot be read" in str(found.sources[0].problem)


def test_mlflow_lines_out_of_form_are_counted(tmp_path: Path) -> None:
    metrics = tmp_path / "mlruns" / "0" / MLFLOW_RUN / "metrics"
    metrics.mkdir(parents=True)
    (metrics.parent / "meta.yaml").write_text("start_time: 1700000000000\n")
    (metrics / "x").write_text("1700000000500 0.5 1 more columns\nbroken\n1 2 3.5\n5 -Infinity 2\n")
    found = read_all(tmp_path)
    assert [(p.value, p.step, p.time) for p in found.series["x"]] == [
        (0.5, 1, 1700000000.5),
        (None, 2, 0.005),
    ]
    assert found.broken == 2


def test_a_line_of_jsonl_without_end_takes_no_memory_and_counts_once(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_bytes(b'{"x": 1}\n' + b"y" * 3_000_000)
    reader = JsonlReader(file)
    assert [sample.value for sample in reader.read()] == [1]
    with file.open("ab") as appended:
        appended.write(b'z\n{"x": 2}\n')
    assert [sample.value for sample in reader.read()] == [2]
    assert reader.broken == 1


def test_a_huge_event_is_passed_over(tmp_path: Path) -> None:
    scalar = bytes.fromhex("09000000000000594010012a0d0a0b0a046c6f7373150000003f")
    file = tmp_path / "events.out.tfevents.1700000000.host"
    file.write_bytes(tfrecord(bytes(9_000_000)) + tfrecord(scalar))
    found = read_all(tmp_path)
    assert [(p.value, p.step, p.time) for p in found.series["loss"]] == [(0.5, 1, 100)]
    assert found.broken == 0
