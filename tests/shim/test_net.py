import socket

from shim.net import free_ports, port_fault


def test_ports_are_free_different_and_out_of_the_reach_of_outgoing_connections() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert all(10000 < port < 32768 for port in ports)
    assert [port for port in ports if port_fault("127.0.0.1", port)] == []


def test_port_that_is_listened_on_is_at_fault() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert port_fault("127.0.0.1", taken.getsockname()[1]) == "Address already in use"
