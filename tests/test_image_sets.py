"""Labelled images from strangers: what is read, what is refused, and that nothing else is touched."""

import ctypes
import os
import struct
import time

import h5py
import numpy as np
import pytest

from app import image_sets
from app.errors import InvalidUpload
from app.image_sets import ImageSetLimits
from tests import hostile_images

RNG = np.random.default_rng(0)
SAMPLES = RNG.random((6, 3, 5, 4), dtype=np.float32)
LABELS = np.array([0, 1, 2, 2, 1, 0])


def h5(path, samples=SAMPLES, labels=LABELS, names=None, **options):
    with h5py.File(path, "w") as file:
        file.create_dataset("samples", data=samples, **options)
        file["labels"] = labels
        if names is not None:
            file["class_names"] = names
    return path


def npz(path, **arrays):
    np.savez(path, **{"samples": SAMPLES, "labels": LABELS, **arrays})
    return path.with_suffix(".npz") if path.suffix != ".npz" else path


def reasons(path, **limits):
    with pytest.raises(InvalidUpload) as caught:
        image_sets.read(path, ImageSetLimits(**limits))
    return [str(reason) for reason in caught.value.reasons]


class TestHdf5:
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"chunks": (2, 3, 2, 3)},
            {"chunks": (4, 2, 5, 4), "compression": 6},
            {"chunks": (1, 3, 5, 4), "compression": 1, "shuffle": True, "fletcher32": True},
            {"chunks": (6, 3, 5, 4), "shuffle": True, "maxshape": (None, 3, 5, 4)},
        ],
        ids=["contiguous", "chunked", "gzip", "all filters", "resizable"],
    )
    def test_it_reads_the_same_as_the_library(self, tmp_path, options):
        found = image_sets.read(h5(tmp_path / "a.h5", **options))
        assert np.array_equal(found.samples, SAMPLES)
        assert np.array_equal(found.labels, LABELS)
        assert (found.low, found.high, found.original_dtype, len(found)) == (0.0, 1.0, "float32", 6)

    @pytest.mark.parametrize("dtype", ["<f2", ">f4", "<f8", ">f8", "u1"])
    def test_it_reads_every_type_of_number(self, tmp_path, dtype):
        samples = (SAMPLES * (255 if dtype == "u1" else 1)).astype(dtype)
        found = image_sets.read(h5(tmp_path / "a.h5", samples, compression=4, shuffle=True))
        assert found.samples.dtype == np.float32
        assert np.allclose(found.samples, SAMPLES, atol=1 / 255)

    def test_a_chunk_that_was_written_without_its_filters_is_read(self, tmp_path):
        path = tmp_path / "a.h5"
        with h5py.File(path, "w") as file:
            data = file.create_dataset("samples", SAMPLES.shape, "<f4", chunks=SAMPLES.shape, compression=4)
            data.id.write_direct_chunk((0, 0, 0, 0), SAMPLES.tobytes(), filter_mask=1)
            file["labels"] = LABELS
        assert np.array_equal(image_sets.read(path).samples, SAMPLES)

    @pytest.mark.parametrize("kind", ["variable", "fixed"])
    def test_class_names_are_read(self, tmp_path, kind):
        names = ["zero", "öne", "two\n"] if kind == "variable" else np.array([b"zero", b"one", b"two"])
        found = image_sets.read(h5(tmp_path / "a.h5", names=names))
        assert found.class_names == (("zero", "öne", "two?") if kind == "variable" else ("zero", "one", "two"))
        assert [found.name(0), found.name(7), found.classes] == ["zero", "7", 3]

    def test_other_members_are_left_alone(self, tmp_path):
        path = h5(tmp_path / "a.h5")
        with h5py.File(path, "a") as file:
            file["more"] = h5py.ExternalLink("/etc/hostname", "/")
        assert len(image_sets.read(path)) == 6


class TestNpz:
    def test_it_reads_samples_labels_and_names(self, tmp_path):
        found = image_sets.read(npz(tmp_path / "a.npz", class_names=np.array(["a", "b", "c"])))
        assert np.array_equal(found.samples, SAMPLES)
        assert found.class_names == ("a", "b", "c")


class TestLabels:
    @pytest.mark.parametrize(
        "labels",
        [LABELS[:, None], np.eye(3)[LABELS], np.eye(3, dtype=bool)[LABELS], LABELS.astype("u1"), LABELS.astype(">f4")],
        ids=["column", "one-hot", "one-hot of truth values", "bytes", "floats"],
    )
    def test_every_way_to_write_them_means_the_same(self, tmp_path, labels):
        assert image_sets.read(npz(tmp_path / "a.npz", labels=labels)).labels.tolist() == LABELS.tolist()

    @pytest.mark.parametrize(
        ("labels", "words"),
        [
            (LABELS - 1, "lie between 0"),
            (LABELS + 0.5, "whole numbers"),
            (np.ones((6, 3)), "one 1 in each row"),
            (LABELS[:5], "one label for each sample"),
            (LABELS.astype(str), "whole numbers, or one-hot"),
            (np.full(6, np.nan), "whole numbers"),
            (np.full(6, 10**12), "lie between 0"),
        ],
    )
    def test_what_is_no_label_is_refused(self, tmp_path, labels, words):
        assert words in " ".join(reasons(npz(tmp_path / "a.npz", labels=labels)))

    def test_a_class_without_a_name_is_refused(self, tmp_path):
        assert "Every class has a name" in reasons(npz(tmp_path / "a.npz", class_names=np.array(["a"])))[0]


class TestSamples:
    @pytest.mark.parametrize(
        ("samples", "low", "high"),
        [
            ((SAMPLES * 255).astype("u1"), 0.0, 1.0),
            (SAMPLES, 0.0, 1.0),
            (np.round(SAMPLES * 200), 0.0, 255.0),
            (SAMPLES * 4 - 2, float((SAMPLES * 4 - 2).min()), float((SAMPLES * 4 - 2).max())),
        ],
        ids=["bytes", "shares", "bytes as floats", "anything"],
    )
    def test_the_range_follows_the_type_and_the_values(self, tmp_path, samples, low, high):
        found = image_sets.read(npz(tmp_path / "a.npz", samples=samples))
        assert (found.low, found.high) == (low, high)

    def test_channels_that_come_last_are_moved(self, tmp_path):
        found = image_sets.read(npz(tmp_path / "a.npz", samples=np.moveaxis(SAMPLES, 1, 3)))
        assert found.layout == "NHWC"
        assert np.array_equal(found.samples, SAMPLES)

    @pytest.mark.parametrize(
        ("samples", "words"),
        [
            (SAMPLES[:, 0], "samples[:, None]"),
            (SAMPLES.astype("i8"), "float16, float32, float64 or uint8"),
            (np.zeros((6, 2, 5, 7)), "1 or 3 channels"),
            (SAMPLES[:0], "1 to"),
            (np.where(SAMPLES > 0.9, np.nan, SAMPLES), "finite"),
            (SAMPLES.astype("f8") * 1e300, "finite"),
        ],
    )
    def test_what_is_no_image_is_refused_with_the_fix(self, tmp_path, samples, words):
        assert words in " ".join(reasons(npz(tmp_path / "a.npz", samples=samples)))

    def test_the_bounds_hold_for_what_is_made_of_the_file(self, tmp_path):
        path = npz(tmp_path / "a.npz", samples=(SAMPLES * 255).astype("u1"))
        assert "single precision" in reasons(path, total_bytes=1000)[0]

    def test_everything_is_said_at_once(self, tmp_path):
        found = reasons(npz(tmp_path / "a.npz", samples=SAMPLES[:, 0].astype("i4"), labels=LABELS - 5))
        assert len(found) == 3


class Watcher:
    """Tells which files of a folder were opened meanwhile, by inotify."""

    def __init__(self, folder):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor = self.libc.inotify_init1(os.O_NONBLOCK)
        opened, accessed = 0x20, 0x1
        assert self.libc.inotify_add_watch(self.descriptor, os.fsencode(folder), opened | accessed) >= 0

    def names(self):
        try:
            content = os.read(self.descriptor, 1 << 16)
        except BlockingIOError:
            return []
        names, place = [], 0
        while place < len(content):
            length = struct.unpack_from("iIII", content, place)[3]
            names.append(content[place + 16 : place + 16 + length].rstrip(b"\0").decode())
            place += 16 + length
        return names

    def close(self):
        os.close(self.descriptor)


@pytest.fixture
def outside(tmp_path):
    """A folder of the server's own files."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret").write_bytes(hostile_images.SECRET)
    h5(folder / "other.h5", np.full((4, 1, 3, 3), 0.5, np.float32), np.arange(4))
    return folder


class TestHostileFiles:
    @pytest.mark.parametrize(
        ("build", "words"), hostile_images.CORPUS, ids=[build.__name__ for build, _ in hostile_images.CORPUS]
    )
    def test_it_is_refused_soon_and_nothing_else_is_read(self, tmp_path, outside, build, words):
        path = tmp_path / "upload"
        build(path, outside)
        watcher = Watcher(outside)
        start = time.perf_counter()
        found = reasons(path)
        assert time.perf_counter() - start < 2
        assert any(words in reason for reason in found), found
        assert "root:x" not in " ".join(found)
        assert watcher.names() == []
        watcher.close()

    def test_the_watcher_sees_what_is_opened(self, outside):
        watcher = Watcher(outside)
        (outside / "secret").read_bytes()
        assert "secret" in watcher.names()
        watcher.close()
