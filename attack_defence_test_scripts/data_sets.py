#!/usr/bin/env python3
"""Fetch a well-known data set, check it, and write it as the platform takes it.

    python data_sets.py adult                                  download, check, write adult.npz
    python data_sets.py mnist --from folder --out mnist.npz    from files that you have already
    python data_sets.py purchase100 --sha256 HASH              where no hash was published, say which file you mean
    python data_sets.py femnist --from leaf/data/femnist/data/all_data

Tables (adult, purchase100) become X (n, columns) and y (n,), images (mnist, cifar10, femnist) samples (n, C, H, W) from
0 to 255 and labels (n,); femnist also says who wrote what, in OUT.writers.npz. Downloads are checked before they are
opened: adult by SHA-256 and by the MD5 sums that are in common use, mnist and cifar10 by the MD5 sums of their
publishers. For purchase100 none was published: without --sha256 its hash is printed and nothing is written. Femnist has
no single file to download: let LEAF (Caldas et al., 2018) make its json files. Nothing is ever unpickled.
"""

import argparse
import gzip
import hashlib
import json
import struct
import sys
import tarfile
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

Arrays = dict[str, np.ndarray]
CHUNK = 1 << 20
MOST_BYTES = 2 << 30
ADULT_COLUMNS = (
    *("age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation", "relationship"),
    *("race", "sex", "capital-gain", "capital-loss", "hours-per-week", "native-country", "income"),
)
ADULT_NUMBERS = ("age", "fnlwgt", "education-num", "capital-gain", "capital-loss", "hours-per-week")
CIFAR_RECORD = 1 + 3 * 32 * 32
CIFAR_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PURCHASE_COLUMNS = 600


class Refused(Exception):
    """What is wrong, in words its reader can act on."""


@dataclass(frozen=True)
class Source:
    """A file to be downloaded, with the hash that was published for it ("" where none was)."""

    url: str
    md5: str = ""
    sha256: str = ""

    @property
    def name(self) -> str:
        """The name of the file."""
        return self.url.rpartition("/")[2]


UCI = "https://archive.ics.uci.edu/ml/machine-learning-databases/adult/"
MNIST = "https://ossci-datasets.s3.amazonaws.com/mnist/"
SOURCES: dict[str, tuple[Source, ...]] = {
    "adult": (
        Source(
            UCI + "adult.data",
            "5d7c39d7b8804f071cdd1f2a7c460872",
            "5b00264637dbfec36bdeaab5676b0b309ff9eb788d63554ca0a249491c86603d",
        ),
        Source(
            UCI + "adult.test",
            "35238206dfdf7f1fe215bbb874adecdc",
            "a2a9044bc167a35b2361efbabec64e89d69ce82d9790d2980119aac5fd7e9c05",
        ),
    ),
    "purchase100": (Source("https://github.com/privacytrustlab/datasets/raw/master/dataset_purchase.tgz"),),
    "mnist": (
        Source(MNIST + "train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        Source(MNIST + "train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
        Source(MNIST + "t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
        Source(MNIST + "t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"),
    ),
    "cifar10": (Source("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530"),),
    "femnist": (),
}


def main(arguments: list[str] | None = None) -> int:
    """Read the command line, get the files, write the arrays. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=tuple(SOURCES))
    parser.add_argument("--from", dest="source", type=Path, help="a local file, or a folder with the files")
    parser.add_argument("--out", type=Path, help="what is written; NAME.npz unless given")
    parser.add_argument("--sha256", default="", help="the hash of the downloaded file, where none was published")
    parser.add_argument("--cache", type=Path, default=Path("downloads"), help="where downloads are kept")
    options = parser.parse_args(arguments)
    try:
        files = local(options.source) if options.source else downloaded(options.name, options.cache, options.sha256)
        arrays, writers = READERS[options.name](files)
    except Refused as error:
        print(f"{options.name}: {error}", file=sys.stderr)
        return 1
    out = options.out or Path(f"{options.name}.npz")
    np.savez_compressed(out, **arrays)
    print(f"{out}: " + ", ".join(f"{name} {array.shape} {array.dtype}" for name, array in arrays.items()))
    if writers is not None:
        beside = out.with_suffix(".writers.npz")
        np.savez_compressed(beside, writers=writers)
        print(f"{beside}: {len(np.unique(writers)):,} writers")
    return 0


def local(source: Path) -> list[Path]:
    """The files that a person has: one, or those of a folder."""
    if not source.exists():
        raise Refused(f"{source} is not there")
    return sorted(path for path in source.iterdir() if path.is_file()) if source.is_dir() else [source]


def downloaded(name: str, cache: Path, sha256: str) -> list[Path]:
    """The checked files of a data set; each is downloaded once."""
    if not SOURCES[name]:
        raise Refused("there is no single file to download; make LEAF's json files and name them with --from")
    cache.mkdir(parents=True, exist_ok=True)
    found = []
    for source in SOURCES[name]:
        path = cache / source.name
        if not path.exists():
            fetch(source.url, path)
        check(path, source, sha256)
        found.append(path)
    return found


def fetch(url: str, path: Path) -> None:
    """Download a file over https, with a bound on its size; a broken download leaves nothing."""
    if not url.startswith("https://"):
        raise Refused(f"{url} is not https")
    part = path.with_suffix(path.suffix + ".part")
    try:
        with urllib.request.urlopen(url, timeout=60) as answer, part.open("wb") as file:
            if not answer.geturl().startswith("https://"):
                raise Refused(f"{url} leads to a place without https")
            total = 0
            while chunk := answer.read(CHUNK):
                total += len(chunk)
                if total > MOST_BYTES:
                    raise Refused(f"{url} is larger than {MOST_BYTES >> 30} GiB")
                file.write(chunk)
        part.replace(path)
    except OSError as error:
        raise Refused(f"{url} could not be downloaded ({error}); get it another way and use --from") from error
    finally:
        part.unlink(missing_ok=True)


def check(path: Path, source: Source, sha256: str) -> None:
    """Refuse a file whose hash is not the one that is known, or was given."""
    found = {"md5": hashed(path, "md5"), "sha256": hashed(path, "sha256")}
    wanted = {"sha256": sha256 or source.sha256, "md5": "" if sha256 else source.md5}
    if not any(wanted.values()):
        raise Refused(
            f"no hash was published for {source.name}; the file in {path} has the SHA-256 {found['sha256']}. "
            f"If that is the one you mean, run again with --sha256 {found['sha256']}"
        )
    for kind, value in wanted.items():
        if value and found[kind] != value.lower():
            raise Refused(f"{path} has the {kind.upper()} {found[kind]} instead of {value}; delete it and try again")


def hashed(path: Path, kind: str) -> str:
    """The hash of a file. MD5 only tells broken files from whole ones; no better sum was published for some."""
    digest = hashlib.new(kind, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def named(files: list[Path], *endings: str) -> list[Path]:
    """The files with these endings; Refused if one is missing."""
    found = [next((path for path in files if path.name.removesuffix(".gz").endswith(each)), None) for each in endings]
    if missing := [ending for ending, path in zip(endings, found, strict=True) if path is None]:
        raise Refused(f"there is no file {' and no file '.join(missing)}")
    return [path for path in found if path is not None]


def adult(files: list[Path]) -> tuple[Arrays, None]:
    """UCI Adult (Becker and Kohavi, 1996): numbers as they are, categories one-hot; y is 1 for more than 50K."""
    rows = pd.concat(
        [adult_rows(path) for path in files if path.suffix in {".data", ".test", ".csv"}] or [pd.DataFrame()]
    )
    if rows.empty:
        raise Refused("there is no adult.data or adult.test")
    y = rows["income"].str.rstrip(".")
    if unknown := set(y) - {"<=50K", ">50K"}:
        raise Refused(f"the last column has the values {sorted(unknown)[:3]} instead of <=50K and >50K")
    x = pd.get_dummies(rows.drop(columns="income"), dtype=np.float32)
    return {"X": x.to_numpy(np.float32), "y": (y == ">50K").to_numpy().astype(np.int64)}, None


def adult_rows(path: Path) -> pd.DataFrame:
    """The rows of one file. The first line of adult.test is "|1x3 Cross validator", and its labels end with a dot."""
    with path.open() as file:
        skipped = int(file.readline().startswith("|"))
    rows = pd.read_csv(path, header=None, skipinitialspace=True, skiprows=skipped, na_filter=False)
    if rows.shape[1] != len(ADULT_COLUMNS):
        raise Refused(f"{path} has {rows.shape[1]} columns instead of {len(ADULT_COLUMNS)}")
    rows.columns = list(ADULT_COLUMNS)
    rows[list(ADULT_NUMBERS)] = rows[list(ADULT_NUMBERS)].apply(pd.to_numeric)
    return rows


def purchase100(files: list[Path]) -> tuple[Arrays, None]:
    """Purchase-100 (Shokri et al., 2017): the label from 1 to 100, then 600 zeros and ones; no line is a header."""
    path = files[0]
    if path.suffix in {".tgz", ".gz"}:
        with tarfile.open(path, "r:gz") as archive:
            member = next((each for each in archive if each.isfile()), None)
            content = archive.extractfile(member) if member else None
            if content is None:
                raise Refused(f"{path} holds no file")
            rows = pd.read_csv(content, header=None, dtype=np.int64)
    else:
        rows = pd.read_csv(path, header=None, dtype=np.int64)
    if rows.shape[1] != PURCHASE_COLUMNS + 1:
        raise Refused(f"{path} has {rows.shape[1]} columns instead of {PURCHASE_COLUMNS + 1}")
    values = rows.to_numpy()
    return {"X": values[:, 1:].astype(np.uint8), "y": values[:, 0] - values[:, 0].min()}, None


def mnist(files: list[Path]) -> tuple[Arrays, None]:
    """MNIST (LeCun, Cortes and Burges): the 60,000 training images, then the 10,000 test images."""
    endings = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
    train_x, train_y, test_x, test_y = (idx(path) for path in named(files, *endings))
    samples, labels = np.concatenate([train_x, test_x])[:, None], np.concatenate([train_y, test_y])
    if len(samples) != len(labels):
        raise Refused(f"there are {len(samples)} images and {len(labels)} labels")
    return {"samples": samples, "labels": labels.astype(np.int64)}, None


def idx(path: Path) -> np.ndarray:
    """The bytes of an idx file: 0, 0, 8 (unsigned bytes), the number of axes, their lengths, the values."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        zeros, kind, axes = struct.unpack(">HBB", file.read(4))
        if (zeros, kind) != (0, 8) or not 1 <= axes <= 3:
            raise Refused(f"{path} is not an idx file of bytes")
        shape = struct.unpack(f">{axes}I", file.read(4 * axes))
        values = (
            file.read(int(np.prod(shape, dtype=np.int64)) + 1) if np.prod(shape, dtype=np.int64) < MOST_BYTES else b""
        )
    if len(values) != int(np.prod(shape, dtype=np.int64)):
        raise Refused(f"{path} does not hold the {shape} values that it promises")
    return np.frombuffer(values, np.uint8).reshape(shape)


def cifar10(files: list[Path]) -> tuple[Arrays, None]:
    """CIFAR-10 (Krizhevsky, 2009), the binary version: the other ones are pickles, which are programs."""
    with tarfile.open(files[0], "r:gz") as archive:
        parts = [
            content.read(MOST_BYTES)
            for member in sorted(archive.getmembers(), key=lambda each: each.name)
            if member.isfile() and member.name.endswith(".bin") and (content := archive.extractfile(member))
        ]
    values = np.frombuffer(b"".join(parts), np.uint8)
    if not len(values) or len(values) % CIFAR_RECORD:
        raise Refused(f"{files[0]} is not the binary version of CIFAR-10")
    rows = values.reshape(-1, CIFAR_RECORD)
    return {
        "samples": rows[:, 1:].reshape(-1, 3, 32, 32),
        "labels": rows[:, 0].astype(np.int64),
        "class_names": np.array(CIFAR_NAMES),
    }, None


def femnist(files: list[Path]) -> tuple[Arrays, np.ndarray]:
    """FEMNIST (Caldas et al., 2018, LEAF): 62 classes of letters and digits, by writer, from LEAF's json files."""
    samples, labels, writers = [], [], []
    for path in files:
        if path.suffix == ".json":
            for pixels, own in leaf(path):
                samples.append(pixels)
                labels.append(own)
                writers.append(np.full(len(own), len(writers), np.int64))
    if not samples:
        raise Refused("there is no json file of LEAF with a writer in it")
    return {"samples": np.concatenate(samples), "labels": np.concatenate(labels)}, np.concatenate(writers)


def leaf(path: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The images and labels of each writer of a file; LEAF has ink dark on white from 0 to 1, here it is light."""
    content = json.loads(path.read_text())
    for writer in content.get("users", []):
        own = content["user_data"][writer]
        pixels = np.asarray(own["x"], np.float32)
        if pixels.ndim != 2 or pixels.shape[1] != 28 * 28:
            raise Refused(f"{path}: the images of {writer} are not 28 x 28")
        yield np.round(255.0 * (1.0 - pixels)).astype(np.uint8).reshape(-1, 1, 28, 28), np.asarray(own["y"], np.int64)


READERS: dict[str, Callable[[list[Path]], tuple[Arrays, np.ndarray | None]]] = {
    "adult": adult,
    "purchase100": purchase100,
    "mnist": mnist,
    "cifar10": cifar10,
    "femnist": femnist,
}

if __name__ == "__main__":
    sys.exit(main())
