"""Find the address of the client. Limits on requests before sign-in count by it."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from fastapi import Request

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

UNKNOWN = "unknown"
# A customer of an internet provider has at least a /64 and can use every address in it.
IPV6_GROUP = 64


def networks(text: str) -> list[Network]:
    """Return the addresses and networks of a comma-separated list. Raises ``ValueError`` for anything else."""
    return [ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip()]


def source_of(request: Request) -> str:
    """Return the client's address as a key for limits. IPv6 addresses are grouped by /64."""
    peer = request.client.host if request.client else None
    forwarded = ",".join(request.headers.getlist("x-forwarded-for"))
    return source(peer, forwarded, request.app.state.trusted_proxies)


def source(peer: str | None, forwarded_for: str, trusted: Sequence[Network]) -> str:
    """Return the key of the nearest address that is not a trusted proxy.

    The entries of ``forwarded_for`` are read from last to first, as long as a trusted proxy wrote them. The client may
    have written earlier entries.
    """
    address = _parsed(peer or "")
    hops = [hop for hop in forwarded_for.split(",") if hop.strip()]
    while address is not None and hops and any(address in network for network in trusted):
        hop = _parsed(hops.pop())
        if hop is None:
            break
        address = hop
    return UNKNOWN if address is None else _key(address)


def _parsed(text: str) -> Address | None:
    try:
        address = ip_address(text.strip().strip("[]"))
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _key(address: Address) -> str:
    if isinstance(address, IPv4Address):
        return str(address)
    return str(ip_network((address, IPV6_GROUP), strict=False))
