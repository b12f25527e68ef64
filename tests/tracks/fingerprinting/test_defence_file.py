import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.errors import InvalidUpload
from app.tracks.fingerprinting import defence_file
from app.tracks.fingerprinting.settings import Settings
from tests import forged
from tests.forged import SETTINGS, csv_text, honest_rows

REAL = Path(__file__).resolve().parents[3] / "../shared/data/secretstroll/secretstroll_defence.csv.zip"


@pytest.fixture
def read(tmp_path):
    def read_text(text, settings=SETTINGS):
        forged.defence(text)(tmp_path / "upload.zip")
        return defence_file.read(tmp_path / "upload.zip", settings)

    return read_text


def reasons(read, text, settings=SETTINGS):
    with pytest.raises(InvalidUpload) as caught:
        read(text, settings)
    return caught.value.reasons


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


class TestRead:
    def test_it_returns_captures_sorted_by_cell_and_repetition(self, read):
        found = read(csv_text(honest_rows()))
        assert found["cell"].tolist() == [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]
        assert found["rep"].tolist() == [0, 1, 2] * 4
        assert found["offset"].tolist() == list(range(0, 73, 6))
        assert found["size"][:6].tolist() == [500, -1400, -1400, 600, -1300, -1200]
        assert found["time"][:6].tolist() == [0, 0.1, 0.2, 0.3, 0.4, 0.5]
        assert [found[name].dtype for name in ("offset", "size", "time", "cell", "rep")] == [
            np.int64,
            np.int32,
            np.float64,
            np.int32,
            np.int64,
        ]

    def test_captures_may_come_in_any_order(self, read):
        rows = honest_rows()
        blocks = [rows[start : start + 6] for start in range(0, len(rows), 6)]
        shuffled = [row for place in np.random.default_rng(1).permutation(len(blocks)) for row in blocks[place]]
        assert same(read(csv_text(shuffled)), read(csv_text(rows)))

    def test_the_rows_of_a_capture_may_be_scattered_and_keep_their_order(self, read):
        rows = honest_rows()
        woven = [row for turn in range(6) for row in rows[turn::6]]
        assert same(read(csv_text(woven)), read(csv_text(rows)))

    def test_equal_times_and_packets_out_of_order_stay_as_they_are(self, read):
        rows = honest_rows()
        rows[:6] = [f"1,0,{size},{time}" for size, time in zip((5, -6, 7, -8, 9, -10), (0, 2, 1, 1, 3, 2), strict=True)]
        found = read(csv_text(rows))
        assert found["size"][:6].tolist() == [5, -6, 7, -8, 9, -10]
        assert found["time"][:6].tolist() == [0, 2, 1, 1, 3, 2]

    def test_columns_may_come_in_any_order(self, read):
        rows = [",".join(reversed(row.split(","))) for row in honest_rows()]
        text = "timestamp,direction_size,rep,cell_id\n" + "\n".join(rows)
        assert same(read(text), read(csv_text(honest_rows())))

    @pytest.mark.parametrize("change", ["bom", "crlf", "no end", "blanks"])
    def test_it_reads_what_other_programs_write(self, read, change):
        text = csv_text(honest_rows())
        changed = {
            "bom": "\ufeff" + text,
            "crlf": text.replace("\n", "\r\n"),
            "no end": text.rstrip("\n"),
            "blanks": text.replace(",-", ", -"),
        }[change]
        assert same(read(changed), read(text))

    def test_repetitions_may_have_any_numbers(self, read):
        text = csv_text(honest_rows()).replace(",0,", ",9000000000000000000,").replace(",1,", ",-5,")
        assert read(text)["rep"].tolist()[:3] == [-5, 2, 9_000_000_000_000_000_000]

    def test_the_columns_are_those_of_the_settings(self, read):
        settings = replace(SETTINGS, DEFENCE_COLUMNS="page,visit,bytes,seconds")
        text = "page,visit,bytes,seconds\n" + "\n".join(honest_rows())
        assert len(read(text, settings)["cell"]) == 12

    def test_it_bounds_the_number_of_rows_before_it_parses(self, read):
        (reason,) = reasons(read, csv_text(honest_rows()), replace(SETTINGS, MAX_ROWS=71))
        assert reason.rule == "The csv has between 1 and 71 rows."
        assert reason.where == "72 rows"

    def test_it_bounds_the_unpacked_size(self, read):
        text = csv_text(honest_rows()) + "0" * 1_000_000
        (reason,) = reasons(read, text, replace(SETTINGS, MAX_UNZIPPED_MB=1))
        assert "at most 1.0 MB" in reason.rule

    def test_it_leaves_no_files_behind(self, read, tmp_path, monkeypatch):
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        read(csv_text(honest_rows()))
        reasons(read, "nonsense")
        assert [path.name for path in tmp_path.iterdir()] == ["upload.zip"]


class TestBadLines:
    def test_all_kinds_are_reported_at_once_with_their_lines(self, read):
        rows = honest_rows(reps=5) * 10
        bad = {5: "1,0,large,0.1", 9: "1,0,500", 20: "1,0,500,0.1,1", 30: "", 40: "one,0,500,noon", 50: "1,,1,1"}
        for line, row in bad.items():
            rows[line - 2] = row
        texts = [str(reason) for reason in reasons(read, csv_text(rows))]
        assert texts[0].startswith("Every line has 4 values. Found: line 9 has 3, line 20 has 5.")
        assert texts[1].startswith("No line is blank. Found: line 30.")
        assert texts[2].startswith('cell_id is a whole number in every line. Found: line 40: "one".')
        assert texts[3].startswith('rep is a whole number in every line. Found: line 50: "".')
        assert texts[4].startswith('direction_size is a whole number in every line. Found: line 5: "large".')
        assert texts[5].startswith('timestamp is a number in every line. Found: line 40: "noon".')

    def test_the_content_of_the_good_lines_is_checked_as_well(self, read):
        rows = honest_rows(reps=5) * 10
        rows[3], rows[7], rows[11] = "1,0,x,0.1", "1,0,0,0.1", "1,1,500,nan"
        texts = " ".join(map(str, reasons(read, csv_text(rows))))
        assert 'line 5: "x"' in texts
        assert "No packet has the size 0. Found: line 9." in texts
        assert "Every timestamp is a finite number. Found: line 13: nan." in texts

    def test_it_does_not_judge_the_content_of_a_file_that_is_mostly_broken(self, read):
        found = reasons(read, csv_text(honest_rows()).replace(",500,", ",x,"))
        assert [reason.rule for reason in found] == ["direction_size is a whole number in every line."]
        assert found[0].count == 12

    def test_places_are_right_beyond_the_first_batch(self, read):
        rows = honest_rows() * 1000
        rows[60_000], rows[61_000], rows[70_000] = "1,0,x,0.1", "1,0", "1,0,500,y"
        texts = " ".join(map(str, reasons(read, csv_text(rows))))
        assert 'line 60002: "x"' in texts
        assert "line 61002 has 2" in texts
        assert 'line 70002: "y"' in texts

    def test_lines_are_right_after_captures_were_sorted(self, read):
        rows = list(reversed(honest_rows()))
        rows[30] = rows[30].replace("500", "0").replace("-1400", "0").replace("600", "0")
        cell, rep, _, time = rows[30].split(",")
        rows[30] = f"{cell},{rep},0,{time}"
        assert "Found: line 32." in " ".join(map(str, reasons(read, csv_text(rows))))


class TestTheRealCaptures:
    @pytest.mark.skipif(not REAL.exists(), reason="the real captures are not here")
    def test_they_are_accepted(self):
        found = defence_file.read(REAL, Settings())
        assert len(found["cell"]) == 3603
        assert len(found["size"]) == 1_533_406
        assert np.unique(found["cell"]).tolist() == list(range(1, 101))

    @pytest.mark.skipif(not REAL.exists(), reason="the real captures are not here")
    def test_the_compact_copy_holds_the_same(self):
        found = defence_file.read(REAL, Settings())
        with np.load(REAL.parent / "traces.npz", allow_pickle=False) as compact:
            order = np.lexsort((compact["rep"], compact["cell_id"]))
            assert np.array_equal(found["cell"], compact["cell_id"][order])
            assert np.array_equal(found["rep"], compact["rep"][order])
            assert np.array_equal(np.diff(found["offset"]), np.diff(compact["offset"].astype(np.int64))[order])


class TestAZipOfCaptures:
    def test_names_decide_how_it_is_read(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "upload.zip", "w") as archive:
            archive.writestr("captures/cell_1_rep_1.PCAP", b"")
        with pytest.raises(InvalidUpload) as caught:
            defence_file.read(tmp_path / "upload.zip", SETTINGS)
        assert "cell_<id>_rep_<n>.pcap" in caught.value.reasons[0].rule
