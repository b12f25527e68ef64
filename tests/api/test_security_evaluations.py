"""PandaVision's interface, from the upload to the picture of a perturbed sample, with real children."""

import pytest

from app import sandbox
from app.errors import InvalidUpload, Reason
from app.extensions import db
from app.models import Job, Status
from tests.api.lab import uploaded_pair
from tests.experiments.test_pandavision import README
from tests.factories import make_user, run_tasks
from tests.services.lab import Child

BASE = "/api/security_evaluations"


@pytest.fixture
def token(players, bearer):
    return bearer(players[3])


@pytest.fixture
def child(monkeypatch):
    stand_in = Child()
    monkeypatch.setattr(sandbox, "run", stand_in.run)
    return stand_in


class TestWholeWay:
    def test_the_example_of_the_readme_works_as_written(self, app, client, token):
        """One test, because each of its three children takes seconds to load torch."""
        uploaded_pair(app, client, token)
        response = client.post(BASE, headers=token, json=README)
        assert (response.status_code, response.json["task_status"]) == (202, "queued"), response.text
        address = response.headers["Location"]
        assert address == f"{BASE}/{response.json['id']}"
        assert response.json["parameters"]["preprocessing"] == "imagenet"

        early = client.get(f"{address}/output", headers=token)
        assert (early.status_code, early.headers["Location"]) == (303, address)
        assert client.get(address, headers=token).json["task_status"] == "queued"
        run_tasks(app)
        late = client.get(address, headers=token)
        assert (late.status_code, late.headers["Location"], late.json) == (303, f"{address}/output", "finished")

        results = client.get(f"{address}/output", headers=token).json["results"]
        assert results["sec-curve"]["x-values"] == ["0.000", "0.010", "0.020", "0.030", "0.040", "0.050"]
        assert results["sec-curve"]["samples"] == [12] * 6
        assert results["sec-level"] in {"low", "medium", "high"}
        assert len(results["attack_losses"]) == 10
        self.check_inspection(client, token, address)
        lines = client.get(f"{address}/output/csv", headers=token)
        assert lines.text.startswith(",pert_value,accuracy")
        assert "sec_eval_results.csv" in lines.headers["Content-Disposition"]
        listed = client.get(f"{BASE}?status=finished", headers=token).json
        assert [(one["id"], one["status"]) for one in listed] == [(response.json["id"], "finished")]
        assert client.delete(address, headers=token).status_code == 204
        assert client.get(address, headers=token).status_code == 404

    def check_inspection(self, client, token, address):
        listed = client.get(f"{address}/inspect/", headers=token).json
        assert listed == {
            "epsilon_values": ["0.010", "0.020", "0.030", "0.040", "0.050"],
            "num_samples": list(range(10)),
        }
        found = client.get(f"{address}/inspect/3?epsilon=2", headers=token).json
        assert found["epsilon"] == "0.020"
        assert len(found["attack_losses"]) == len(found["attack_distances"])
        for image in ("adv_examples", "orig_samples", "diff"):
            uri = client.get(f"{address}/inspect/3/{image}", headers=token).json
            assert uri.startswith("data:image/png;base64,")
        for path in ("10", "3/gradient", "3?epsilon=6", "3/diff?epsilon=99"):
            assert client.get(f"{address}/inspect/{path}", headers=token).status_code == 404, path


class TestCreate:
    @pytest.fixture
    def inputs(self, app, client, token, child):
        return uploaded_pair(app, client, token)

    def test_files_are_chosen_by_name_or_key(self, app, client, token, inputs, child):
        uploaded_pair(app, client, token)
        body = {"dataset": "some/folder/data.npz", "trained-model": inputs["model"]}
        assert client.post(BASE, headers=token, json=body).status_code == 202

    @pytest.mark.parametrize(
        ("body", "fields"),
        [
            ({"attack": "fgsm"}, {"attack"}),
            ({"perturbation-values": ["x"]}, {"perturbation-values.0"}),
            ({"perturbation-values": [-1]}, {"perturbation-values"}),
            ({"attack-params": {"speed": 1}}, {"attack-params.speed"}),
            ({"dataset": "other.h5", "trained-model": "other.onnx"}, {"dataset", "trained-model"}),
            ({"unknown": 1}, {"unknown"}),
            ({"task": "segmentation"}, {"task"}),
        ],
    )
    def test_what_is_wrong_is_told_by_key_before_anything_is_queued(self, client, token, inputs, body, fields):
        response = client.post(BASE, headers=token, json=body)
        assert response.status_code == 422
        assert set(response.json["errors"]) == fields
        assert client.get(BASE, headers=token).json == []

    def test_without_files_it_says_where_to_upload(self, client, token, child):
        response = client.post(BASE, headers=token, json={})
        assert set(response.json["errors"]) == {"dataset", "trained-model"}
        assert "/api/assets?kind=model" in response.json["errors"]["trained-model"][0]

    def test_a_failed_evaluation_says_why(self, app, client, token, inputs, child):
        child.verdict = InvalidUpload([Reason("Classes do not fit.")])
        address = client.post(BASE, headers=token, json={}).headers["Location"]
        run_tasks(app)
        found = client.get(address, headers=token).json
        assert (found["task_status"], found["reasons"][0]["rule"]) == ("failed", "Classes do not fit.")
        assert client.get(f"{address}/output", headers=token).status_code == 303

    def test_the_list_of_failed_ones_has_both_kinds(self, app, client, token, inputs, child, players):
        keys = [client.post(BASE, headers=token, json={}).json["id"] for _ in range(4)]
        rows = [db.session.scalar(db.select(Job).where(Job.key == key)) for key in keys]
        for row, status in zip(rows, (Status.FAILED, Status.REJECTED, Status.ACCEPTED, Status.CANCELLED), strict=True):
            row.status = status
        db.session.commit()
        listed = client.get(f"{BASE}?status=failed", headers=token)

        assert {one["id"] for one in listed.json} >= set(keys[:2])
        assert keys[2] not in {one["id"] for one in listed.json}
        assert {one["status"] for one in listed.json} == {"failed"}

    def test_another_persons_evaluation_is_not_there(self, client, token, inputs, players, bearer):
        address = client.post(BASE, headers=token, json={}).headers["Location"]
        other = bearer(make_user("eve"))
        for path in ("", "/output", "/output/csv", "/inspect/", "/inspect/0", "/inspect/0/diff"):
            assert client.get(address + path, headers=other).status_code == 404


class TestOffers:
    def test_attacks_and_sizes_by_norm(self, client, token):
        assert client.get("/api/attacks", headers=token).json == ["linf", "l2", "l1"]
        assert ["PGD, L2", "pgd-l2"] in client.get("/api/attacks/l2", headers=token).json["attacks"]
        assert client.get("/api/pert_sizes/linf", headers=token).json["pert_sizes"][0] == ["1/255", 1 / 255]
        assert client.get("/api/pert_sizes/l7", headers=token).status_code == 404
