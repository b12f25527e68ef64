"""Zip files from strangers: looked at before they are opened, unpacked under byte counts, names never used as paths."""

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from app.errors import InvalidUpload, Reason

MAX_MEMBERS = 16
MAX_DIRECTORY_BYTES = 64 * 1024
DIRECTORY_BYTES_PER_MEMBER = 512
"""What a directory may spend on one member: 46 bytes, its name and the extra fields of common packers."""
MAX_RATIO = 200
RATIO_MATTERS_FROM = 1024 * 1024
"""Smaller members may be as repetitive as they like: they cannot hurt."""
CHUNK = 1024 * 1024
SHOWN = 5
BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OSError,
)
"""What the zipfile module raises on damaged or hostile files."""


def extract_single(
    upload: Path, folder: Path, suffixes: tuple[str, ...], max_bytes: int, max_ratio: int = MAX_RATIO
) -> Path:
    """Unpack the one member of a zip into `folder` and return where it lies; the name on disk is ours.

    Folders, `__MACOSX/` and `.DS_Store` do not count. Raises InvalidUpload with every reason at once.
    """
    with open_zip(upload, MAX_MEMBERS) as archive:
        members = content(archive)
        if len(members) != 1:
            raise InvalidUpload([_not_single(members, suffixes)])
        _refuse(_complaints(members, suffixes, max_bytes, max_ratio))
        return _copy(archive, members[0], folder / f"member{suffixes[0]}", max_bytes)


def extract_all(
    upload: Path, folder: Path, suffixes: tuple[str, ...], max_members: int, max_bytes: int
) -> list[tuple[str, Path]]:
    """Unpack every member into `folder`: pairs of the name in the zip (to be shown only) and the file on disk.

    `max_bytes` bounds the sum of all members. Raises InvalidUpload with every reason at once.
    """
    with open_zip(upload, max_members) as archive:
        members = content(archive)
        if not members:
            raise InvalidUpload([_not_single(members, suffixes)])
        _refuse(_complaints(members, suffixes, max_bytes, MAX_RATIO))
        unpacked, left = [], max_bytes
        for number, member in enumerate(members):
            path = _copy(archive, member, folder / f"member_{number}{_suffix(member, suffixes)}", left)
            left -= path.stat().st_size
            unpacked.append((member.filename, path))
        return unpacked


def names(upload: Path, max_members: int) -> list[str]:
    """The names of the members that count, as the zip spells them. Raises InvalidUpload."""
    with open_zip(upload, max_members) as archive:
        return [member.filename for member in content(archive)]


def open_zip(upload: Path, max_members: int) -> zipfile.ZipFile:
    """The zip, after its end record was checked, so that reading its directory is cheap. Raises InvalidUpload."""
    max_directory = max(MAX_DIRECTORY_BYTES, max_members * DIRECTORY_BYTES_PER_MEMBER)
    _refuse(_end_complaints(upload, max_members, max_directory))
    try:
        archive = zipfile.ZipFile(upload)
    except BROKEN as error:
        raise InvalidUpload([_damaged(f"the directory of the zip: {quoted(str(error))}")]) from error
    if len(archive.infolist()) > max_members:
        archive.close()
        raise InvalidUpload([_too_many(len(archive.infolist()), max_members)])
    return archive


def content(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The members that count: no folders and nothing that macOS adds on its own."""
    return [
        member for member in archive.infolist() if not member.filename.endswith("/") and not _is_litter(member.filename)
    ]


def quoted(name: str) -> str:
    """A stranger's text for a message: short, and without control characters."""
    text = name.encode("unicode_escape", "backslashreplace").decode("ascii")
    return f'"{text[:60]}…"' if len(text) > 60 else f'"{text}"'


def unreadable(member: zipfile.ZipInfo) -> list[Reason]:
    """Why a member must not be unpacked, whatever it holds: a hostile name, a link, a password, a rare compression."""
    name, path = member.filename, PurePosixPath(member.filename.replace("\\", "/"))
    reasons = []
    if path.is_absolute() or ".." in path.parts or (path.parts[:1] and path.parts[0].endswith(":")):
        reasons.append(
            Reason(
                'Names inside the zip are relative and without "..".', quoted(name), "Zip the bare file, not its path."
            )
        )
    mode = member.external_attr >> 16
    if mode and not stat.S_ISREG(mode) and stat.S_IFMT(mode):
        reasons.append(
            Reason(
                "The zip holds regular files only, no links.", quoted(name), "Zip the file itself, not a link to it."
            )
        )
    if member.flag_bits & 0x1:
        reasons.append(Reason("The zip has no password.", quoted(name), "Zip the file without encryption."))
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        found = f"{quoted(name)} uses method {member.compress_type}"
        reasons.append(
            Reason(
                "The zip uses the usual compression (stored or deflate).",
                found,
                "Zip it again with the defaults of zip.",
            )
        )
    return reasons


def _complaints(
    members: list[zipfile.ZipInfo], suffixes: tuple[str, ...], max_bytes: int, max_ratio: int
) -> Iterable[Reason]:
    for member in members[:MAX_MEMBERS]:
        yield from unreadable(member)
    wrong = [member.filename for member in members if _suffix(member, suffixes) is None]
    if wrong:
        yield _wrong_suffix(wrong, suffixes)
    declared = sum(member.file_size for member in members)
    if declared > max_bytes:
        yield _too_large(max_bytes, f"{declared / 1e6:,.1f} MB")
    for member in members:
        if member.file_size > max(RATIO_MATTERS_FROM, max_ratio * member.compress_size):
            yield Reason(
                f"A file in the zip shrinks at most {max_ratio}-fold.",
                f"{quoted(member.filename)} unpacks {member.file_size // max(member.compress_size, 1):,}-fold",
                "No real data is that repetitive: remove the filler.",
            )
            return


def _copy(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, max_bytes: int) -> Path:
    """Unpack one member under a byte count, whatever its header says."""
    copied = 0
    with target.open("xb") as sink:
        for chunk in _chunks(archive, member):
            copied += len(chunk)
            if copied > max_bytes:
                raise InvalidUpload([_too_large(max_bytes, "more, and its header says otherwise")])
            sink.write(chunk)
    if copied != member.file_size:
        raise InvalidUpload([_damaged(f"{quoted(member.filename)} has {copied:,} bytes, not {member.file_size:,}")])
    return target


def _chunks(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    """The unpacked bytes; what goes wrong here is the upload's fault, and not that of the disk written to."""
    try:
        with archive.open(member) as source:
            while chunk := source.read(CHUNK):
                yield chunk
    except BROKEN as error:
        raise InvalidUpload([_damaged(f"{quoted(member.filename)}: {quoted(str(error))}")]) from error


def _end_complaints(upload: Path, max_members: int, max_directory: int) -> Iterable[Reason]:
    """Read the end record exactly where the zipfile module looks for it."""
    size = upload.stat().st_size
    if not size:
        yield Reason(
            "The upload is not empty.", "0 bytes", "Choose the file again; the upload may have been interrupted."
        )
        return
    with upload.open("rb") as file:
        file.seek(max(0, size - (1 << 16) - 22 - 76))
        tail = file.read()
    at = len(tail) - 22 if tail[-22:-18] == b"PK\5\6" and tail[-2:] == b"\0\0" else tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) - at < 22:
        yield Reason(
            "The upload is a complete zip.",
            f"the file begins with {quoted(_head(upload))} and has no zip directory",
            "Pack the file with a zip program; upload it again if the transfer was cut off.",
        )
        return
    disks, members, directory = _end_record(tail, at)
    if disks:
        yield Reason("The zip is one file.", "a part of a split archive", "Zip it again without splitting.")
    if members > max_members:
        yield _too_many(members, max_members)
    if directory > max_directory:
        yield Reason(
            f"The directory of the zip has at most {max_directory:,} bytes.", f"{directory:,} bytes", "Use short names."
        )


def _end_record(tail: bytes, at: int) -> tuple[int, int, int]:
    """Disk number, members and directory bytes; of the zip64 record where there is one."""
    disk, first_disk, _, members, directory = struct.unpack_from("<HHHHI", tail, at + 4)
    if at >= 76 and tail[at - 20 : at - 16] == b"PK\6\7" and tail[at - 76 : at - 72] == b"PK\6\6":
        disk, first_disk, _, members, directory = struct.unpack_from("<IIQQQ", tail, at - 76 + 16)
    return disk | first_disk, members, directory


def _refuse(reasons: Iterable[Reason]) -> None:
    if found := list(reasons):
        raise InvalidUpload(found)


def _head(upload: Path) -> str:
    with upload.open("rb") as file:
        return file.read(8).decode("latin-1")


def _is_litter(name: str) -> bool:
    return name.startswith("__MACOSX/") or PurePosixPath(name).name == ".DS_Store"


def _suffix(member: zipfile.ZipInfo, suffixes: tuple[str, ...]) -> str | None:
    return next((suffix for suffix in suffixes if member.filename.lower().endswith(suffix)), None)


def _list(found: list[str]) -> str:
    return ", ".join(map(quoted, found[:SHOWN])) + (", …" if len(found) > SHOWN else "")


def _not_single(members: list[zipfile.ZipInfo], suffixes: tuple[str, ...]) -> Reason:
    found = f"{len(members)} files: {_list([member.filename for member in members])}" if members else "no file"
    return Reason(
        f"The zip holds exactly one file ({' or '.join(suffixes)}).", found, "Zip that one file.", max(len(members), 1)
    )


def _wrong_suffix(wrong: list[str], suffixes: tuple[str, ...]) -> Reason:
    nested = any(name.lower().endswith((".zip", ".gz", ".7z", ".tar", ".bz2", ".xz")) for name in wrong)
    fix = "Do not pack an archive into the zip: pack the file itself." if nested else "Rename or convert the file."
    return Reason(f"A file in the zip is named *{' or *'.join(suffixes)}.", _list(wrong), fix, len(wrong))


def _too_many(members: int, limit: int) -> Reason:
    return Reason(
        f"The zip has at most {limit:,} members.", f"{members:,}", "Zip only the files that are asked for.", members
    )


def _too_large(limit: int, found: str) -> Reason:
    return Reason(
        f"Unpacked, the zip has at most {limit / 1e6:,.1f} MB.", found, "Upload less data, or fewer decimals."
    )


def _damaged(found: str) -> Reason:
    return Reason("The zip is undamaged.", found, "Zip the file again and upload it again.")
