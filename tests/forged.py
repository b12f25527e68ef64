"""Builds honest uploads, and zips, tables and arrays that lie."""

import io
import struct
import zipfile
import zlib

import numpy as np

from app.tracks.fingerprinting.settings import Settings
from tests import pcaps

SETTINGS = Settings(
    NB_CLASSES=4, NB_TRACES_TO_CLASSIFY=4, MEAN_NB_REP_PER_CLASS=4, DEVIATION_NB_REP_PER_CLASS=2, MAX_UNZIPPED_MB=400
)
"""Small enough that honest files are written in no time: 4 cells with 3 to 5 repetitions."""
PUBLICS = {7: {"test_capture": np.array([11, 12, 13, 14])}, 9: {"test_capture": np.array([21, 22, 23, 24])}}
HEADER = "cell_id,rep,direction_size,timestamp\n"
MEGABYTE = 1 << 20


def honest_rows(cells=range(1, 5), reps=3):
    """Rows of a defence that is accepted: six packets per capture."""
    return [
        f"{cell},{rep},{size},{0.1 * number:.1f}"
        for cell in cells
        for rep in range(reps)
        for number, size in enumerate((500, -1400, -1400, 600, -1300, -1200))
    ]


def csv_text(rows):
    return HEADER + "".join(f"{row}\n" for row in rows)


def honest_answer():
    """Rows of an answer that is accepted."""
    ids = [(team, capture) for team, public in PUBLICS.items() for capture in public["test_capture"]]
    return [f"{team},{capture},0.25,0.25,0.5,0.0" for team, capture in ids]


ANSWER_HEADER = "team_id,capture_id,proba_class_1,proba_class_2,proba_class_3,proba_class_4\n"


def zipped(*files, method=zipfile.ZIP_DEFLATED):
    """Build a zip of (name, text or bytes) pairs."""

    def build(path):
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, content in files:
                archive.writestr(name, content)

    return build


def defence(content):
    return zipped(("defence.csv", content))


def changed(row, line=10):
    """An honest defence in which one line was replaced."""
    rows = honest_rows()
    rows[line - 2] = row
    return defence(csv_text(rows))


def answer(content):
    return zipped(("answer.csv", content))


def changed_answer(row, line=4):
    rows = honest_answer()
    rows[line - 2] = row
    return answer(ANSWER_HEADER + "\n".join(rows) + "\n")


def written(content):
    return lambda path: path.write_bytes(content)


def repeated(head, body, times):
    """Head and many times the same megabyte as a deflate stream, and its length."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    middle = packer.compress(body) + packer.flush(zlib.Z_FULL_FLUSH)
    return first + middle * times + packer.flush(), len(head) + len(body) * times


def raw_zip(name, packed, size, *, crc=0, method=8, flags=0, mode=0o100644, packed_size=None):  # noqa: PLR0913
    """A zip of one member whose header says whatever it is told to say."""

    def build(path):
        told = len(packed) if packed_size is None else packed_size
        common = struct.pack("<HHHHHIIIHH", 20, flags, method, 0, 33, crc, told, size, len(name), 0)
        local = b"PK\3\4" + common + name + packed
        entry = b"PK\1\2" + struct.pack("<H", 0x0314) + common + struct.pack("<HHHII", 0, 0, 0, mode << 16, 0) + name
        path.write_bytes(local + entry + end_record(1, len(entry), len(local)))

    return build


def end_record(members, size, offset, disk=0):
    return b"PK\5\6" + struct.pack("<HHHHIIH", disk, disk, members, members, size, offset, 0)


def zip64_end(members, size):
    record = b"PK\6\6" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, members, members, size, 0)
    locator = b"PK\6\7" + struct.pack("<IQI", 0, 0, 1)
    return record + locator + end_record(0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)


def bomb(head=b"", body=b"", times=1, *, name=b"defence.csv", says=None):
    """A small zip of a large member; it has the right checksum if it does not lie about its size."""

    def build(path):
        packed, size = repeated(head, body, times)
        crc = zlib.crc32(head)
        for _ in range(times if says is None and size < 400 * MEGABYTE else 0):
            crc = zlib.crc32(body, crc)
        raw_zip(name, packed, size if says is None else says, crc=crc)(path)

    return build


def cut(build, keep):
    """The first share of a file."""

    def cut_build(path):
        build(path)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])

    return cut_build


def flipped(build, position):
    def flipped_build(path):
        build(path)
        content = bytearray(path.read_bytes())
        content[position] ^= 0xFF
        path.write_bytes(content)

    return flipped_build


def npy(header, data=b"", version=1):
    text = header.encode() if isinstance(header, str) else header
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text + data


def array(descr="<f8", shape="(3,)", data=b"\0" * 24, fortran=False):
    return npy(f"{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n", data)


def npz(content, name="x.npy"):
    return zipped((name, content))


def pickled(path):
    np.savez(path, x=np.array([{"a": 1}], dtype=object))
    path.with_name(path.name + ".npz").replace(path)


def saved(values):
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def capture(content, name="cell_1_rep_1.pcap"):
    return zipped((name, content))


HONEST_CSV = csv_text(honest_rows())
HONEST = defence(HONEST_CSV)
GOOD_CAPTURE = pcaps.pcap(pcaps.conversation())
ROW_MEGABYTE = b"1,1,500,0.5\n" * (MEGABYTE // 12)
NOISE = bytes(np.random.default_rng(2).integers(48, 58, 14_000, dtype=np.uint8))
DIGITS = NOISE + b"7" * (MEGABYTE - len(NOISE))
"""A megabyte that shrinks a little less than is forbidden."""
NOISY_ROWS = b"1,1,500,0." + NOISE + b"\n" + ROW_MEGABYTE
