"""Which hosts are never asked through a proxy: the one place that decides it.

The API's token is a shell on its machine, and a proxy reads what passes it in clear. So this
machine, the configured Wildloop server, and a Prefect server that is spoken to in clear, are always
reached directly; all else goes the way that the user's variables say.
"""

import os
import re
from collections.abc import Mapping, MutableMapping
from ipaddress import IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit
from urllib.request import getproxies

import httpx

LOOPBACK = ("127.0.0.1", "localhost", "::1")
SCHEMES = ("http", "https", "all")
NO_PROXY = ("NO_PROXY", "no_proxy")
BRACKETS = re.compile(r"^\[([^\]]+)\](?::\d+)?$")
SERVER_VARIABLE = "WILDLOOP_SERVER_URL"
PREFECT_VARIABLE = "PREFECT_API_URL"


def around_proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """What to add to an environment, so that whoever has it asks no proxy for hosts of ours.

    IPv6 networks are left out: httpx, which Prefect's client and many an agent are made of, makes
    no client where one stands.
    """
    known = [entry for name in NO_PROXY for entry in environment.get(name, "").split(",")]
    # Brackets are of URLs: httpx, which Prefect's client is made of, refuses them here.
    bare = [BRACKETS.sub(r"\1", entry.strip()).strip() for entry in known]
    entries = [entry for entry in bare if entry and not _is_ipv6_network(entry)]
    # A star is understood only when it stands alone.
    found = "*" if "*" in entries else ",".join(dict.fromkeys([*entries, *_hosts(environment)]))
    return dict.fromkeys(NO_PROXY, found)


def keep_off_proxies(environment: MutableMapping[str, str] | None = None) -> None:
    """Make a process, and all that it starts, ask no proxy for hosts of ours."""
    own = os.environ if environment is None else environment
    if not proxy_variables(own) and own is os.environ:
        # Where NO_PROXY is set, macOS is not asked for its settings any more.
        found = getproxies().items()
        own.update({f"{name}_proxy": url for name, url in found if name in SCHEMES})
    own.update(around_proxies(own))


def is_ours(url: str, environment: Mapping[str, str] | None = None) -> bool:
    """Whether a URL leads to this machine or to a server of ours."""
    host = urlsplit(url).hostname or ""
    try:
        if ip_address(host).is_loopback:
            return True
    except ValueError:
        if host.endswith(".localhost"):
            return True
    return host in _hosts(os.environ if environment is None else environment)


def transport_to(url: str, *, ours: bool = False) -> httpx.HTTPTransport | None:
    """For `httpx.Client`: past all proxies where the URL is ours, else as the variables say."""
    return httpx.HTTPTransport() if ours or is_ours(url) else None


def async_transport_to(url: str, *, ours: bool = False) -> httpx.AsyncHTTPTransport | None:
    """As `transport_to`, for `httpx.AsyncClient`."""
    return httpx.AsyncHTTPTransport() if ours or is_ours(url) else None


def proxy_variables(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables that name a proxy, with what they name, its password left out."""
    given = os.environ if environment is None else environment
    names = [f"{scheme}_proxy" for scheme in SCHEMES]
    found = {name: given[name] for one in names for name in (one, one.upper()) if given.get(name)}
    return {name: _without_user(value) for name, value in found.items()}


def proxy_fault() -> str | None:
    """Why no client can be made with the proxies of this environment; None if all is well.

    A client reads all of them at once, also where it will ask none.
    """
    try:
        httpx.Client().close()
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        names = ", ".join(proxy_variables()) or NO_PROXY[0]
        return f"{names}: no proxy can be used as it stands there ({error}): correct or unset it"
    return None


def _is_ipv6_network(entry: str) -> bool:
    try:
        return "/" in entry and isinstance(ip_network(entry, strict=False), IPv6Network)
    except ValueError:
        return False


def _hosts(environment: Mapping[str, str]) -> list[str]:
    found = [*LOOPBACK, urlsplit(environment.get(SERVER_VARIABLE, "")).hostname]
    prefect = urlsplit(environment.get(PREFECT_VARIABLE, ""))
    if prefect.scheme == "http":
        found.append(prefect.hostname)
    return [host for host in found if host]


def _without_user(url: str) -> str:
    scheme, mark, rest = url.rpartition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}"
