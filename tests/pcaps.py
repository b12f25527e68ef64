"""Builds capture files byte by byte."""

import ipaddress
import struct
import zipfile

CLIENT, SERVER = "10.0.0.2", "198.51.100.7"
SYN, ACK = 2, 16
ETHERNET, NULL, COOKED, COOKED_2, RAW = 1, 0, 113, 276, 101


def tcp(source, target, payload, *, flags=ACK, source_port=50_000, target_port=443, offloaded=False):
    """An IP packet with that many bytes of TCP payload."""
    source, target = ipaddress.ip_address(source), ipaddress.ip_address(target)
    segment = struct.pack(">HHIIBBHHH", source_port, target_port, 1, 1, 5 << 4, flags, 1000, 0, 0) + b"x" * payload
    if source.version == 6:
        return struct.pack(">IHBB", 6 << 28, len(segment), 6, 64) + source.packed + target.packed + segment
    length = 0 if offloaded else 20 + len(segment)
    return struct.pack(">BBHHHBBH", 0x45, 0, length, 1, 0, 64, 6, 0) + source.packed + target.packed + segment


def udp(source, target, payload):
    """An IPv4 packet that is not TCP."""
    head = struct.pack(">BBHHHBBH", 0x45, 0, 28 + payload, 1, 0, 64, 17, 0)
    return head + ipaddress.ip_address(source).packed + ipaddress.ip_address(target).packed + b"u" * (8 + payload)


def framed(packet, link, vlans=0):
    """The packet behind the header of its link layer."""
    kind = 0x86DD if packet[0] >> 4 == 6 else 0x0800
    return {
        ETHERNET: b"\x02" * 12 + struct.pack(">HH", 0x8100, 5) * vlans + struct.pack(">H", kind) + packet,
        COOKED: struct.pack(">HHH8sH", 0, 1, 6, b"", kind) + packet,
        COOKED_2: struct.pack(">HHIHBB8s", kind, 0, 2, 1, 0, 6, b"") + packet,
        NULL: struct.pack("<I", 2) + packet,
        RAW: packet,
    }[link]


def pcap(packets, link=ETHERNET, *, order="<", nano=False, snaplen=65_535):
    """A pcap file of (seconds, frame) pairs."""
    magic = 0xA1B23C4D if nano else 0xA1B2C3D4
    out = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, snaplen, link)]
    for seconds, frame in packets:
        whole = int(seconds)
        fraction = round((seconds - whole) * (1e9 if nano else 1e6))
        kept = frame[:snaplen]
        out.append(struct.pack(order + "IIII", whole, fraction, len(kept), len(frame)) + kept)
    return b"".join(out)


def block(kind, body, order="<"):
    """One block of a pcapng file."""
    body += b"\0" * (-len(body) % 4)
    return struct.pack(order + "II", kind, len(body) + 12) + body + struct.pack(order + "I", len(body) + 12)


def pcapng(packets, link=ETHERNET, *, order="<", interfaces=1):
    """A pcapng file of (seconds, frame) pairs, in microseconds."""
    out = [block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)]
    out += [block(1, struct.pack(order + "HHI", link, 0, 65_535), order)] * interfaces
    for seconds, frame in packets:
        ticks = round(seconds * 1e6)
        head = struct.pack(order + "5I", 0, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), len(frame))
        out.append(block(6, head + frame, order))
    return b"".join(out)


def conversation(start=1_700_000_000.0, link=ETHERNET, client=CLIENT, server=SERVER):
    """A handshake and eight packets with payload, as (seconds, frame) pairs."""
    up = {"source": client, "target": server}
    down = {"source": server, "target": client, "source_port": 443, "target_port": 50_000}
    packets = [tcp(**up, payload=0, flags=SYN), tcp(**down, payload=0, flags=SYN | ACK), tcp(**up, payload=0)]
    for turn in range(4):
        packets += [tcp(**up, payload=100 + turn), tcp(**down, payload=1000 + turn)]
    return [(start + 0.01 * number, framed(packet, link)) for number, packet in enumerate(packets)]


SIZES = [100, -1000, 101, -1001, 102, -1002, 103, -1003]
"""What `conversation` amounts to."""


def zipped(path, files):
    """A zip of (name, bytes) pairs."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return path
