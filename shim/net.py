"""Addresses and ports."""

import errno
import ipaddress
import random
import socket
from collections.abc import Sequence
from itertools import islice

# Linux begins its ephemeral ports at 32768, macOS and Windows at 49152.
LISTENING = (10001, 32768)
TRIES = 50
LOOPBACK = "127.0.0.1"
ABSENT = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT)


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
    try:
        return _fault(_addresses(host), port)
    except OSError as error:
        return error.strerror or str(error)


def _fault(addresses: Sequence[str], port: int) -> str | None:
    try:
        for one in _listening(addresses, port):
            one.close()
    except OSError as error:
        return error.strerror or str(error)
    return None


def listening_sockets(host: str, port: int) -> list[socket.socket]:
    """Sockets bound for a server of `host`: of 127.0.0.1, also where `localhost` leads by IPv6.

    Else whoever asks `localhost` would be refused there, or answered by somebody else.

    Raises:
        OSError: the port cannot be had.
    """
    return _listening(_addresses(host), port)


def _listening(addresses: Sequence[str], port: int) -> list[socket.socket]:
    found: list[socket.socket] = []
    try:
        for address in addresses:
            try:
                found.append(_bound(address, port))
            except OSError as error:
                # A machine may name an address of IPv6 that it does not have.
                if not found or error.errno not in ABSENT:
                    raise
    except OSError:
        for one in found:
            one.close()
        raise
    return found


def _addresses(host: str) -> list[str]:
    if host not in (LOOPBACK, "localhost"):
        return _resolved(host)
    try:
        return [LOOPBACK, *(one for one in _resolved("localhost") if ":" in one)]
    except OSError:
        return [LOOPBACK]


def _resolved(name: str) -> list[str]:
    """As clients do, by any protocol: asked for IPv6 alone, a name server is asked for localhost.

    One that does not answer takes 5 s.
    """
    infos = socket.getaddrinfo(name, None, socket.AF_UNSPEC, socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in infos))


def _bound(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # Only a socket that names its protocol is one on which asyncio sends small answers at once.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if family is socket.AF_INET6 and address != "::":
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address, port))
    except OSError:
        made.close()
        raise
    return made


def free_ports(count: int) -> list[int]:
    """Ports of the loopback address that are free now, all different.

    They lie below the range from which the kernel takes the ports of outgoing connections: while a
    server is being restarted, such a connection (even one to that very server) could take its port.

    Raises:
        OSError: too few are free.
    """
    candidates = random.SystemRandom().sample(range(*LISTENING), k=TRIES + count)
    # Asked once: it may be a name server that is asked.
    addresses = _addresses(LOOPBACK)
    free = (port for port in candidates if _fault(addresses, port) is None)
    found = list(islice(free, count))
    if len(found) < count:
        raise OSError(f"no {count} free ports from {LISTENING[0]} to {LISTENING[1] - 1}")
    return found


def claim_port(port: int) -> socket.socket | None:
    """Claim a port's number among the `wildloop up` of this machine; None if one has it.

    The socket is to be kept open for as long as the claim. It is of the other protocol, UDP, bound
    to the same number: the kernel keeps it apart for all users, and frees it however we end, while
    the server that is started meanwhile can bind the port itself, also again after its death.
    """
    claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        claim.bind(("127.0.0.1", port))
    except OSError:
        claim.close()
        return None
    return claim
