"""Experiments and their runs over the interface."""

import csv
import io

import numpy as np
import pytest

from app import sandbox
from app.errors import InvalidUpload, Reason
from tests.api.lab import uploaded_pair
from tests.factories import make_user, run_tasks
from tests.services.lab import Child

ADDRESS = "/api/experiments/security-evaluation"
TABLE = {"title": "A table", "columns": ["Size", "Accuracy"], "rows": [[1 / 3, 0.1], [2 / 3, 1e-17]], "note": ""}


@pytest.fixture
def child(monkeypatch):
    stand_in = Child({"tables": [TABLE]})
    monkeypatch.setattr(sandbox, "run", stand_in.run)
    return stand_in


@pytest.fixture
def token(players, bearer, child):
    return bearer(players[3])


@pytest.fixture
def inputs(app, client, token):
    return uploaded_pair(app, client, token)


def ask(client, token, inputs, **more):
    return client.post(ADDRESS, headers=token, json={"inputs": inputs, **more})


class TestOffer:
    def test_experiments_tell_their_inputs_and_parameters(self, client, token):
        card = next(one for one in client.get("/api/experiments", headers=token).json
                    if one["slug"] == "security-evaluation")  # fmt: skip
        assert [one["kind"] for one in card["inputs"]] == ["model", "dataset"]
        parameters = {one["name"]: one for one in card["parameters"]}
        assert "standard" in parameters["attack"]["choices"]
        assert parameters["rel_stepsize"]["default"] == 0.025


class TestCreate:
    def test_a_job_is_accepted_and_can_be_followed(self, app, client, token, inputs):
        response = ask(client, token, inputs, parameters={"attack": "pgd-l2"}, seed=5)
        assert (response.status_code, response.json["status"], response.json["position"]) == (202, "queued", 1)
        run_tasks(app)
        found = client.get(response.headers["Location"], headers=token).json
        assert (found["status"], found["progress"], found["is_final"], found["seed"]) == ("accepted", 1.0, True, "5")
        assert found["inputs"] == inputs
        assert found["parameters"]["attack"] == "pgd-l2"

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"parameters": {"attack": "fgsm"}}, "parameters.attack"),
            ({"parameters": {"steps": "5"}}, "parameters.steps"),
            ({"parameters": {"speed": 5}}, "parameters.speed"),
            ({"inputs": {"model": "no key"}}, "inputs.model"),
            ({"inputs": {"model": 5}}, "inputs.model"),
            ({"inputs": {}}, "dataset"),
            ({"parameters": {"perturbation_values": "a"}}, "perturbation_values"),
            ({"seed": -1}, "seed"),
        ],
    )
    def test_what_is_wrong_is_told_by_field(self, client, token, inputs, body, field):
        response = client.post(ADDRESS, headers=token, json={"inputs": inputs, **body})
        assert response.status_code == 422
        assert field in response.json["errors"]

    def test_nobody_uses_the_files_of_others(self, client, inputs, players, bearer):
        response = ask(client, bearer(make_user("eve")), inputs)
        assert response.status_code == 422
        assert set(response.json["errors"]) == {"inputs.model", "inputs.dataset"}

    def test_an_unknown_experiment_is_not_there(self, client, token):
        assert client.post("/api/experiments/alchemy", headers=token, json={}).status_code == 404


class TestFollow:
    def test_the_list_is_ones_own_with_pages_and_filters(self, app, client, token, inputs):
        for _ in range(3):
            ask(client, token, inputs)
        run_tasks(app)
        response = client.get("/api/jobs?page_size=2&status=accepted", headers=token)
        assert len(response.json) == 2
        assert '"total": 3' in response.headers["X-Pagination"]
        assert client.get("/api/jobs?experiment=other", headers=token).json == []

    def test_a_refused_job_says_why(self, app, client, token, inputs, child):
        child.verdict = InvalidUpload([Reason("Classes do not fit.", fix="Mend it.")])
        response = ask(client, token, inputs)
        run_tasks(app)
        found = client.get(response.headers["Location"], headers=token).json
        assert (found["status"], found["reasons"][0]["rule"]) == ("rejected", "Classes do not fit.")

    def test_others_see_nothing(self, client, token, inputs, players, bearer):
        address = ask(client, token, inputs).headers["Location"]
        other = bearer(make_user("eve"))
        for path in ("", "/report", "/report.csv", "/arrays.npz"):
            assert client.get(address + path, headers=other).status_code == 404
        assert client.delete(address, headers=other).status_code == 404


class TestDelete:
    def test_the_first_time_cancels_and_the_second_time_removes(self, app, client, token, inputs):
        address = ask(client, token, inputs).headers["Location"]
        assert client.delete(address, headers=token).status_code == 204
        found = client.get(address, headers=token).json
        assert (found["status"], found["detail"]) == ("cancelled", "It was cancelled.")
        assert client.delete(address, headers=token).status_code == 204
        assert client.get(address, headers=token).status_code == 404


class TestResult:
    @pytest.fixture
    def done(self, app, client, token, inputs):
        address = ask(client, token, inputs, seed=9).headers["Location"]
        run_tasks(app)
        return address

    def test_the_report_is_json(self, client, token, done):
        report = client.get(f"{done}/report", headers=token).json
        assert (report["notes"], report["tables"]) == (["done"], [TABLE])

    def test_a_table_is_csv_at_full_precision(self, client, token, done):
        response = client.get(f"{done}/report.csv?table=0", headers=token)
        rows = list(csv.reader(io.StringIO(response.text)))
        assert (response.mimetype, rows[0]) == ("text/csv", ["Size", "Accuracy"])
        assert [[float(cell) for cell in row] for row in rows[1:]] == TABLE["rows"]
        assert client.get(f"{done}/report.csv?table=1", headers=token).status_code == 404

    def test_the_arrays_are_an_npz(self, client, token, done):
        with client.get(f"{done}/arrays.npz", headers=token) as response:
            content = io.BytesIO(response.data)
        with np.load(content, allow_pickle=False) as arrays:
            assert arrays["seed"].tolist() == [9]

    def test_again_runs_the_same(self, app, client, token, done, child):
        response = client.post(f"{done}/again", headers=token)
        run_tasks(app)
        assert (response.status_code, response.json["seed"]) == (202, "9")
        assert child.asked[-1] == child.asked[-2]

    @pytest.mark.parametrize("path", ["report", "report.csv", "arrays.npz"])
    def test_without_a_result_there_is_none(self, client, token, inputs, path):
        address = ask(client, token, inputs).headers["Location"]
        assert client.get(f"{address}/{path}", headers=token).status_code == 409
