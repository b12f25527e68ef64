"""A corpus of files that no reader may accept, hang on or run out of memory on.

Every entry is (name, kind, words, build): `kind` says who reads it ("defence", "answer", "bundle" or "loose bundle"),
`words` must occur in the reasons, and `build(path)` writes the file.

Run as a program (folder, budget in MB), it feeds the whole corpus to the readers in one process whose address space
may grow by the budget, and prints what happened as JSON.
"""

import json
import pickle
import resource
import struct
import sys
import time
import zipfile
from pathlib import Path

import numpy as np

from tests import pcaps
from tests.forged import (
    ANSWER_HEADER,
    DIGITS,
    GOOD_CAPTURE,
    HEADER,
    HONEST,
    HONEST_CSV,
    MEGABYTE,
    NOISY_ROWS,
    PUBLICS,
    ROW_MEGABYTE,
    SETTINGS,
    answer,
    array,
    bomb,
    capture,
    changed,
    changed_answer,
    csv_text,
    cut,
    defence,
    end_record,
    flipped,
    honest_rows,
    npy,
    npz,
    pickled,
    raw_zip,
    saved,
    written,
    zip64_end,
    zipped,
)

ARCHIVES = [
    ("an empty file", "defence", "not empty", written(b"")),
    ("a text", "defence", "complete zip", written(b"cell_id,rep\n1,2\n" * 100)),
    ("random bytes", "defence", "complete zip", written(np.random.default_rng(1).bytes(5000))),
    ("a gzip file", "defence", "complete zip", written(b"\x1f\x8b\x08" + b"\0" * 100)),
    ("half a zip", "defence", "complete zip", cut(HONEST, 0.5)),
    ("300,000 members", "defence", "members", written(zip64_end(300_000, 300_000 * 50))),
    ("65,000 members", "defence", "members", written(end_record(65_000, 1, 0))),
    ("a million million members", "defence", "members", written(zip64_end(10**12, 100))),
    ("a directory of 4 GB", "defence", "directory", written(end_record(1, 0xFFFFFFF0, 0))),
    ("a directory that lies about its members", "defence", "directory", lambda path: _lying_directory(path)),
    ("a directory outside of the file", "defence", "undamaged", written(end_record(1, 60, 10**6))),
    ("a split archive", "defence", "one file", written(end_record(1, 60, 0, disk=3))),
    ("an empty zip", "defence", "exactly one", zipped()),
    ("two tables", "defence", "exactly one", zipped(("a.csv", "a"), ("b.csv", "b"))),
    ("macOS litter only", "defence", "exactly one", zipped(("__MACOSX/._a.csv", "a"), (".DS_Store", "b"))),
    ("a zip in a zip", "defence", "Do not pack an archive", zipped(("defence.csv.zip", b"PK\3\4"))),
    ("a gzip in a zip", "defence", "Do not pack an archive", zipped(("defence.csv.gz", b"\x1f\x8b"))),
    ("a zip named csv in a zip", "defence", "names exactly", defence(b"PK\3\4\n")),
    ("another suffix", "defence", "is named", zipped(("defence.xlsx", HONEST_CSV))),
    ("an absolute name", "defence", "relative", zipped(("/etc/defence.csv", HONEST_CSV))),
    ("a climbing name", "defence", "relative", zipped(("../../defence.csv", HONEST_CSV))),
    ("a Windows name", "defence", "relative", zipped(("C:\\defence.csv", HONEST_CSV))),
    ("a symlink", "defence", "no links", raw_zip(b"defence.csv", b"/etc/passwd", 11, method=0, mode=0o120777)),
    ("a device", "defence", "no links", raw_zip(b"defence.csv", b"", 0, method=0, mode=0o020666)),
    ("a password", "defence", "no password", raw_zip(b"defence.csv", b"\0" * 50, 50, flags=1)),
    ("bzip2", "defence", "usual compression", zipped(("defence.csv", HONEST_CSV), method=zipfile.ZIP_BZIP2)),
    ("lzma", "defence", "usual compression", zipped(("defence.csv", HONEST_CSV), method=zipfile.ZIP_LZMA)),
    ("an unknown compression", "defence", "usual compression", raw_zip(b"defence.csv", b"\0" * 50, 50, method=99)),
    ("a zero bomb", "defence", "fold", bomb(body=b"\0" * MEGABYTE, times=390)),
    ("a row bomb", "defence", "MB", bomb(HEADER.encode(), ROW_MEGABYTE, 1500)),
    ("a bomb that says it is small", "defence", "undamaged", bomb(HEADER.encode(), ROW_MEGABYTE, 900, says=1000)),
    ("a size that is too large", "defence", "undamaged", raw_zip(b"defence.csv", b"a,b", 500_000, method=0)),
    ("compressed bytes beyond the file", "defence", "undamaged", raw_zip(b"defence.csv", b"a", 9, packed_size=10**6)),
    ("a wrong checksum", "defence", "undamaged", flipped(HONEST, 16 - 57 - 22)),
    ("damaged data", "defence", "undamaged", flipped(HONEST, 90)),
    ("a file without a name", "defence", "is named", raw_zip(b"", b"1,2", 3, method=0)),
    ("a control character in the name", "defence", "is named", zipped(("a\x1b[31m\n.exe", "x"))),
]

TABLES = [
    ("an empty table", "defence", "names exactly", defence("")),
    ("a header only", "defence", "between 1 and", defence(HEADER)),
    ("no header", "defence", "names exactly", defence("1,1,500,0.5\n" * 50)),
    ("a missing column", "defence", "missing", defence("cell_id,rep,timestamp\n1,1,0\n")),
    ("a column twice", "defence", "twice", defence("cell_id,rep,rep,direction_size,timestamp\n1,1,1,1,0\n")),
    ("an index column", "defence", "unknown", defence(",cell_id,rep,direction_size,timestamp\n0,1,1,1,0\n")),
    ("semicolons", "defence", "commas only", defence(HONEST_CSV.replace(",", ";"))),
    ("quoted names", "defence", "commas only", defence('"cell_id","rep","direction_size","timestamp"\n1,1,1,0\n')),
    (
        "a million columns in the header",
        "defence",
        "names exactly",
        zipped(("defence.csv", "a," * 10**6 + "\n1\n"), method=zipfile.ZIP_STORED),
    ),
    (
        "a million columns in a row",
        "defence",
        "bytes",
        zipped(("defence.csv", HEADER + "1," * 10**6), method=zipfile.ZIP_STORED),
    ),
    ("a header of 200 MB", "defence", "names exactly", bomb(body=DIGITS, times=200)),
    ("a line of 200 MB", "defence", "bytes", bomb(HEADER.encode() + b"1,1,1,0.", DIGITS, 200)),
    (
        "a row bomb within the limits of a zip",
        "defence",
        "between 1 and 8,000,000",
        bomb(HEADER.encode(), NOISY_ROWS, 150),
    ),
    ("a line of 600 KB", "defence", "bytes", changed("1,1,500," + "0." + "1" * 600_000)),
    ("an open quote", "defence", "direction_size is a whole number", changed('1,0,"500,0.1')),
    ("a text as size", "defence", "line 10", changed("1,0,large,0.1")),
    ("a fraction as size", "defence", "whole number", changed("1,0,500.5,0.1")),
    ("a text as time", "defence", "timestamp is a number", changed("1,0,500,noon")),
    ("an empty value", "defence", "cell_id is a whole number", changed(",0,500,0.1")),
    ("a size beyond 64 bits", "defence", "whole number", changed("1,0," + "9" * 30 + ",0.1")),
    ("a NUL byte", "defence", "whole number", changed("1,0,5\x0000,0.1")),
    ("no time (NaN)", "defence", "finite", changed("1,0,500,nan")),
    ("endless time", "defence", "finite", changed("1,0,500,inf")),
    ("overflowing time", "defence", "", changed("1,0,500,1e999")),
    ("a short row", "defence", "4 values", changed("1,0,500")),
    ("a long row", "defence", "4 values", changed("1,0,500,0.1,7")),
    ("a blank line", "defence", "blank", changed("")),
    ("short rows only", "defence", "given up", defence(HEADER + "1,2,3\n" * 50_000)),
    ("blank lines only", "defence", "blank", defence(HEADER + "\n" * 50_000)),
    ("UTF-16", "defence", "UTF-8", defence(HONEST_CSV.encode("utf-16"))),
    ("Latin-1", "defence", "UTF-8", defence("célula".encode("latin-1") + b"\n1\n")),
    ("Latin-1 in a value", "defence", "whole number", changed("1,0,\xe9,0.1")),
    ("lone carriage returns", "defence", "lone carriage", defence(HONEST_CSV + "1,0,500,0.1\r" * 9)),
]

RULES = [
    ("cells from 0", "defence", "missing: 4", defence(csv_text(honest_rows(range(4))))),
    ("cells from 101", "defence", "other cells: 101-104", defence(csv_text(honest_rows(range(101, 105))))),
    ("a cell too few", "defence", "missing: 4", defence(csv_text(honest_rows(range(1, 4))))),
    ("too few repetitions", "defence", "between 3 and 5", defence(csv_text(honest_rows(reps=2)))),
    ("too many repetitions", "defence", "between 3 and 5", defence(csv_text(honest_rows(reps=6)))),
    ("a capture of five packets", "defence", "at least 6", defence(csv_text(honest_rows()[1:]))),
    ("a packet of size 0", "defence", "size 0", changed("1,0,0,0.1")),
    ("a packet of a megabyte", "defence", "65,535", changed("1,0,1000000,0.1")),
    ("the smallest 32-bit size", "defence", "65,535", changed("1,0,-2147483648,0.1")),
    ("a negative time", "defence", "negative", changed("1,0,500,-0.1")),
    ("times since 1970", "defence", "first packet", defence(HONEST_CSV.replace(",0.", ",1700000000."))),
    ("times in milliseconds", "defence", "lasts at most", changed("1,1,500,9000")),
    ("times of zero", "defence", "1 Gbit/s", defence(HONEST_CSV.replace(",0.", ",0.0000"))),
    ("one direction", "defence", "both directions", defence(HONEST_CSV.replace(",-", ","))),
]

CAPTURES = [
    ("capture of garbage", "defence", "intact pcap", capture(b"garbage" * 100)),
    ("capture of nothing", "defence", "an empty file", capture(b"")),
    ("capture without packets", "defence", "no packets", capture(pcaps.pcap([]))),
    ("capture cut in a packet", "defence", "cut off", capture(GOOD_CAPTURE[:-7])),
    ("capture cut in a header", "defence", "cut off", capture(GOOD_CAPTURE + b"\0" * 5)),
    ("capture with a packet of 4 GB", "defence", "cut off", capture(GOOD_CAPTURE + b"\xff" * 16)),
    ("capture header only", "defence", "intact", capture(GOOD_CAPTURE[:10])),
    ("compressed capture", "defence", "gunzip", capture(b"\x1f\x8b\x08" + b"\0" * 50)),
    ("capture of another link", "defence", "link type", capture(pcaps.pcap(pcaps.conversation(), link=105))),
    ("capture without TCP", "defence", "TCP packets", capture(pcaps.pcap([(1.0, b"\0" * 200)] * 9))),
    ("capture badly named", "defence", "named cell_", capture(GOOD_CAPTURE, "one.pcap")),
    ("capture of a huge cell", "defence", "named cell_", capture(GOOD_CAPTURE, f"cell_{10**15}_rep_1.pcap")),
    ("capture and table", "defence", "is named", zipped(("cell_1_rep_1.pcap", GOOD_CAPTURE), ("a.csv", HONEST_CSV))),
    (
        "captures of one repetition twice",
        "defence",
        "again",
        zipped(("cell_1_rep_1.pcap", GOOD_CAPTURE), ("cell_1_rep_1.pcapng", GOOD_CAPTURE)),
    ),
    (
        "pcapng with a million interfaces",
        "defence",
        "no packets",
        capture(pcaps.pcapng(pcaps.conversation(), interfaces=20_000)),
    ),
    ("pcapng cut off", "defence", "cut off", capture(pcaps.pcapng(pcaps.conversation())[:-9])),
    (
        "pcapng without times",
        "defence",
        "without a time",
        capture(pcaps.pcapng([]) + pcaps.block(3, struct.pack("<I", 4) + b"abcd")),
    ),
    ("pcapng with an empty block", "defence", "intact", capture(pcaps.pcapng([]) + b"\0" * 40)),
]

ANSWERS = [
    ("answer of nothing", "answer", "names exactly", answer("")),
    ("answer of a defence", "answer", "names exactly", answer(HONEST_CSV)),
    ("answer with NaN", "answer", "between 0 and 1", changed_answer("7,13,nan,0.25,0.5,0.0")),
    ("answer with infinity", "answer", "between 0 and 1", changed_answer("7,13,inf,-inf,0.5,0.5")),
    ("answer with a negative number", "answer", "between 0 and 1", changed_answer("7,13,-0.5,0.5,0.5,0.5")),
    ("answer with logarithms", "answer", "between 0 and 1", changed_answer("7,13,-1.2,-3.4,-0.2,-9")),
    ("answer that sums to 0", "answer", "sum to 1", changed_answer("7,13,0,0,0,0")),
    ("answer that sums to 2", "answer", "sum 2", changed_answer("7,13,0.5,0.5,0.5,0.5")),
    ("answer with a text", "answer", "proba_class_1 is a number", changed_answer("7,13,yes,0,0,1")),
    ("answer with an unknown capture", "answer", "unknown", changed_answer("7,99,0,0,0,1")),
    ("answer with a capture twice", "answer", "repeated", changed_answer("7,12,0,0,0,1")),
    ("answer for another team", "answer", "opponents only", changed_answer("8,13,0,0,0,1")),
    ("answer with 10,000 rows too many", "answer", "rows", answer(ANSWER_HEADER + "7,11,0,0,0,1\n" * 10_000)),
    ("answer bomb", "answer", "MB", bomb(ANSWER_HEADER.encode(), ROW_MEGABYTE, 900, name=b"answer.csv")),
]

BUNDLES = [
    ("bundle of nothing", "bundle", "not empty", written(b"")),
    ("bundle that is a pickle", "bundle", "complete zip", written(pickle.dumps({"x": 1}))),
    ("bundle that is one array", "bundle", "complete zip", written(saved(np.zeros(3)))),
    ("bundle of pickled objects", "bundle", "objects", pickled),
    ("bundle with a pickle as member", "bundle", "npy", npz(pickle.dumps([1]))),
    ("bundle with another file", "bundle", "arrays only", zipped(("x.npy", saved(np.zeros(3))), ("run.py", "1"))),
    ("bundle that claims 10 GB", "loose bundle", "as long as its header", npz(array(shape="(1342177280,)"))),
    (
        "bundle that claims more than memory",
        "loose bundle",
        "as long",
        npz(array(shape="(999999999, 999999999)")),
    ),
    ("bundle with a negative length", "loose bundle", "negative", npz(array(shape="(-1, -3)"))),
    ("bundle with ten axes", "loose bundle", "axes", npz(array(shape="(1, 1, 1, 1, 1, 1, 1, 1, 1, 3)"))),
    ("bundle with code as header", "bundle", "npy", npz(npy("__import__('os').system('true')\n"))),
    ("bundle with deep brackets", "bundle", "npy", npz(npy("(" * 3000 + "\n"))),
    ("bundle with a header of 4 GB", "bundle", "npy", npz(b"\x93NUMPY\2\0\xff\xff\xff\xff{}")),
    ("bundle with an empty header", "bundle", "npy", npz(npy(""))),
    ("bundle with an unknown version", "bundle", "npy", npz(npy("{}", version=9))),
    (
        "bundle with records",
        "bundle",
        "holds numbers",
        npz(npy("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (3,)}\n")),
    ),
    ("bundle with dates", "bundle", "holds numbers", npz(array("<M8[s]"))),
    ("bundle with texts", "bundle", "holds numbers", npz(array("<U2"))),
    ("bundle with texts of no length", "bundle", "holds numbers", npz(array("<U0", "(99999999999,)", b""))),
    ("bundle with NaN", "bundle", "finite", npz(saved(np.array([0, np.nan, 1])))),
    ("bundle of another shape", "bundle", "shape", npz(saved(np.zeros((2, 2))))),
    ("bundle with a name twice", "bundle", "own name", lambda path: _twice(path)),
    ("bundle with a missing array", "bundle", "missing: x", npz(saved(np.zeros(3)), "y.npy")),
    ("bundle with a climbing name", "bundle", "relative", npz(saved(np.zeros(3)), "../x.npy")),
    ("bundle cut off", "bundle", "complete zip", cut(npz(saved(np.zeros(3))), 0.6)),
    ("bundle with damaged data", "bundle", "npy", flipped(npz(saved(np.random.default_rng(1).random(300))), 500)),
    ("bundle bomb", "bundle", "MB", bomb(array(shape="(104857600,)", data=b""), b"\0" * MEGABYTE, 800, name=b"x.npy")),
    ("bundle bomb that lies", "bundle", "npy", bomb(array(), b"\0" * MEGABYTE, 800, name=b"x.npy", says=200)),
    ("bundle of 5,000 arrays", "bundle", "members", zipped(*((f"a{number}.npy", b"") for number in range(5000)))),
]

CORPUS = [*ARCHIVES, *TABLES, *RULES, *CAPTURES, *ANSWERS, *BUNDLES]


def _lying_directory(path):
    """9,000 members in a directory whose end record says 1."""
    zipped(*((f"{number}.csv", "") for number in range(9000)))(path)
    content = bytearray(path.read_bytes())
    content[-14:-10] = struct.pack("<HH", 1, 1)
    path.write_bytes(content)


def _twice(path):
    """Two members of one name, which the zipfile module warns of: so one name is patched in."""
    zipped(("x.npy", saved(np.zeros(3))), ("y.npy", saved(np.zeros(3))))(path)
    path.write_bytes(path.read_bytes().replace(b"y.npy", b"x.npy"))


def read(kind, path):
    """Read a file as the platform does."""
    from app import bundles
    from app.tracks.fingerprinting import answer_file, defence_file

    if kind == "defence":
        return defence_file.read(path, SETTINGS)
    if kind == "answer":
        return answer_file.read(path, PUBLICS, SETTINGS)
    return bundles.read(path, {"x": bundles.ArraySpec("f", (3,) if kind == "bundle" else None)}, 64 * MEGABYTE)


def main(folder, budget_mb):
    """Read everything within the budget and print, by name: the error, its reasons, CPU seconds and MB gained."""
    from app.errors import InvalidUpload

    path, results = Path(folder) / "upload.zip", {}
    HONEST(path)
    read("defence", path)  # So that imports and thread stacks are not counted.
    capture(GOOD_CAPTURE)(path)
    for name, kind, _, build in [("", "defence", "", capture(GOOD_CAPTURE)), *CORPUS]:
        build(path)
        if not name:
            _limit(budget_mb)
        before, start = _resident(), time.process_time()
        try:
            read(kind, path)
            error, reasons = "accepted", []
        except InvalidUpload as refusal:
            error, reasons = "InvalidUpload", [reason.to_json() for reason in refusal.reasons]
        except Exception as problem:  # noqa: BLE001 (the test reports whatever happened)
            error, reasons = repr(problem), []
        results[name] = [error, reasons, time.process_time() - start, _resident() - before]
    print(json.dumps(results))  # noqa: T201


def _limit(budget_mb):
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + budget_mb * MEGABYTE,) * 2)


def _resident():
    """The highest resident memory so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
