import json
import pickle
import struct
import zipfile

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_tensors

from app import bundles
from app.errors import InvalidUpload
from tests.tracks.gradient_leakage.rounds import track, truth

NAMES = ["1.weight", "1.bias", "3.weight", "3.bias"]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "defence"


@pytest.fixture
def read(path):
    return lambda: track().read_defence(path)


@pytest.fixture
def refused(path):
    def refused(write):
        write()
        with pytest.raises(InvalidUpload) as refusal:
            track().read_defence(path)
        return [str(reason) for reason in refusal.value.reasons]

    return refused


def changed(**arrays):
    return {**truth(), **{name.replace("_", "."): values for name, values in arrays.items()}}


def forged(path, header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def honest_header():
    header, place = {}, 0
    for name, values in truth().items():
        header[name] = {
            "dtype": "F32",
            "shape": list(values.shape),
            "data_offsets": [place, place + values.nbytes],
        }
        place += values.nbytes
    return header, b"".join(values.tobytes() for values in truth().values())


class TestNpz:
    def test_it_keeps_names_order_and_numbers(self, path, read):
        np.savez(path.with_suffix(".npz"), **dict(reversed(truth().items())))
        path.with_suffix(".npz").rename(path)

        found = read()

        assert list(found) == NAMES
        assert all(
            np.array_equal(found[name], values) and found[name].dtype == np.float32 for name, values in truth().items()
        )

    @pytest.mark.parametrize("dtype", [np.float64, np.float16, ">f4"])
    def test_other_precisions_become_single_precision(self, path, read, dtype):
        bundles.write({name: values.astype(dtype) for name, values in truth().items()}, path)

        assert read()["1.weight"] == pytest.approx(truth()["1.weight"], abs=1e-3)

    def test_it_tells_of_every_wrong_array_at_once(self, path, refused):
        bad = changed(**{"1_weight": truth()["1.weight"][:2], "3_bias": truth()["3.bias"].astype(int)})

        reasons = refused(lambda: bundles.write(bad, path))

        assert any("(3, 256, 64)" in reason and "(2, 256, 64)" in reason for reason in reasons)
        assert any('"3.bias"' in reason and "numbers" in reason for reason in reasons)

    def test_it_names_arrays_that_are_missing_or_unknown(self, path, refused):
        bad = {name.replace("1.", "fc."): values for name, values in truth().items()}

        reasons = refused(lambda: bundles.write(bad, path))

        assert any("missing: 1.weight, 1.bias" in reason for reason in reasons)
        assert any("unknown" in reason and "fc.weight" in reason for reason in reasons)

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 2e6])
    def test_it_names_the_places_of_numbers_that_are_none_or_too_large(self, path, refused, bad):
        values = truth()["3.weight"].copy()
        values[1, 2, 3] = bad

        (reason,) = refused(lambda: bundles.write(changed(**{"3_weight": values}), path))

        assert '"3.weight"' in reason
        assert "(1, 2, 3)" in reason

    def test_what_overflows_in_single_precision_is_too_large(self, path, refused):
        values = truth()["3.bias"].astype(np.float64) + 1e300

        assert "1,000,000" in refused(lambda: bundles.write(changed(**{"3_bias": values}), path))[0]

    def test_objects_are_not_unpickled(self, path, refused):
        objects = np.array([[lambda: None]], dtype=object)

        def write():
            with zipfile.ZipFile(path, "w") as archive, archive.open("1.weight.npy", "w") as file:
                np.lib.format.write_array_header_1_0(
                    file, {"descr": "|O", "fortran_order": False, "shape": objects.shape}
                )
                file.write(pickle.dumps([[None]]))

        assert refused(write)

    def test_ten_gigabytes_are_refused_before_they_are_unpacked(self, path, refused):
        def write():
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                for name in truth():
                    with archive.open(f"{name}.npy", "w") as file:
                        shape = (10 * 2**28,) if name == "1.weight" else truth()[name].shape
                        np.lib.format.write_array_header_1_0(
                            file, {"descr": "<f4", "fortran_order": False, "shape": shape}
                        )
                        file.write(bytes(truth()[name].nbytes))

        reasons = refused(write)

        assert any("(3, 256, 64)" in reason and "(2684354560)" in reason for reason in reasons)


class TestSafetensors:
    def test_it_is_worth_what_the_npz_is(self, path, read):
        save_file(truth(), path, metadata={"made by": "team 7"})

        found = read()

        assert list(found) == NAMES
        assert all(np.array_equal(found[name], values) for name, values in truth().items())

    @pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
    def test_other_precisions_become_single_precision(self, path, read, dtype):
        save_tensors({name: torch.tensor(values).to(dtype) for name, values in truth().items()}, path)

        for name, values in read().items():
            assert torch.equal(torch.tensor(values), torch.tensor(truth()[name]).to(dtype).float())

    def test_it_tells_of_every_wrong_array_at_once(self, path, refused):
        bad = changed(**{"1_weight": truth()["1.weight"][:2], "3_bias": truth()["3.bias"].astype(np.int64)})
        bad["extra"] = np.zeros(3, np.float32)

        reasons = refused(lambda: save_file(bad, path))

        assert any("(3, 256, 64)" in reason and "(2, 256, 64)" in reason for reason in reasons)
        assert any('"3.bias"' in reason and "I64" in reason for reason in reasons)
        assert any("extra" in reason for reason in reasons)

    def test_it_refuses_what_is_no_number(self, path, refused):
        bad = changed(**{"3_bias": np.full_like(truth()["3.bias"], np.nan)})

        assert "finite" in refused(lambda: save_file(bad, path))[0]

    @pytest.mark.parametrize("length", [0, 1, 10 * 2**30, 2**63 + 1, 10**5])
    def test_it_does_not_believe_a_header_s_length(self, path, refused, length):
        (reason,) = refused(lambda: path.write_bytes(struct.pack("<Q", length) + b"{}" + bytes(100)))

        assert f"{length:,} bytes" in reason

    def test_it_does_not_believe_ten_gigabytes(self, path, refused):
        header, data = honest_header()
        header["1.weight"] = {"dtype": "F32", "shape": [10 * 2**28], "data_offsets": [0, 10 * 2**30]}

        assert any("(2684354560,)" in reason for reason in refused(lambda: forged(path, header, data)))

    @pytest.mark.parametrize(
        ("name", "line"),
        [
            ("gap", {"data_offsets": [4, 196612]}),
            ("beyond the end", {"data_offsets": [2**40, 2**40 + 196608]}),
            ("too short", {"data_offsets": [0, 4]}),
            ("backwards", {"data_offsets": [196608, 0]}),
            ("negative", {"data_offsets": [-196608, 0]}),
            ("fractions", {"data_offsets": [0.0, 196608.0]}),
            ("truth values", {"shape": [True, 256, 64]}),
            ("negative shape", {"shape": [-3, -256, 64]}),
            ("unknown type", {"dtype": "OBJECT"}),
            ("list as a type", {"dtype": ["F32"]}),
            ("huge shape", {"shape": [2**61] * 7}),
            ("many axes", {"shape": [1] * 60 + [3, 256, 64]}),
            ("more fields", {"pickle": "cos\nsystem"}),
        ],
    )
    def test_it_refuses_lines_that_lie(self, path, refused, name, line):
        header, data = honest_header()
        header["1.weight"] = {**header["1.weight"], **line}

        assert refused(lambda: forged(path, header, data)), name

    def test_it_refuses_overlapping_arrays(self, path, refused):
        header, data = honest_header()
        header["3.bias"]["data_offsets"] = [0, truth()["3.bias"].nbytes]

        assert any("one after the other" in reason for reason in refused(lambda: forged(path, header, data)))

    @pytest.mark.parametrize("extra", [b"", b"spare bytes"])
    def test_it_refuses_a_file_that_is_cut_off_or_too_long(self, path, refused, extra):
        header, data = honest_header()

        reasons = refused(lambda: forged(path, header, (data + extra) if extra else data[:-4]))

        assert any("as long as its header says" in reason for reason in reasons)

    @pytest.mark.parametrize(
        "header",
        [b'{"a": ', b"{]", b'{"a": 1, "a": 2}', b"{" + b'"a":{' * 4000, b'{"1.weight": NaN}', b"{\xff\xfe}"],
        ids=["cut", "no JSON", "twice", "deep", "no line", "no text"],
    )
    def test_it_refuses_a_header_that_is_no_object_of_lines(self, path, refused, header):
        assert refused(lambda: forged(path, header, bytes(64)))

    def test_a_list_is_no_header(self, path, refused):
        assert "npz or a safetensors" in refused(lambda: forged(path, b"[1, 2]"))[0]


class TestOthers:
    @pytest.mark.parametrize(
        "data",
        [b"", b"hello", pickle.dumps({"a": 1}), b"\x89HDF\r\n\x1a\n" + bytes(100)],
        ids=["empty", "text", "pickle", "hdf5"],
    )
    def test_it_says_which_files_it_takes(self, path, refused, data):
        (reason,) = refused(lambda: path.write_bytes(data))

        assert "npz or a safetensors file" in reason

    def test_it_does_not_open_a_file_that_is_too_large(self, path, refused):
        def write():
            with path.open("wb") as file:
                file.truncate(1 << 34)

        (reason,) = refused(write)

        assert "at most" in reason
