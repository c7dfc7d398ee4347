"""Nearness: whether a request comes from this machine, and which address its tries are counted by."""

from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address, ip_network

from worker.sandbox.machine import is_loopback

OF_A_PROXY = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")


def is_from_here(client: str, headers: Mapping[str, str]) -> bool:
    """Whether it comes from this machine, to a name of it, and through no proxy.

    A page elsewhere may give its own name our address (DNS rebinding), and a proxy here speaks for anybody.
    """
    here = is_loopback(client) and is_loopback(_without_port(headers.get("host", "")).rstrip("."))
    return here and not any(name in headers for name in OF_A_PROXY)


def counted_address(client: str) -> str:
    """The address tries are counted by: of IPv6 the network, of which anybody has many addresses."""
    try:
        address = ip_address(client)
    except ValueError:
        return "unknown"
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or ip_network(f"{address}/64", strict=False).network_address)
    return str(address)


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host
