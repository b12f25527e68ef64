"""Files by digest, on a folder and on object storage."""

import hashlib
import io
import os
import time

import boto3
import pytest
from moto import mock_aws

from app import storage
from app.storage import LocalStorage, S3Storage

CONTENT = b"packets" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def object_storage(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        boto3.client("s3").create_bucket(Bucket="course")
        yield storage.connect("s3://course/rounds/", tmp_path / "spool")


@pytest.fixture(params=["folder", "object storage"])
def store(request, tmp_path):
    if request.param == "folder":
        return storage.connect(str(tmp_path / "files"), tmp_path / "spool")
    return request.getfixturevalue("object_storage")


class TestEveryStorage:
    def test_a_file_is_named_by_its_digest_and_measured(self, store):
        assert store.put(io.BytesIO(CONTENT)) == (DIGEST, len(CONTENT))

    def test_what_was_put_is_fetched_again(self, store, tmp_path):
        store.put(io.BytesIO(CONTENT))
        assert store.fetch(DIGEST, tmp_path).read_bytes() == CONTENT

    def test_the_same_file_twice_is_one_file(self, store, tmp_path):
        assert store.put(io.BytesIO(CONTENT)) == store.put(io.BytesIO(CONTENT))
        assert store.fetch(DIGEST, tmp_path).read_bytes() == CONTENT

    def test_an_unknown_digest_is_not_found(self, store, tmp_path):
        with pytest.raises(FileNotFoundError):
            store.fetch("0" * 64, tmp_path)

    @pytest.mark.parametrize("name", ["../../etc/passwd", "", "A" * 64, "0" * 63, "0" * 63 + "/"])
    def test_no_path_is_made_from_anything_but_a_digest(self, store, tmp_path, name):
        with pytest.raises(ValueError, match="64 hexadecimal digits"):
            store.fetch(name, tmp_path)

    def test_nothing_temporary_is_left(self, store, tmp_path):
        store.put(io.BytesIO(CONTENT))
        assert not list(tmp_path.rglob(f"{storage.SPOOLED}*"))

    def test_a_file_that_breaks_off_leaves_nothing(self, store, tmp_path):
        class Broken(io.BytesIO):
            def read(self, size=-1):
                raise ConnectionResetError("the browser went away")

        with pytest.raises(ConnectionResetError):
            store.put(Broken())
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]

    def test_a_path_can_be_put(self, store, tmp_path):
        path = tmp_path / "capture"
        path.write_bytes(CONTENT)
        assert storage.put_path(store, path) == (DIGEST, len(CONTENT))


class TestLocalStorage:
    def test_files_lie_below_the_first_two_digits_and_are_read_only(self, tmp_path):
        LocalStorage(tmp_path).put(io.BytesIO(CONTENT))
        path = tmp_path / DIGEST[:2] / DIGEST
        assert path.stat().st_mode & 0o777 == 0o440

    def test_fetching_copies_nothing(self, tmp_path):
        store = LocalStorage(tmp_path)
        store.put(io.BytesIO(CONTENT))
        assert store.fetch(DIGEST, tmp_path / "never made") == tmp_path / DIGEST[:2] / DIGEST


class TestObjectStorage:
    def test_the_address_names_bucket_and_prefix(self, object_storage):
        object_storage.put(io.BytesIO(CONTENT))
        found = boto3.client("s3").list_objects_v2(Bucket="course")["Contents"]
        assert [entry["Key"] for entry in found] == [f"rounds/{DIGEST[:2]}/{DIGEST}"]

    def test_an_address_without_prefix_uses_the_whole_bucket(self, object_storage, tmp_path):
        store = storage.connect("s3://course", tmp_path)
        assert isinstance(store, S3Storage)
        assert store.prefix == ""

    def test_a_file_is_fetched_once_per_folder(self, object_storage, tmp_path):
        object_storage.put(io.BytesIO(CONTENT))
        path = object_storage.fetch(DIGEST, tmp_path)
        object_storage.client.delete_object(Bucket="course", Key=f"rounds/{DIGEST[:2]}/{DIGEST}")
        assert object_storage.fetch(DIGEST, tmp_path) == path


class TestWorkspace:
    def test_it_is_private_and_gone_afterwards(self, tmp_path):
        with storage.workspace(tmp_path / "new") as folder:
            assert folder.stat().st_mode & 0o777 == 0o700
            (folder / "file").write_text("x")
        assert not folder.exists()

    def test_it_is_gone_after_an_error_too(self, tmp_path):
        with pytest.raises(ZeroDivisionError), storage.workspace(tmp_path) as folder:
            raise ZeroDivisionError
        assert not folder.exists()


class TestTidy:
    def test_what_killed_processes_left_is_removed_when_it_is_old(self, tmp_path):
        old, new = time.time() - 1000, tmp_path / f"{storage.WORKSPACE}new"
        new.mkdir()
        (tmp_path / f"{storage.WORKSPACE}old").mkdir()
        (tmp_path / f"{storage.SPOOLED}old").write_text("half a file")
        (tmp_path / "somebody's").write_text("not ours")
        for path in (f"{storage.WORKSPACE}old", f"{storage.SPOOLED}old", "somebody's"):
            os.utime(tmp_path / path, (old, old))
        assert storage.tidy(tmp_path, 500) == 2
        assert {path.name for path in tmp_path.iterdir()} == {new.name, "somebody's"}

    def test_a_folder_that_does_not_exist_is_tidy(self, tmp_path):
        assert storage.tidy(tmp_path / "none", 0) == 0
