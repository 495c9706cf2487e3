"""Addresses and ports."""

import ipaddress
import random
import socket

# Linux begins its ephemeral ports at 32768, macOS and Windows at 49152.
LISTENING = (10001, 32768)
TRIES = 50


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def port_fault(host: str, port: int) -> str | None:
    """Why a port cannot be bound; None if it can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror or str(error)
    return None


def free_ports(count: int) -> list[int]:
    """Ports of the loopback address that are free now, all different.

    They lie below the range from which the kernel takes the ports of outgoing connections: while a
    server is being restarted, such a connection (even one to that very server) could take its port.

    Raises:
        OSError: too few are free.
    """
    candidates = random.SystemRandom().sample(range(*LISTENING), k=TRIES + count)
    found = [port for port in candidates if port_fault("127.0.0.1", port) is None]
    if len(found) < count:
        raise OSError(f"no {count} free ports from {LISTENING[0]} to {LISTENING[1] - 1}")
    return found[:count]
