"""Which addresses of the internet a page may be fetched from: public ones only."""

import ipaddress
import socket
import threading

REFUSED = tuple(
    map(
        ipaddress.ip_network,
        (
            "168.63.129.16/32",  # A cloud's own services, at a public address.
            "192.0.0.0/24",
            "192.88.99.0/24",  # Relays of 6to4, and below it the networks that wrap an address of another one.
            "::ffff:0:0/96",
            "::/96",
            "64:ff9b::/96",
            "64:ff9b:1::/48",
            "2001::/23",
            "2002::/16",
            "fec0::/10",
        ),
    )
)
"""Besides what is not global: private, loopback, link-local (metadata of clouds), shared, reserved and multicast."""


def is_public(address: str) -> bool:
    """Whether the numeric address belongs to the public internet, and to nothing else by another name."""
    found = ipaddress.ip_address(address)
    if not found.is_global or found.is_multicast or found.is_reserved or found.is_unspecified:
        return False
    return not any(found in network for network in REFUSED if network.version == found.version)


def resolve(host: str, port: int, seconds: float) -> list[str]:
    """The numeric addresses of a host, each once. Raises OSError when there is none within the time."""
    found: list[str] = []
    trouble: list[OSError] = [TimeoutError("its name was not resolved in time")]

    def ask() -> None:
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            trouble[:] = [error]
        else:
            found.extend(dict.fromkeys(str(answer[4][0]).partition("%")[0] for answer in answers))

    # The system's resolver knows no time limit; a thread that nobody waits for does no harm.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    if not found:
        raise trouble[0]
    return list(found)
