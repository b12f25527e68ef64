"""A corpus of HDF5 and npz files that the reader of image sets must refuse.

Every entry is (name, words that occur in the reasons, build(path, outside)); `outside` is a folder of files that no
reader may open.
"""

import io
import zipfile
import zlib

import h5py
import numpy as np

SAMPLES = np.zeros((4, 1, 3, 3), np.float32)
LABELS = np.arange(4)
SECRET = b"root:x:0:0:the secret of the server"


def _file(path):
    file = h5py.File(path, "w")
    file["labels"] = LABELS
    return file


def external_storage(path, outside):
    with _file(path) as file:
        file.create_dataset("samples", (40,), "u1", external=[(str(outside / "secret"), 0, 40)])


def external_labels(path, outside):
    with h5py.File(path, "w") as file:
        file["samples"] = SAMPLES
        file.create_dataset("labels", (4,), "u1", external=[(str(outside / "secret"), 0, 4)])


def external_names(path, outside):
    with _file(path) as file:
        file["samples"] = SAMPLES
        file.create_dataset("class_names", (4,), "S8", external=[(str(outside / "secret"), 0, 32)])


def external_link(path, outside):
    with _file(path) as file:
        file["samples"] = h5py.ExternalLink(str(outside / "other.h5"), "/samples")


def soft_link(path, outside):
    with _file(path) as file:
        file["elsewhere"] = SAMPLES
        file["samples"] = h5py.SoftLink("/elsewhere")


def link_to_link(path, outside):
    with _file(path) as file:
        file["door"] = h5py.ExternalLink(str(outside / "other.h5"), "/")
        file["samples"] = h5py.SoftLink("/door/samples")


def virtual(path, outside):
    layout = h5py.VirtualLayout(SAMPLES.shape, np.float32)
    layout[:] = h5py.VirtualSource(str(outside / "other.h5"), "samples", SAMPLES.shape)
    with _file(path) as file:
        file.create_virtual_dataset("samples", layout)


def virtual_of_many(path, outside):
    """A source whose name is a pattern makes the library look for files as soon as the shape is asked for."""
    layout = h5py.VirtualLayout((4, 1, 3, 3), np.float32, maxshape=(None, 1, 3, 3))
    source = h5py.VirtualSource(str(outside / "other.h5"), "samples", (4, 1, 3, 3), maxshape=(None, 1, 3, 3))
    unlimited = h5py.h5s.UNLIMITED
    layout[0:unlimited] = source[0:unlimited]
    with _file(path) as file:
        file.create_virtual_dataset("samples", layout)


def gzip_bomb(path, outside):
    with _file(path) as file:
        file.create_dataset("samples", data=np.zeros((1000, 1, 100, 100), np.float32), compression=9)


def gzip_bomb_in_a_chunk(path, outside):
    """The chunk claims 36 bytes, and its stream unpacks to 50 MB."""
    stream = zlib.compressobj(9)
    packed = b"".join(stream.compress(bytes(1 << 20)) for _ in range(50)) + stream.flush()
    with _file(path) as file:
        samples = file.create_dataset("samples", (4, 1, 3, 3), np.float32, chunks=(1, 1, 3, 3), compression=9)
        for row in range(4):
            samples.id.write_direct_chunk((row, 0, 0, 0), packed)


def terabytes(path, outside):
    with _file(path) as file:
        file.create_dataset("samples", (11_000_000, 3, 183, 183), np.float32, chunks=(1, 3, 183, 183))


def terabytes_contiguous(path, outside):
    with _file(path) as file:
        file.create_dataset("samples", (11_000_000, 3, 183, 183), np.float32)


def never_written(path, outside):
    with _file(path) as file:
        file.create_dataset("samples", (4, 1, 3, 3), np.float32, chunks=(1, 1, 3, 3))


def huge_axes(path, outside):
    with _file(path) as file:
        file.create_dataset("samples", (1 << 40, 1 << 20), "u1", chunks=(1, 1 << 20))


def huge_chunk(path, outside):
    with _file(path) as file:
        file.create_dataset("samples", (4, 1, 3, 3), "f4", chunks=(4, 1, 9000, 9000), maxshape=(4, 1, 9000, 9000))
        file["samples"].id.write_direct_chunk((0, 0, 0, 0), b"short")


def foreign_filter(path, outside):
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_chunk((1, 1, 3, 3))
    # Optional, so that it can be written without the plug-in that a reader would look for in a folder.
    plan.set_filter(32_015, h5py.h5z.FLAG_OPTIONAL, (3,))
    space = h5py.h5s.create_simple(SAMPLES.shape)
    with _file(path) as file:
        h5py.h5d.create(file.id, b"samples", h5py.h5t.NATIVE_FLOAT, space, plan)


def objects(path, outside):
    with _file(path) as file:
        file.create_dataset("samples", (4,), h5py.vlen_dtype(np.float32))


def references(path, outside):
    with _file(path) as file:
        file["target"] = SAMPLES
        pointers = file.create_dataset("samples", (4,), h5py.regionref_dtype)
        pointers[0] = file["target"].regionref[0:1]


def compound(path, outside):
    with _file(path) as file:
        file.create_dataset("samples", data=np.zeros(4, [("a", "f4"), ("b", "i4")]))


def group(path, outside):
    with _file(path) as file:
        file.create_group("samples")


def named_type(path, outside):
    with _file(path) as file:
        file["samples"] = np.dtype("f4")


def empty_space(path, outside):
    with _file(path) as file:
        file["samples"] = h5py.Empty("f4")


def long_texts(path, outside):
    with _file(path) as file:
        file["samples"] = SAMPLES
        file["class_names"] = ["x" * 300_000] * 8


def truncated(path, outside):
    with _file(path) as file:
        file["samples"] = np.random.default_rng(0).random((50, 1, 20, 20))
    path.write_bytes(path.read_bytes()[:9000])


def scrambled(path, outside):
    with _file(path) as file:
        file["samples"] = np.random.default_rng(0).random((50, 1, 20, 20))
    content = bytearray(path.read_bytes())
    content[600:1200] = np.random.default_rng(1).bytes(600)
    path.write_bytes(bytes(content))


def only_the_magic(path, outside):
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))


def text_file(path, outside):
    path.write_text("samples,labels\n1,2\n")


def empty_file(path, outside):
    path.write_bytes(b"")


def pickled_npz(path, outside):
    np.savez(path.with_suffix(".npz"), samples=np.array([{}, []], object), labels=LABELS)
    path.with_suffix(".npz").rename(path)


def npz_bomb(path, outside):
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("samples.npy", "w") as member,
    ):
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": "<f4", "fortran_order": False, "shape": (160, 1, 1024, 1024)}
        )
        member.write(header.getvalue())
        for _ in range(640):
            member.write(bytes(1 << 20))


def npz_claims_much(path, outside):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (1 << 40, 1, 3, 3)})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("samples.npy", header.getvalue())


IN_THE_FILE = "lies in the file itself"
CORPUS = [
    (external_storage, IN_THE_FILE),
    (external_labels, IN_THE_FILE),
    (external_names, IN_THE_FILE),
    (external_link, IN_THE_FILE),
    (soft_link, IN_THE_FILE),
    (link_to_link, IN_THE_FILE),
    (virtual, IN_THE_FILE),
    (virtual_of_many, IN_THE_FILE),
    (gzip_bomb, "1/200 of its size"),
    (gzip_bomb_in_a_chunk, "unpacks to more than"),
    (terabytes, "MB in total"),
    (terabytes_contiguous, "MB in total"),
    (never_written, "Every value is stored"),
    (huge_axes, "MB in total"),
    (huge_chunk, "chunks"),
    (foreign_filter, "no filters but"),
    (objects, "plain numbers"),
    (references, "plain numbers"),
    (compound, "plain numbers"),
    (group, "is a data set"),
    (named_type, "is a data set"),
    (empty_space, "axes"),
    (long_texts, "All texts have at most"),
    (truncated, "undamaged"),
    (scrambled, ""),
    (only_the_magic, "undamaged"),
    (text_file, "is an HDF5 file"),
    (empty_file, "is an HDF5 file"),
    (pickled_npz, "Python objects"),
    (npz_bomb, "MB in total"),
    (npz_claims_much, "as long as its header says"),
]
