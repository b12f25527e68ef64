import json

import numpy as np
import pytest

from app import record_sets
from app.errors import InvalidUpload
from app.experiments import assets
from app.record_sets import RecordLimits

CSV = "age,job,label\n30,cook,no\n40,smith,yes\n50,cook,no\n60,baker,yes\n"


@pytest.fixture
def read(tmp_path):
    def read(kind, content, **limits):
        path = tmp_path / "upload"
        if isinstance(content, dict):
            with path.open("wb") as file:
                np.savez(file, **content)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return record_sets.read(kind, path, RecordLimits(**limits))

    return read


@pytest.fixture
def refused(read):
    def refused(kind, content, **limits):
        with pytest.raises(InvalidUpload) as refusal:
            read(kind, content, **limits)
        return [str(reason) for reason in refusal.value.reasons]

    return refused


class TestDigits:
    def test_they_are_read_only_images_between_0_and_1(self):
        digits = record_sets.digits()

        assert digits.x.shape == (1797, 1, 8, 8)
        assert (digits.x.min(), digits.x.max(), digits.classes) == (0.0, 1.0, 10)
        assert digits is record_sets.digits()
        with pytest.raises(ValueError, match="read-only"):
            digits.x[0] = 1.0


class TestAnyFile:
    @pytest.mark.parametrize("kind", record_sets.KINDS)
    @pytest.mark.parametrize("content", [b"", b"\x00" * 50, b"\xff\xfe\x00x", b"PK\x03\x04 no zip", b"\x80\x04]\x94."])
    def test_it_refuses_what_is_none_with_a_reason(self, refused, kind, content):
        assert all(refused(kind, content))

    @pytest.mark.parametrize("kind", record_sets.KINDS)
    def test_it_refuses_a_file_that_is_too_large_before_it_reads_it(self, refused, kind):
        (reason,) = refused(kind, b"a b\n" * 1000, file_bytes=1000)

        assert "at most 0 MB" in reason

    def test_an_unknown_kind_is_a_programming_error(self, read):
        with pytest.raises(KeyError):
            read("music", b"la la")


class TestCsv:
    def test_numbers_are_standardised_and_texts_become_columns(self, read):
        records = read("table", CSV)

        assert records.feature_names == ("age", "job=baker", "job=cook", "job=smith")
        assert records.class_names == ("no", "yes")
        assert records.y.tolist() == [0, 1, 0, 1]
        assert records.x[:, 0].mean() == pytest.approx(0, abs=1e-6)
        assert records.x[:, 0].std() == pytest.approx(1)
        assert records.x[:, 1:].tolist() == [[0, 1, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]]

    def test_labels_that_are_numbers_are_in_their_own_order(self, read):
        assert read("table", "a,label\n1,10\n2,9\n3,10\n").class_names == ("9", "10")

    def test_flags_stay_as_they_are_and_constants_become_0(self, read):
        records = read("table", "flag,same,label\n0,7.3,a\n1,7.3,b\n0,7.3,a\n")

        assert records.x.tolist() == [[0, 0], [1, 0], [0, 0]]

    def test_quotes_spaces_carriage_returns_and_a_byte_order_mark_are_understood(self, read):
        records = read("table", b'\xef\xbb\xbf"age",job,label\r\n+1e1, "a" ,x\r\n -2 ,"b, c",y\r\n')

        assert records.feature_names[0] == "age"
        assert records.x[:, 0].tolist() == [1, -1]
        assert len(records.feature_names) == 3

    def test_it_names_all_wrong_columns_at_once(self, refused):
        rows = "".join(f"{row},name{row},{row if row else 'nan'},{row}\n" for row in range(30))

        reasons = refused("table", "a,who,b,label\n" + rows, categories=20, classes=10)

        assert len(reasons) == 3
        assert '"who"' in reasons[0]
        assert "30 different values" in reasons[0]
        assert '"b"' in reasons[1]
        assert 'record 1: "nan"' in reasons[1]
        assert "30 different labels" in reasons[2]

    def test_a_typo_in_a_column_of_numbers_is_found(self, refused):
        rows = "".join(f"{row},{row % 2}\n" for row in range(200)) + "12a,1\n"

        (reason,) = refused("table", "a,label\n" + rows)

        assert 'record 201: "12a"' in reason

    @pytest.mark.parametrize(
        ("header", "words"),
        [
            ("a,b", "named label"),
            ("a,a,label", 'twice: "a"'),
            ("a,,label", "column 2"),
            ("label", "2 to 2,000 columns"),
            ("a;b;label", "2 to 2,000 columns"),
        ],
    )
    def test_it_refuses_other_headers(self, refused, header, words):
        assert any(words in reason for reason in refused("table", f"{header}\n1,2,3\n"))

    def test_it_names_lines_of_another_length(self, refused):
        (reason,) = refused("table", "a,b,label\n1,2,x\n1,2\n1,2,y\n1,2,3,x\n")

        assert "line 3 has 2, line 5 has 4" in reason

    def test_it_stops_at_too_many_records(self, refused):
        (reason,) = refused("table", "a,label\n" + "1,0\n2,1\n" * 100, records=50)

        assert "1 to 50 records" in reason

    def test_it_refuses_one_hot_columns_that_do_not_fit(self, refused):
        rows = "".join(f"word{row % 50},{row % 2}\n" for row in range(100))

        (reason,) = refused("table", "a,label\n" + rows, total_bytes=10_000)

        assert "100 records of 50 numbers" in reason

    @pytest.mark.parametrize("text", ["a,label\n", "a,label\n1,0\n2,0\n", "a,label\n1e99,0\n2,1\n"])
    def test_it_refuses_no_rows_one_class_and_huge_numbers(self, refused, text):
        assert refused("table", text)


class TestNpz:
    def test_it_is_scaled_and_labels_may_be_texts(self, read):
        rows = np.array([[0, 5.0], [1, 7.0], [0, 9.0]])

        records = read("table", {"X": rows, "y": np.array(["cat", "dog", "cat"])})

        assert records.x.dtype == np.float32
        assert records.x[:, 0].tolist() == [0, 1, 0]
        assert records.x[:, 1].std() == pytest.approx(1)
        assert (records.class_names, records.y.tolist()) == (("cat", "dog"), [0, 1, 0])

    def test_it_refuses_everything_wrong_at_once(self, refused):
        reasons = refused("table", {"X": np.full((3, 2), 1e300), "y": np.zeros(4, np.int64)})

        assert len(reasons) == 3

    @pytest.mark.parametrize(
        "arrays",
        [
            {"X": np.zeros((3, 2))},
            {"X": np.zeros(3), "y": np.arange(3)},
            {"X": np.full((2, 2), np.nan), "y": np.arange(2)},
            {"X": np.array([["a", "b"]]), "y": np.arange(1)},
            {"X": np.array([[{}]], dtype=object), "y": np.arange(1)},
        ],
    )
    def test_it_refuses_other_arrays(self, refused, arrays):
        assert refused("table", arrays)


class TestImages:
    @pytest.mark.parametrize("scale", [1, 255])
    def test_they_lie_between_0_and_1(self, read, scale):
        samples = np.linspace(0, scale, 2 * 3 * 16, dtype=np.float32).reshape(2, 3, 4, 4)

        records = read("dataset", {"samples": samples, "labels": np.array([0, 4])})

        assert records.shape == (3, 4, 4)
        assert (records.classes, records.x.min(), records.x.max()) == (5, 0, 1)


class TestSentences:
    def test_they_become_numbers_of_words(self, read):
        records = read("sentences", "The cat sat\n\nthe dog\n")

        assert records.is_text
        assert records.class_names == ("<pad>", "<bos>", "<eos>", "<unk>", "the", "cat", "dog", "sat")
        assert records.x.tolist() == [[1, 4, 5, 7, 2], [1, 4, 6, 2, 0]]
        assert records.classes == 8

    def test_rare_words_become_one(self, read):
        records = read("sentences", "a a b\na c\n", words=5)

        assert records.class_names[-1] == "a"
        assert records.x.tolist() == [[1, 4, 4, 3, 2], [1, 4, 3, 2, 0]]

    def test_it_refuses_everything_wrong_at_once(self, refused):
        reasons = refused("sentences", "fine here\nshort\n" + "w " * 20 + "\nx " + "y" * 70 + "\n", sentence_words=10)

        assert [word in reason for word, reason in zip(("line 2", "line 3 has 20", "line 4"), reasons, strict=True)]
        assert len(reasons) == 3

    def test_it_refuses_control_characters_and_too_many_sentences(self, refused):
        assert "line 2" in refused("sentences", "a b\nc \x07 d\n")[0]
        assert "1 to 3 sentences" in refused("sentences", "a b\n" * 4, records=3)[0]
        assert "1 to 3 sentences" in refused("sentences", "\n" * 40, records=3)[0]
        assert "at most 0 MB" in refused("sentences", "a b\n" * 400, text_bytes=1000)[0]


class TestAsFilesOfTheLab:
    def test_what_they_hold_is_told(self, tmp_path):
        (tmp_path / "t.csv").write_text(CSV)
        (tmp_path / "s.txt").write_text("the cat sat\nthe dog\n")

        table, text = assets.check("table", tmp_path / "t.csv"), assets.check("sentences", tmp_path / "s.txt")

        assert table["n"] == 4
        assert table["class_counts"] == [2, 2]
        assert table["feature_names"] == ["age", "job=baker", "job=cook", "job=smith"]
        assert (text["n"], text["words"], text["shape"]) == (2, 8, [5])
        json.dumps([table, text])
