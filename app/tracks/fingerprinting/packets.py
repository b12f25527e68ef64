"""Takes TCP payload sizes and directions from the first bytes of captured packets, all packets at once."""

import ipaddress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.errors import InvalidUpload, Reason

WIDTH = 128
"""Bytes kept of each packet: enough for two VLAN tags (22), IPv4 with options (60) and TCP up to its flags (14)."""
ETHERNET, COOKED, COOKED_2, NULL, LOOP = 1, 113, 276, 0, 108
IP_OFFSET = {ETHERNET: 14, COOKED: 16, COOKED_2: 20, NULL: 4, LOOP: 4, 101: 0, 12: 0, 14: 0, 228: 0, 229: 0}
"""Where the IP header begins, by link type; 101, 12, 14, 228 and 229 are raw IP."""
TYPE_OFFSET = {ETHERNET: 12, COOKED: 14, COOKED_2: 0}
IPV4, IPV6, VLAN, QINQ = 0x0800, 0x86DD, 0x8100, 0x88A8
TCP, SYN, ACK = 6, 2, 16


@dataclass(frozen=True)
class Raw:
    """P captured packets as a capture file holds them."""

    data: NDArray[np.uint8]
    """(P, WIDTH): the first bytes, filled up with zeros."""
    link: NDArray[np.int64]
    """(P,): link types."""
    captured: NDArray[np.int64]
    """(P,): bytes that the file holds."""
    wire: NDArray[np.int64]
    """(P,): bytes on the wire."""
    nanoseconds: NDArray[np.int64]
    """(P,): since 1970."""


@dataclass(frozen=True)
class Segments:
    """The TCP segments among captured packets."""

    source: NDArray[np.bytes_]
    """(S,): 16 bytes; IPv4 addresses in the form ::ffff:a.b.c.d."""
    target: NDArray[np.bytes_]
    source_port: NDArray[np.int64]
    target_port: NDArray[np.int64]
    opens: NDArray[np.bool_]
    """(S,): SYN without ACK."""
    payload: NDArray[np.int64]
    """(S,): bytes of TCP payload."""
    nanoseconds: NDArray[np.int64]


def segments(raw: Raw) -> Segments:
    """The TCP segments over IPv4 and IPv6; everything else is left out (fragments and IPv6 extensions as well)."""
    start, is_ip = _ip_start(raw)
    version = np.where(is_ip, _byte(raw, start) >> 4, 0)
    four, six = version == 4, version == 6
    head = np.where(four, (_byte(raw, start) & 15) * 4, 40)
    protocol = np.where(four, _byte(raw, start + 9), _byte(raw, start + 6))
    whole = np.where(four, _word(raw, start + 6) & 0x1FFF, 0) == 0
    tcp = start + head
    keep = (four | six) & (head >= 20) & (protocol == TCP) & whole & (tcp + 14 <= np.minimum(raw.captured, WIDTH))
    # Offloading network cards leave the length at 0 where it does not fit; then the wire length tells it.
    length = np.where(four, _word(raw, start + 2), _word(raw, start + 4) + 40)
    length = np.where(length == np.where(four, 0, 40), raw.wire - start, length)
    payload = length - head - (_byte(raw, tcp + 12) >> 4) * 4
    flags = _byte(raw, tcp + 13)
    address = np.where(four, 12, 8)
    return Segments(
        _address(raw, start + address, four)[keep],
        _address(raw, start + np.where(four, 16, 24), four)[keep],
        _word(raw, tcp)[keep],
        _word(raw, tcp + 2)[keep],
        ((flags & (SYN | ACK)) == SYN)[keep],
        payload[keep],
        raw.nanoseconds[keep],
    )


def find_client(found: Segments) -> bytes:
    """The address of the client, 16 bytes.

    Among the addresses that take part in every packet: the one that opened the first connection (SYN); without a SYN
    the only private one; else the one with the higher port (servers listen on low ports). Background traffic may leave
    no such address; then the same rules choose among all. Raises InvalidUpload if they do not decide.
    """
    addresses, place = np.unique(np.concatenate([found.source, found.target]), return_inverse=True)
    source, target = np.split(place, 2)
    twice = np.bincount(source[source == target], minlength=len(addresses))
    common = np.flatnonzero(np.bincount(place) - twice == len(source))
    candidates = common if len(common) else np.arange(len(addresses))
    opener = source[found.opens & np.isin(source, candidates)]
    if np.all(source == target):
        raise InvalidUpload([_undecided(f"the two ends of {_readable(_full(addresses[0]))}")])
    if len(candidates) == 1:
        return _full(addresses[candidates[0]])
    if len(opener):
        return _full(addresses[opener[0]])
    private = [one for one in candidates if _is_private(_full(addresses[one]))]
    if len(private) == 1:
        return _full(addresses[private[0]])
    ports = [np.median(np.r_[found.source_port[source == one], found.target_port[target == one]]) for one in candidates]
    if len(ports) == 2 and ports[0] != ports[1]:
        return _full(addresses[candidates[np.argmax(ports)]])
    shown = ", ".join(str(_readable(_full(addresses[one]))) for one in candidates[:3])
    raise InvalidUpload([_undecided(shown)])


def signed(found: Segments, client: bytes) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Sizes (+ from the client) and times in seconds since the earliest of the client's packets with payload."""
    # Numpy's fixed-width bytes compare without trailing zeros, as does the key.
    key = np.bytes_(client)
    outgoing, incoming = found.source == key, found.target == key
    keep = (outgoing != incoming) & (found.payload > 0)
    size = np.where(outgoing, found.payload, -found.payload)[keep].astype(np.int32)
    moment = found.nanoseconds[keep]
    return size, (moment - moment.min(initial=np.iinfo(np.int64).max)) / 1e9


def parse_address(text: str) -> bytes:
    """The 16 bytes of an address in the usual spelling. Raises ValueError."""
    address = ipaddress.ip_address(text)
    return address.packed if address.version == 6 else b"\0" * 10 + b"\xff\xff" + address.packed


def _ip_start(raw: Raw) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Where the IP header begins, and whether there is one."""
    start = np.zeros(len(raw.link), np.int64)
    kind = np.zeros(len(raw.link), np.int64)
    known = np.zeros(len(raw.link), bool)
    for link in np.unique(raw.link):
        here = raw.link == link
        if int(link) not in IP_OFFSET:
            continue
        start[here], known[here] = IP_OFFSET[int(link)], True
        typed = TYPE_OFFSET.get(int(link))
        kind[here] = IPV4 if typed is None else _word(raw, np.full(len(start), typed))[here]
    for _ in range(2):
        tagged = (raw.link == ETHERNET) & ((kind == VLAN) | (kind == QINQ))
        kind = np.where(tagged, _word(raw, start + 2), kind)
        start = start + 4 * tagged
    return start, known & ((kind == IPV4) | (kind == IPV6))


def _byte(raw: Raw, at: NDArray[np.int64]) -> NDArray[np.int64]:
    """The byte of each packet at its own position; positions behind the end read the last byte."""
    position = np.minimum(at, WIDTH - 1)
    return raw.data[np.arange(len(raw.data)), position].astype(np.int64)


def _word(raw: Raw, at: NDArray[np.int64]) -> NDArray[np.int64]:
    return (_byte(raw, at) << 8) | _byte(raw, at + 1)


def _address(raw: Raw, at: NDArray[np.int64], four: NDArray[np.bool_]) -> NDArray[np.bytes_]:
    """Addresses as 16 bytes each."""
    position = np.minimum(at[:, None] + np.where(four[:, None], np.arange(16) - 12, np.arange(16)), WIDTH - 1)
    address = np.take_along_axis(raw.data, position, axis=1)
    address[four, :12] = np.frombuffer(b"\0" * 10 + b"\xff\xff", np.uint8)
    view: NDArray[np.bytes_] = np.ascontiguousarray(address).view("S16").ravel()
    return view


def _full(address: bytes) -> bytes:
    return bytes(address).ljust(16, b"\0")


def _readable(address: bytes) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    six = ipaddress.IPv6Address(address)
    return six.ipv4_mapped or six


def _is_private(address: bytes) -> bool:
    return _readable(address).is_private


def _undecided(shown: str) -> Reason:
    return Reason(
        "Every capture tells who the client is: by the first SYN, by a private address, or by the higher port.",
        f"undecided between {shown}",
        "Convert the captures with pcap_to_csv.py --client ADDRESS and upload the csv.",
    )
