"""Which ports a server takes: nobody else's, and the same at the next start."""

import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from wildloop.shim import ports as ports_module
from wildloop.shim.net import claim_port, free_ports
from wildloop.shim.ports import PortFault, Ports

CLAIM = "import sys; from wildloop.shim.net import claim_port; print(claim_port(int(sys.argv[1])))"


def test_servers_that_start_at_once_take_different_ports(tmp_path: Path) -> None:
    homes = [tmp_path / str(number) for number in range(8)]
    for home in homes:
        home.mkdir()
    begun = [Ports(home) for home in homes]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda one: one.take_for_prefect(None, 10000), begun))
    assert len(set(found)) == 8


def test_the_port_of_the_last_time_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports_module, "PREFECT_PORT", free_ports(1)[0])
    with socket.create_server(("127.0.0.1", ports_module.PREFECT_PORT)):
        first = Ports(tmp_path).take_for_prefect(None, 10000)
    assert first != ports_module.PREFECT_PORT
    assert Ports(tmp_path).take_for_prefect(None, 10000) == first


def test_a_broken_note_of_the_last_port_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "prefect-port").write_text("many")
    assert Ports(tmp_path).take_for_prefect(None, 10000) > 0


def test_a_port_that_another_up_is_taking_is_named(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    first = Ports(tmp_path)
    first.take("127.0.0.1", port, "--port")
    with pytest.raises(PortFault, match=f"port {port} .* another `wildloop up`.* by --port"):
        Ports(tmp_path).take("127.0.0.1", port, "--port")


def test_a_claim_holds_against_other_processes_and_ends_with_its_holder() -> None:
    (port,) = free_ports(1)
    claim = claim_port(port)
    command = [sys.executable, "-P", "-c", CLAIM, str(port)]
    assert subprocess.check_output(command, text=True) == "None\n"
    # The server itself can be bound meanwhile.
    socket.create_server(("127.0.0.1", port)).close()
    assert claim is not None
    claim.close()
    assert subprocess.check_output(command, text=True) != "None\n"


def test_both_ports_alike_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PortFault, match="two different ones"):
        Ports(tmp_path).take_for_prefect(10000, 10000)
