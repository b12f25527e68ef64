import numpy as np
import pytest

from app import bundles
from app.bundles import ArraySpec
from app.errors import InvalidUpload


@pytest.fixture
def path(tmp_path):
    return tmp_path / "bundle.npz"


def example():
    rng = np.random.default_rng(1)
    return {
        "size": rng.integers(-9, 9, 1000, dtype=np.int32),
        "image": rng.random((3, 4, 5)).astype(np.float32),
        "single": np.array(2.5),
        "nothing": np.empty((0, 3)),
        "columns": np.asfortranarray(rng.random((4, 5))),
        "member": np.array([True, False]),
        "names": np.array(["a", "bcd"]),
    }


def refused(path, spec, max_bytes=10**6):
    with pytest.raises(InvalidUpload) as caught:
        bundles.read(path, spec, max_bytes)
    return caught.value.reasons


class TestWriteAndRead:
    @pytest.mark.parametrize("compress", [False, True])
    def test_what_was_written_is_read(self, path, compress):
        bundles.write(example(), path, compress=compress)
        found = bundles.read(path)
        assert sorted(found) == sorted(example())
        for name, array in example().items():
            assert found[name].dtype == array.dtype
            assert found[name].shape == array.shape
            np.testing.assert_array_equal(found[name], array)

    def test_equal_bundles_are_equal_bytes(self, path, tmp_path):
        other = tmp_path / "other.npz"
        bundles.write(example(), path)
        backwards = dict(reversed(example().items()))
        backwards["size"] = backwards["size"].astype(">i4")
        bundles.write(backwards, other)
        assert path.read_bytes() == other.read_bytes()

    def test_it_reads_what_numpy_writes(self, path):
        np.savez_compressed(path, **example())
        np.testing.assert_array_equal(bundles.read(path)["columns"], example()["columns"])
        bundles.write(example(), path)
        with np.load(path, allow_pickle=False) as found:
            np.testing.assert_array_equal(found["image"], example()["image"])

    def test_foreign_byte_order_becomes_native(self, path):
        np.savez(path, x=np.arange(3, dtype=">f8"))
        found = bundles.read(path)["x"]
        assert found.dtype == np.float64
        assert found.dtype.isnative

    def test_it_never_writes_objects(self, path):
        with pytest.raises(ValueError, match="Object arrays"):
            bundles.write({"x": np.array([{}])}, path)

    def test_honest_zeros_may_be_compressed(self, path):
        bundles.write({"x": np.zeros(1_000_000)}, path, compress=True)
        assert path.stat().st_size < 10_000
        assert len(bundles.read(path, {"x": ArraySpec()}, 10**7)["x"]) == 1_000_000


class TestRead:
    def test_it_tells_every_reason_at_once(self, path):
        np.savez(path, a=np.zeros((2, 3)), b=np.array([1, np.nan]), c=np.zeros(2, int), d=np.zeros(2))
        spec = {"a": ArraySpec("f", (2, None)), "b": ArraySpec(), "c": ArraySpec("f"), "d": ArraySpec("f", (3,))}
        texts = [str(reason) for reason in refused(path, spec)]
        assert len(texts) == 3
        assert "finite" in texts[0]
        assert "NaN or infinity at (1,)" in texts[0]
        assert '"c" holds numbers' in texts[1]
        assert '"d" has the shape (3)' in texts[2]

    def test_it_names_missing_and_unknown_arrays(self, path):
        np.savez(path, a=np.zeros(2), z=np.zeros(2))
        reasons = refused(path, {"a": ArraySpec(), "b": ArraySpec(), "c": ArraySpec(optional=True)})
        assert [reason.where for reason in reasons] == ["missing: b", 'unknown: "z"']

    def test_an_optional_array_may_be_missing(self, path):
        np.savez(path, a=np.zeros(2))
        assert list(bundles.read(path, {"a": ArraySpec(), "b": ArraySpec(optional=True)})) == ["a"]

    def test_it_allows_infinity_where_it_is_allowed(self, path):
        np.savez(path, a=np.array([np.inf]))
        assert np.isinf(bundles.read(path, {"a": ArraySpec(finite=False)})["a"]).all()

    def test_it_bounds_the_sum_of_all_arrays(self, path):
        np.savez(path, a=np.zeros(100), b=np.zeros(100))
        (reason,) = refused(path, {"a": ArraySpec(), "b": ArraySpec()}, 1000)
        assert "MB in total" in reason.rule

    def test_it_finds_the_first_bad_places(self, path):
        values = np.zeros((3, 4))
        values[1, 2] = values[2] = np.inf
        np.savez(path, a=values)
        (reason,) = refused(path, {"a": ArraySpec()})
        assert reason.count == 5
        assert reason.where == "NaN or infinity at (1, 2), (2, 0), (2, 1), (2, 2), (2, 3)"
