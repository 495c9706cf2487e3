import asyncio
import contextlib
import socket

import pytest

from wildloop.shim.net import free_ports, listening_sockets, port_fault


def test_ports_are_free_different_and_out_of_the_reach_of_outgoing_connections() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert all(10000 < port < 32768 for port in ports)
    assert [port for port in ports if port_fault("127.0.0.1", port)] == []


def test_a_name_server_is_asked_once_however_many_ports_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[object] = []

    def unknown(*question: object) -> list[tuple[object, ...]]:
        asked.append(question)
        raise socket.gaierror("Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert len(free_ports(20)) == 20
    assert len(asked) == 1


def test_port_that_is_listened_on_is_at_fault() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert port_fault("127.0.0.1", taken.getsockname()[1]) == "Address already in use"


def test_a_server_of_loopback_listens_where_localhost_leads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def resolved(name: str, *_: object) -> list[tuple[object, ...]]:
        assert name == "localhost"
        return [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 0, 0, 0))] * 2

    (port,) = free_ports(1)
    try:
        socket.create_server(("::1", port), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(one) for one in listening_sockets("127.0.0.1", port)]
        assert [one.getsockname()[0] for one in found] == ["127.0.0.1", "::1"]
        found[1].listen()
        found[0].close()
        assert port_fault("127.0.0.1", port) == "Address already in use"


def test_a_localhost_of_ipv6_that_is_not_there_stops_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    absent = [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2001:db8::1", 0, 0, 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: absent)
    (found,) = listening_sockets("localhost", free_ports(1)[0])
    assert found.getsockname()[0] == "127.0.0.1"
    found.close()


def test_a_host_that_is_none_is_at_fault() -> None:
    assert port_fault("no.such.host.invalid", 1)


async def test_small_answers_are_not_held_back_until_the_last_one_is_acknowledged() -> None:
    (port,) = free_ports(1)
    accepted: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()
    (listening,) = listening_sockets("127.0.0.1", port)[:1]
    server = await asyncio.start_server(
        lambda _, writer: accepted.set_result(writer), sock=listening
    )
    async with server:
        _, asking = await asyncio.open_connection("127.0.0.1", port)
        taken = (await accepted).get_extra_info("socket")
        assert taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        asking.close()
