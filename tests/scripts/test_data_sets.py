"""The command for data sets: local files in each format become what the platform reads; nothing unchecked is used."""

import gzip
import importlib.util
import io
import json
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest

from app import record_sets

SCRIPT = Path(__file__).parents[2] / "attack_defence_test_scripts/data_sets.py"
SPEC = importlib.util.spec_from_file_location("data_sets", SCRIPT)
data_sets = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(data_sets)

LINE = "39, State-gov, 77516, Bachelors, 13, Never-married, Adm-clerical, {}, White, Male, 2174, 0, 40, ?, {}\n"
REAL = Path(__file__).parents[2] / "../shared/data/adult"


def ran(*arguments):
    return data_sets.main([str(each) for each in arguments])


def tarred(path, **files):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name.replace("_bin", ".bin"))
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


class TestAdult:
    def files(self, folder):
        (folder / "adult.data").write_text(
            LINE.format("Husband", "<=50K") * 30 + LINE.format("Wife", ">50K") * 10 + "\n"
        )
        (folder / "adult.test").write_text("|1x3 Cross validator\n" + LINE.format("Wife", ">50K.") * 5)
        return folder

    def test_both_files_become_one_table_without_the_comment(self, tmp_path):
        out = tmp_path / "adult.npz"
        assert ran("adult", "--from", self.files(tmp_path), "--out", out) == 0
        found = record_sets.read("table", out)
        assert len(found) == 45
        assert found.y.sum() == 15
        # Six numbers, and one column for each category that occurs.
        assert found.shape == (6 + 9,)

    def test_other_columns_are_refused(self, tmp_path, capsys):
        path = tmp_path / "adult.data"
        path.write_text("1,2,3\n")
        assert ran("adult", "--from", path) == 1
        assert "3 columns instead of 15" in capsys.readouterr().err

    @pytest.mark.skipif(not REAL.exists(), reason="the real files are not here")
    def test_the_real_files_have_the_known_hashes_and_rows(self, tmp_path):
        for source in data_sets.SOURCES["adult"]:
            data_sets.check(REAL / source.name, source, "")
        arrays, _ = data_sets.adult(data_sets.local(REAL))
        assert arrays["X"].shape == (48842, 108)
        assert arrays["y"].mean() == pytest.approx(0.2393, abs=1e-4)


class TestPurchase:
    @pytest.mark.parametrize("is_archive", [True, False])
    def test_the_first_line_is_a_record(self, tmp_path, is_archive):
        rows = np.random.default_rng(0).integers(0, 2, (40, 601))
        rows[:, 0] = np.arange(40) % 4 + 1
        text = "\n".join(",".join(map(str, row)) for row in rows) + "\n"
        path = tmp_path / ("dataset_purchase.tgz" if is_archive else "dataset_purchase")
        if is_archive:
            tarred(path, dataset_purchase=text.encode())
        else:
            path.write_text(text)
        assert ran("purchase100", "--from", path, "--out", tmp_path / "p.npz") == 0
        found = record_sets.read("table", tmp_path / "p.npz")
        assert np.array_equal(found.x, rows[:, 1:])
        assert np.array_equal(found.y, rows[:, 0] - 1)


class TestMnist:
    def files(self, folder, promised=0):
        rng = np.random.default_rng(0)
        for part, count in (("train", 12), ("t10k", 5)):
            images, labels = rng.integers(0, 256, (count, 28, 28), np.uint8), np.arange(count, dtype=np.uint8) % 10
            head = struct.pack(">HBBIII", 0, 8, 3, count + promised, 28, 28)
            (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(head + images.tobytes()))
            (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">HBBI", 0, 8, 1, count) + labels.tobytes())
        return folder

    def test_training_and_test_images_become_one_set(self, tmp_path):
        assert ran("mnist", "--from", self.files(tmp_path), "--out", tmp_path / "m.npz") == 0
        found = record_sets.read("dataset", tmp_path / "m.npz")
        assert found.x.shape == (17, 1, 28, 28)
        assert found.y.tolist() == [*range(10), 0, 1, *range(5)]

    def test_a_file_that_is_too_short_is_refused(self, tmp_path, capsys):
        assert ran("mnist", "--from", self.files(tmp_path, promised=1)) == 1
        assert "does not hold" in capsys.readouterr().err

    def test_missing_files_are_named(self, tmp_path, capsys):
        (self.files(tmp_path) / "t10k-labels-idx1-ubyte").unlink()
        assert ran("mnist", "--from", tmp_path) == 1
        assert "no file t10k-labels-idx1-ubyte" in capsys.readouterr().err


class TestCifar:
    def test_the_binary_version_is_read(self, tmp_path):
        rows = np.random.default_rng(0).integers(0, 256, (20, 3073), np.uint8)
        rows[:, 0] = np.arange(20) % 10
        tarred(tmp_path / "c.tar.gz", data_batch_1_bin=rows[:10].tobytes(), test_batch_bin=rows[10:].tobytes())
        assert ran("cifar10", "--from", tmp_path / "c.tar.gz", "--out", tmp_path / "c.npz") == 0
        found = record_sets.read("dataset", tmp_path / "c.npz")
        assert np.allclose(found.x.reshape(20, -1), rows[:, 1:] / 255)
        assert found.name(3) == "cat"

    def test_the_pickled_version_is_refused(self, tmp_path, capsys):
        tarred(tmp_path / "c.tar.gz", data_batch_1=b"cos\nsystem\n")
        assert ran("cifar10", "--from", tmp_path / "c.tar.gz") == 1
        assert "not the binary version" in capsys.readouterr().err


class TestFemnist:
    def test_writers_are_kept_beside_the_images(self, tmp_path):
        data = {name: {"x": [[1.0] * 784] * count, "y": list(range(count))} for name, count in (("a", 2), ("b", 3))}
        (tmp_path / "all_data_0.json").write_text(json.dumps({"users": ["a", "b"], "user_data": data}))
        out = tmp_path / "f.npz"
        assert ran("femnist", "--from", tmp_path / "all_data_0.json", "--out", out) == 0
        saved, writers = np.load(out), np.load(tmp_path / "f.writers.npz")["writers"]
        assert saved["samples"].shape == (5, 1, 28, 28)
        assert saved["samples"].max() == 0
        assert writers.tolist() == [0, 0, 1, 1, 1]

    def test_it_says_that_there_is_nothing_to_download(self, tmp_path, capsys):
        assert ran("femnist", "--cache", tmp_path) == 1
        assert "LEAF" in capsys.readouterr().err


class TestChecks:
    def test_a_file_with_another_hash_is_refused(self, tmp_path, capsys):
        for source in data_sets.SOURCES["adult"]:
            (tmp_path / source.name).write_text("something else")
        assert ran("adult", "--cache", tmp_path, "--out", tmp_path / "a.npz") == 1
        assert "instead of" in capsys.readouterr().err
        assert not (tmp_path / "a.npz").exists()

    def test_without_a_published_hash_one_must_be_given(self, tmp_path, capsys):
        row = ",".join(["1"] * 601)
        tarred(tmp_path / "dataset_purchase.tgz", dataset_purchase=f"{row}\n2{row[1:]}\n".encode())
        assert ran("purchase100", "--cache", tmp_path) == 1
        given = capsys.readouterr().err.split()[-1]
        assert ran("purchase100", "--cache", tmp_path, "--sha256", "0" * 64) == 1
        assert ran("purchase100", "--cache", tmp_path, "--sha256", given, "--out", tmp_path / "p.npz") == 0

    def test_only_https_is_asked(self, tmp_path):
        with pytest.raises(data_sets.Refused, match="not https"):
            data_sets.fetch("http://127.0.0.1/x", tmp_path / "x")

    def test_every_download_is_https(self):
        assert all(each.url.startswith("https://") for sources in data_sets.SOURCES.values() for each in sources)

    def test_a_file_that_is_not_there_is_refused(self, tmp_path, capsys):
        assert ran("adult", "--from", tmp_path / "nothing") == 1
        assert "is not there" in capsys.readouterr().err
