"""Where webhooks may go.

Whoever may name an address to a server can make it ask what only that server can reach (OWASP, SSRF): so hosts come from a list, and the
address that is connected to is the one that was looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Self

import httpx

from ocrfarm_shared.errors import BadOption

Address = IPv4Address | IPv6Address
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: an IPv4 address in its last 32 bits
LOW_PORTS = (80, 443)


@dataclass(frozen=True)
class Target:
    """A checked URL. `named`: its host is on the list by its own name, so that it may be private."""

    url: httpx.URL
    host: str
    port: int
    named: bool

    def may_be(self, address: Address) -> bool:
        """Whether this host may be at that address."""
        return self.named or is_public(address)

    def at(self, address: Address) -> httpx.URL:
        """The URL with the address in place of the name."""
        return self.url.copy_with(host=str(address))


@dataclass(frozen=True)
class Targets:
    """The list of `OCRFARM_WEBHOOK_HOSTS`: `hooks.example.org` (that host, which may be private), `*.example.org` (what is under it, at
    public addresses), `*` (any host at public addresses)."""

    names: frozenset[str]
    under: tuple[str, ...]
    everywhere: bool

    @classmethod
    def of(cls, listed: str) -> Self:
        entries = [entry.strip().lower().rstrip(".") for entry in listed.split(",") if entry.strip()]
        return cls(
            frozenset(entry.strip("[]") for entry in entries if not entry.startswith("*")),
            tuple(entry[1:] for entry in entries if entry.startswith("*.")),
            "*" in entries,
        )

    def check(self, text: str) -> Target:
        """Raises BadOption, which says what is wrong."""
        try:
            url = httpx.URL(text)
        except (httpx.InvalidURL, ValueError):
            raise BadOption("`webhook` is no address; it looks like https://hooks.example.org/path.") from None
        host = url.raw_host.decode("ascii").lower().rstrip(".")
        if url.scheme not in ("http", "https") or not host:
            raise BadOption("`webhook` must be an http or https address, like https://hooks.example.org/path.")
        if url.userinfo:
            raise BadOption("`webhook` must hold no user and password; the request is signed instead.")
        port = url.port or (443 if url.scheme == "https" else 80)
        if not 0 < port < 65536 or (port < 1024 and port not in LOW_PORTS):
            raise BadOption("`webhook`: the port must be 80, 443, or 1024 and over.")
        named = host in self.names
        if not (named or self.everywhere or host.endswith(self.under or ("\0",))):
            raise BadOption(
                f"`webhook`: this farm sends nothing to {host[:100]!r}; whoever runs it lists hosts in OCRFARM_WEBHOOK_HOSTS."
            )
        return Target(url, host, port, named)


def is_public(address: Address) -> bool:
    """Whether it is an address of the public internet, also by any IPv4 address that is wrapped in it."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if int(address) >> 32 == 0 and int(address) > 1:  # ::a.b.c.d, long out of use
            inner = IPv4Address(int(address))
        if inner is not None:
            return is_public(inner)
    return address.is_global and not (
        address.is_multicast
        or address.is_reserved
        or address.is_loopback
        or address.is_link_local
        or address.is_unspecified
    )


def addresses_of(found: list[str]) -> list[Address]:
    """Out of what a resolver answered; a zone (`%eth0`) says that it is link-local, and is kept so."""
    return [ip_address(text.partition("%")[0]) for text in found]
