"""Made-up GPUs: a stand-in NVML library that pynvml loads in processes started for a test."""

import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.debian import apt_install

SOURCE = Path(__file__).with_name("fake_nvml.c")
LIBRARY = "libnvidia-ml.so.1"


def build_nvml(folder: Path, old_driver: bool = False) -> Path:
    """Compile the stand-in library into `folder`, or skip the test where that cannot be done."""
    if sys.platform != "linux":
        pytest.skip("the stand-in NVML library needs Linux")
    folder.mkdir(parents=True, exist_ok=True)
    command = [_compiler(), "-shared", "-fPIC", "-O1", f"-Wl,-soname,{LIBRARY}"]
    command += ["-DOLD_DRIVER"] if old_driver else []
    subprocess.run([*command, "-o", str(folder / LIBRARY), str(SOURCE)], check=True)
    return folder


def _compiler() -> str:
    found = shutil.which("cc") or shutil.which("gcc")
    if found is None:
        fault = apt_install("gcc", "libc6-dev")
        found = shutil.which("gcc")
        if found is None:
            pytest.skip(f"no C compiler to build the stand-in NVML library: {fault}")
    return found


def gpu_uuid(number: int) -> str:
    """The UUID of a made-up GPU."""
    return f"GPU-fa4e0000-0000-0000-0000-{number:012d}"


def mig_uuid(number: int, place: int) -> str:
    """The UUID of an instance of a made-up GPU in MIG mode."""
    return f"MIG-fa4e0000-0000-0000-{place:04d}-{number:012d}"


@dataclass
class _Process:
    pid: int
    mib: int | None
    kind: str
    place: int


@dataclass
class _Device:
    lost: int = 0
    used_mib: int = 4
    instances: list[int] | None = None
    processes: list[_Process] = field(default_factory=list)


class FakeNvml:
    """The made-up GPUs of a host; a change is seen at once by living processes.

    GPUs are called by their number, which makes their UUID. Their index is their place among
    those that are there.

    Args:
        library: folder of the library, from `build_nvml`.
        state: file that the library reads; written here.
        gpus: how many GPUs there are.
    """

    def __init__(self, library: Path, state: Path, gpus: int = 4) -> None:
        self.library = library
        self.state = state
        self._driver = True
        self._devices = {number: _Device() for number in range(gpus)}
        self._removed: set[int] = set()
        self._write()

    @property
    def environment(self) -> dict[str, str]:
        """Variables for a process that is to see these GPUs; they must be there at its start."""
        return {"LD_LIBRARY_PATH": str(self.library), "FAKE_NVML_STATE": str(self.state)}

    def occupy(
        self,
        number: int,
        pid: int,
        mib: int | None = 60 * 1024,
        graphics: bool = False,
        place: int = -1,
    ) -> None:
        """A process uses a GPU, or the instance at `place`; `mib` None: how much is not told."""
        device = self._devices[number]
        device.processes.append(_Process(pid, mib, "G" if graphics else "C", place))
        self._add_memory(device, place, mib or 0)

    def vacate(self, number: int) -> None:
        """All processes leave a GPU."""
        device = self._devices[number]
        device.processes, device.used_mib = [], 4
        device.instances = [0] * len(device.instances) if device.instances is not None else None
        self._write()

    def fill(self, number: int, mib: int) -> None:
        """Memory of a GPU is used, by nobody that NVML names."""
        self._add_memory(self._devices[number], -1, mib)

    def lose(self, number: int, halfway: bool = False) -> None:
        """A GPU falls off the bus; `halfway`: it still tells its name and UUID."""
        self._devices[number].lost = 2 if halfway else 1
        self._write()

    def remove(self, number: int) -> None:
        """A GPU is no longer listed: the indexes of those behind it move up."""
        self._removed.add(number)
        self._write()

    def restore(self, number: int) -> None:
        """A lost or removed GPU is back."""
        self._removed.discard(number)
        self._devices[number].lost = 0
        self._write()

    def split(self, number: int, instances: int) -> None:
        """A GPU is in MIG mode, with this many instances."""
        self._devices[number].instances = [0] * instances
        self._write()

    def load_driver(self, loaded: bool = True) -> None:
        """The driver is loaded, or is not."""
        self._driver = loaded
        self._write()

    def _add_memory(self, device: _Device, place: int, mib: int) -> None:
        if place < 0:
            device.used_mib += mib
        elif device.instances is not None:
            device.instances[place] += mib
        self._write()

    def _write(self) -> None:
        lines = [f"driver {int(self._driver)}"]
        for number, device in self._devices.items():
            if number in self._removed:
                continue
            mig, busy = int(device.instances is not None), 90 if device.processes else 0
            lines.append(f"gpu {number} {device.lost} {mig} {device.used_mib} {busy}")
            for place, mib in enumerate(device.instances or []):
                lines.append(f"mig {number} {place} {mib}")
            for process in device.processes:
                mib = -1 if process.mib is None else process.mib
                lines.append(f"proc {number} {process.place} {process.pid} {mib} {process.kind}")
        draft = self.state.with_suffix(".new")
        draft.write_text("\n".join(lines) + "\n", encoding="ascii")
        draft.replace(self.state)
