"""Files of the lab: uploaded, checked, listed, deleted."""

import io

import pytest

from app import sandbox
from tests import image_classifiers as classifiers
from tests.api.lab import sent
from tests.factories import make_user, run_tasks
from tests.services.lab import Child


@pytest.fixture
def token(players, bearer):
    return bearer(players[3])


@pytest.fixture
def child(monkeypatch):
    stand_in = Child()
    monkeypatch.setattr(sandbox, "run", stand_in.run)
    return stand_in


def upload(client, headers, kind="model", content=b"x", name="model.onnx"):
    return client.post(f"/api/assets?kind={kind}", headers=headers, data={"file": (io.BytesIO(content), name)})


class TestUpload:
    def test_a_real_data_set_is_checked_in_a_child(self, app, client, token, tmp_path):
        content = classifiers.h5_file(*classifiers.images(5), tmp_path, compression="gzip")
        response = sent(app, client, token, "dataset", content, "images.hdf5")
        found = client.get(response.headers["Location"], headers=token).json
        assert (found["status"], found["facts"]["n"], found["facts"]["shape"]) == ("accepted", 5, [3, 6, 6])

    def test_a_broken_file_comes_back_with_its_reasons(self, app, client, token):
        response = sent(app, client, token, "dataset", b"PK no zip at all", "images.npz")
        found = client.get(response.headers["Location"], headers=token).json
        assert found["status"] == "rejected"
        assert found["reasons"][0]["rule"]

    @pytest.mark.parametrize(
        ("kind", "name", "status"), [("model", "model.pt", 400), ("dataset", "a.csv", 400), ("video", "a.onnx", 422)]
    )
    def test_a_file_of_another_kind_is_refused_at_once(self, client, token, kind, name, status):
        assert upload(client, token, kind, name=name).status_code == status

    def test_the_kind_is_asked_for(self, client, token):
        response = client.post("/api/assets", headers=token, data={"file": (io.BytesIO(b"x"), "a.onnx")})
        assert response.status_code == 422
        assert "kind" in response.json["errors"]


class TestList:
    def test_it_has_ones_own_files_of_a_kind(self, app, client, token, players, bearer, child):
        upload(client, token)
        upload(client, token, "dataset", name="a.h5")
        upload(client, bearer(make_user("eve")))
        run_tasks(app)
        assert len(client.get("/api/assets", headers=token).json) == 2
        listed = client.get("/api/assets?kind=dataset", headers=token).json
        assert [(one["name"], one["version"], one["status"]) for one in listed] == [("a.h5", 1, "accepted")]

    def test_nobody_else_sees_or_deletes_one(self, client, token, players, bearer, child):
        address = upload(client, token).headers["Location"]
        other = bearer(make_user("eve"))
        assert client.get(address, headers=other).status_code == 404
        assert client.delete(address, headers=other).status_code == 404
        assert client.get(address, headers=token).status_code == 200


class TestDelete:
    def test_a_deleted_file_is_gone(self, client, token, child):
        address = upload(client, token).headers["Location"]
        assert client.delete(address, headers=token).status_code == 204
        assert client.get(address, headers=token).status_code == 404
        assert client.get("/api/assets", headers=token).json == []

    @pytest.mark.parametrize("key", ["0" * 32, "-" * 32, "%00" * 32, "short"])
    def test_an_unknown_key_is_not_there(self, client, token, key):
        assert client.get(f"/api/assets/{key}", headers=token).status_code == 404
