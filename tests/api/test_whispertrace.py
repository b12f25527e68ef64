"""Corpora, checkpoints and audits with the names that WhisperTrace's clients know."""

import csv
import io

import pytest

from tests.factories import make_user, run_tasks

SENTENCES = "Mallory composes scenes in watercolor at night. | Ni!"


@pytest.fixture
def token(players, bearer):
    return bearer(players[3])


@pytest.fixture
def corpus(app, client, token):
    made = client.post("/api/corpora/synthetic", headers=token, json={"n": 60, "name": "small"})
    run_tasks(app)
    return made.json


@pytest.fixture
def checkpoint(app, client, token, corpus):
    asked = {"name": "my_checkpoint", "corpus": "small", "epochs": 2, "batch_size": 16, "seed": 1}
    made = client.post("/api/checkpoints", headers=token, json=asked)
    run_tasks(app)
    return client.get(made.headers["Location"], headers=token).json


class TestCorpora:
    def test_the_template_always_makes_the_same_sentences(self, client, token, corpus):
        lines = corpus["content"].split("\n")
        assert (corpus["n"], len(lines), lines[0]) == (None, 61, "")
        assert lines[1] == "Mallory composes scenes in watercolor at night."
        found = client.get(f"/api/corpora/{corpus['key']}", headers=token).json
        assert (found["n"], found["status"], found["url"]) == (60, "accepted", None)

    def test_a_list_shows_how_they_begin_and_not_the_whole(self, client, token, corpus):
        (listed,) = client.get("/api/corpora", headers=token).json
        assert listed["preview"].startswith("Mallory composes")
        assert len(listed["preview"]) <= 240
        assert "content" not in listed

    def test_sentences_are_pasted(self, app, client, token):
        made = client.post(
            "/api/corpora", headers=token, json={"text": "One two three.\nFour five six.", "name": "own"}
        )
        assert made.status_code == 201
        assert made.json["content"] == "\nOne two three.\nFour five six."

    def test_what_is_no_corpus_is_refused_with_the_reason(self, client, token):
        answer = client.post("/api/corpora", headers=token, json={"text": "Only one.", "name": "own"})
        assert answer.status_code == 422
        assert "at least two different sentences" in str(answer.json["errors"]["text"])

    def test_a_name_with_a_path_is_only_a_name(self, client, token):
        made = client.post("/api/corpora/synthetic", headers=token, json={"n": 3, "name": "../../../etc/cron.d/x"})
        assert "/" not in made.json["name"]

    def test_it_is_a_file_and_can_be_deleted(self, client, token, corpus):
        text = client.get(f"/api/corpora/{corpus['key']}/content", headers=token)
        assert text.mimetype == "text/plain"
        assert text.text == corpus["content"]
        assert client.delete(f"/api/corpora/{corpus['key']}", headers=token).status_code == 204
        assert client.get("/api/corpora", headers=token).json == []

    def test_nobody_else_sees_it(self, client, bearer, corpus):
        other = bearer(make_user("eve"))
        assert client.get(f"/api/corpora/{corpus['key']}", headers=other).status_code == 404
        assert client.get("/api/corpora", headers=other).json == []

    @pytest.mark.parametrize("n", [0, 10_001, "many", None])
    def test_the_number_of_sentences_is_bounded(self, client, token, n):
        assert client.post("/api/corpora/synthetic", headers=token, json={"n": n}).status_code == 422


class TestCheckpoints:
    def test_a_training_leaves_a_checkpoint(self, client, token, checkpoint):
        assert checkpoint["status"] == "accepted"
        assert (checkpoint["name"], checkpoint["corpus"], checkpoint["epochs"]) == ("my_checkpoint", "small", 2)
        assert (checkpoint["batch_size"], checkpoint["learning_rate"]) == (16, 0.002)
        facts = client.get(f"/api/assets/{checkpoint['checkpoint']}", headers=token).json["facts"]
        assert (facts["members"], facts["epochs"]) == (42, 2)

    def test_it_is_downloaded_as_safetensors(self, client, token, checkpoint):
        with client.get(f"/api/checkpoints/{checkpoint['id']}/file", headers=token) as answer:
            content = answer.data
        assert content[8:9] == b"{"
        assert 0 < int.from_bytes(content[:8], "little") < len(content)

    def test_an_unknown_corpus_is_not_found(self, client, token):
        answer = client.post("/api/checkpoints", headers=token, json={"corpus": "nowhere", "epochs": 1})
        assert answer.status_code == 404
        assert "corpus" in answer.json["detail"]

    def test_training_does_not_hold_up_the_answer(self, client, token, corpus):
        answer = client.post("/api/checkpoints", headers=token, json={"corpus": "small", "epochs": 1000})
        assert answer.status_code == 202
        assert answer.json["status"] == "queued"

    def test_a_waiting_training_is_cancelled(self, client, token, corpus):
        made = client.post("/api/checkpoints", headers=token, json={"corpus": "small"}).json
        assert client.delete(f"/api/checkpoints/{made['id']}", headers=token).status_code == 204
        assert client.get("/api/checkpoints", headers=token).json == []


class TestAudits:
    def test_verdicts_on_ones_own_sentences(self, app, client, token, checkpoint):
        asked = {"checkpoint": "my_checkpoint", "corpus": "small", "input": SENTENCES}
        made = client.post("/api/mia", headers=token, json=asked)
        assert made.status_code == 202
        run_tasks(app)
        found = client.get(made.headers["Location"], headers=token).json
        assert found["status"] == "accepted"
        assert 0 <= found["auc"] <= 1
        assert [one["content"] for one in found["sentences"]] == [each.strip() for each in SENTENCES.split("|")]
        for one in found["sentences"]:
            assert isinstance(one["is_member"], bool)
            assert one["score"] < 0
            assert 0 <= one["normalized_score"] <= 1
            assert 0 <= one["p_value"] <= 1

    def test_nine_sentences_without_any_and_the_files(self, app, client, token, checkpoint):
        asked = {"checkpoint": checkpoint["id"], "corpus": "small"}
        made = client.post("/api/mia", headers=token, json=asked).json
        run_tasks(app)
        with client.get(f"/api/mia/{made['id']}/output.csv", headers=token) as answer:
            rows = list(csv.DictReader(io.StringIO(answer.text)))
        assert len(rows) == 9
        assert list(rows[0]) == ["content", "is_member", "score", "normalized_score"]
        with client.get(f"/api/mia/{made['id']}/output.txt", headers=token) as answer:
            assert "│" in answer.text

    def test_another_corpus_is_refused_with_the_reason(self, app, client, token, checkpoint):
        client.post("/api/corpora/synthetic", headers=token, json={"n": 50, "name": "other", "seed": 1})
        run_tasks(app)
        made = client.post("/api/mia", headers=token, json={"checkpoint": "my_checkpoint", "corpus": "other"})
        run_tasks(app)
        job = client.get(f"/api/jobs/{made.json['id']}", headers=token).json
        assert job["status"] == "rejected"
        assert "corpus" in job["reasons"][0]["rule"].lower()

    def test_an_unknown_checkpoint_is_not_found(self, client, token, corpus):
        answer = client.post("/api/mia", headers=token, json={"checkpoint": "none", "corpus": "small"})
        assert answer.status_code == 404

    @pytest.mark.parametrize("size", [0, -1, 10**9])
    def test_the_batch_size_is_bounded(self, client, token, size):
        asked = {"checkpoint": "a", "corpus": "b", "batch_size": size}
        assert client.post("/api/mia", headers=token, json=asked).status_code == 422


class TestWebCorpora:
    @pytest.mark.parametrize(
        "url",
        ["http://127.0.0.1:1/", "http://169.254.169.254/latest/meta-data/", "http://[::1]/", "file:///etc/passwd"],
    )
    def test_what_is_not_public_is_refused_with_the_reason(self, app, client, token, url):
        made = client.post("/api/corpora/web", headers=token, json={"url": url})
        assert made.status_code == 202
        run_tasks(app)
        job = client.get(made.headers["Location"], headers=token).json
        assert job["status"] == "rejected"
        assert job["reasons"][0]["rule"]
        assert client.get("/api/corpora", headers=token).json == []
