import struct
import zipfile

import pytest

from app import archives
from app.errors import InvalidUpload


@pytest.fixture
def upload(tmp_path):
    return tmp_path / "upload.zip"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "unpacked").mkdir()
    return tmp_path / "unpacked"


def pack(path, *files, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files:
            archive.writestr(name, content)


def reasons(function, *arguments):
    with pytest.raises(InvalidUpload) as caught:
        function(*arguments)
    return caught.value.reasons


class TestExtractSingle:
    @pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    def test_it_unpacks_the_one_member_under_a_name_of_its_own(self, upload, folder, method):
        pack(upload, ("../".replace("../", "") + "Captures Ä.CSV", "a,b\n1,2\n"), method=method)
        path = archives.extract_single(upload, folder, (".csv",), 100)
        assert path.read_text() == "a,b\n1,2\n"
        assert path.parent == folder
        assert path.name == "member.csv"

    def test_it_does_not_count_folders_and_what_macos_adds(self, upload, folder):
        pack(upload, ("data/", ""), ("data/a.csv", "x"), ("__MACOSX/data/._a.csv", "y"), ("data/.DS_Store", "z"))
        assert archives.extract_single(upload, folder, (".csv",), 100).read_text() == "x"

    def test_it_reads_what_was_streamed_with_zip64_fields(self, upload, folder):
        with zipfile.ZipFile(upload, "w") as archive, archive.open("a.csv", "w", force_zip64=True) as member:
            member.write(b"x")
        assert archives.extract_single(upload, folder, (".csv",), 100).read_text() == "x"

    def test_it_reads_a_zip_with_a_zip64_end_record(self, upload, folder):
        pack(upload, ("a.csv", "x"))
        content = upload.read_bytes()
        end = content.rindex(b"PK\5\6")
        size, offset = struct.unpack_from("<II", content, end + 12)
        record = b"PK\6\6" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 1, 1, size, offset)
        locator = b"PK\6\7" + struct.pack("<IQI", 0, end, 1)
        last = content[end : end + 8] + b"\xff" * 12 + b"\0\0"
        upload.write_bytes(content[:end] + record + locator + last)
        assert archives.extract_single(upload, folder, (".csv",), 100).read_text() == "x"

    def test_it_reads_a_zip_with_a_comment(self, upload, folder):
        pack(upload, ("a.csv", "x"))
        with zipfile.ZipFile(upload, "a") as archive:
            archive.comment = b"made for the course"
        assert archives.extract_single(upload, folder, (".csv",), 100).read_text() == "x"

    def test_it_tells_every_reason_at_once(self, upload, folder):
        pack(upload, ("/tmp/../a.exe", "0" * 500), method=zipfile.ZIP_BZIP2)
        rules = " ".join(reason.rule for reason in reasons(archives.extract_single, upload, folder, (".csv",), 100))
        for words in ("relative", "usual compression", "named *.csv", "at most 0.0 MB"):
            assert words in rules

    def test_it_names_the_files_when_there_are_several(self, upload, folder):
        pack(upload, *((f"{letter}.csv", "") for letter in "abcdefgh"))
        (reason,) = reasons(archives.extract_single, upload, folder, (".csv",), 100)
        assert reason.where == '8 files: "a.csv", "b.csv", "c.csv", "d.csv", "e.csv", …'
        assert reason.count == 8

    def test_it_refuses_a_repetitive_member_only_when_it_is_large(self, upload, folder):
        pack(upload, ("a.csv", b"0" * 1_000_000))
        archives.extract_single(upload, folder, (".csv",), 10**8)
        pack(upload, ("a.csv", b"0" * 2_000_000))
        (reason,) = reasons(archives.extract_single, upload, folder, (".csv",), 10**8)
        assert "200-fold" in reason.rule

    def test_it_leaves_nothing_outside_of_the_folder(self, upload, folder, tmp_path):
        pack(upload, ("../escaped.csv", "x"))
        reasons(archives.extract_single, upload, folder, (".csv",), 100)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["unpacked", "upload.zip"]


class TestExtractAll:
    def test_it_returns_names_and_files(self, upload, folder):
        pack(upload, ("x/a.pcap", "1"), ("b.pcapng", "22"))
        found = archives.extract_all(upload, folder, (".pcap", ".pcapng"), 20, 100)
        assert [(name, path.name, path.read_text()) for name, path in found] == [
            ("x/a.pcap", "member_0.pcap", "1"),
            ("b.pcapng", "member_1.pcapng", "22"),
        ]

    def test_it_bounds_the_sum_of_all_members(self, upload, folder):
        pack(upload, ("a.pcap", b"1" * 60), ("b.pcap", b"2" * 60))
        (reason,) = reasons(archives.extract_all, upload, folder, (".pcap",), 20, 100)
        assert "MB" in reason.rule

    def test_it_bounds_their_number(self, upload, folder):
        pack(upload, *((f"{number}.pcap", "") for number in range(30)))
        (reason,) = reasons(archives.extract_all, upload, folder, (".pcap",), 20, 100)
        assert "at most 20 members" in reason.rule

    def test_it_gives_many_members_a_larger_directory(self, upload, folder):
        pack(upload, *((f"cell_{number}_rep_1.pcap", "") for number in range(2000)))
        assert len(archives.extract_all(upload, folder, (".pcap",), 4000, 100)) == 2000


class TestQuoted:
    def test_it_escapes_and_cuts(self):
        assert archives.quoted("a\x1b[31m\n") == '"a\\x1b[31m\\n"'
        assert len(archives.quoted("é" * 1000)) < 70
