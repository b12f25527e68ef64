import csv
import io
import json

import numpy as np
import pytest

from app.models import Asset, Job, Status, now
from app.services import accounts
from tests.factories import log_in, make_players
from tests.web.lab_rows import REPORT, make_asset, make_job, offer
from tests.web.pages import text

INPUT = "/lab/experiments/means/inputs/numbers"
HTMX = {"HX-Request": "true"}
SETTINGS = {
    "parameters-kind": "trimmed",
    "parameters-share": "0.25",
    "parameters-rounds": "5",
    "parameters-words": "",
}


@pytest.fixture(autouse=True)
def world(app, monkeypatch):
    make_players()
    offer(monkeypatch)


@pytest.fixture
def alice():
    return accounts.named("alice")


@pytest.fixture
def page(client, alice):
    return log_in(client, alice)


def sent(name="numbers.txt", content=b"1 2 3"):
    return io.BytesIO(content), name


def run(page, asset, **values):
    return page.post("/lab/experiments/means", data={**SETTINGS, "inputs-numbers": asset.key, **values})


class TestStart:
    def test_strangers_are_asked_to_log_in(self, client):
        assert client.get("/lab/").location.startswith("/login")
        assert 'href="/lab/"' not in client.get("/").get_data(as_text=True)

    def test_it_shows_experiments_files_and_jobs(self, page, alice):
        assert 'href="/lab/"' in page.get("/").get_data(as_text=True)
        assert "You have run nothing yet." in text(page.get("/lab/"))
        make_asset(alice)
        make_job(alice, "running", progress=0.4)
        words = text(page.get("/lab/"))
        assert "Means of numbers" in words
        assert "numbers.txt" in words
        assert "Running 40 %" in words


class TestForm:
    def test_it_offers_only_ones_own_accepted_files(self, page, alice):
        make_asset(alice, "mine.txt", version=3)
        make_asset(alice, "bad.txt", "rejected", key="b" * 32)
        make_asset(accounts.named("carol"), "hers.txt", key="c" * 32)
        body = page.get("/lab/experiments/means").get_data(as_text=True)
        assert "mine.txt, version 3" in body
        assert "b" * 32 not in body.split("<select")[1].split("</select>")[0]
        assert "c" * 32 not in body

    def test_it_shows_what_the_parameters_say_of_themselves(self, page, alice):
        make_asset(alice)
        body = page.get("/lab/experiments/means").get_data(as_text=True)
        words = text(page.get("/lab/experiments/means"))
        assert "What is trimmed. From 0 to 0.5 of all." in words
        assert "The plain one" in words
        assert 'data-fill="parameters-words" data-value="as usual"' in body
        assert '<details class="lab-section">' in body

    def test_sending_it_makes_a_job_with_typed_values(self, app, page, alice, session):
        asset = make_asset(alice)
        response = run(page, asset, seed="11")
        job = session.query(Job).one()
        assert (response.status_code, response.location) == (303, f"/lab/jobs/{job.key}")
        expected = {"kind": "trimmed", "share": 0.25, "rounds": 5, "exact": False, "words": ""}
        assert (job.parameters, job.seed, job.inputs) == (expected, 11, {"numbers": asset.id})
        assert [task.name for task in app.sent] == ["jobs.work"]
        assert "Next in the queue" in text(page.get(response.location))

    def test_every_problem_stands_at_its_field(self, page, alice):
        response = page.post(
            "/lab/experiments/means",
            data={**SETTINGS, "parameters-share": "7", "parameters-rounds": "many", "seed": "-1"},
        )
        words = text(response)
        assert response.status_code == 400
        assert "Number must be between 0.0 and 0.5." in words
        assert "Not a valid integer value." in words
        assert "Number must be between 0 and" in words
        assert '<details class="lab-section" open>' in response.get_data(as_text=True)

    def test_what_only_the_experiment_can_know_stands_at_its_field_too(self, page, alice):
        response = run(page, make_asset(alice), **{"parameters-words": "wrong"})
        body = response.get_data(as_text=True)
        assert response.status_code == 400
        assert "Must be right." in body.split('id="parameters-words-errors"')[1][:80]
        assert "Does not fit the words." in body.split('id="parameters-share-errors"')[1][:80]

    def test_a_missing_file_is_said_at_its_choice(self, page):
        response = page.post("/lab/experiments/means", data=SETTINGS)
        assert response.status_code == 400
        assert (
            "Is missing: choose a list." in response.get_data(as_text=True).split('id="inputs-numbers-errors"')[1][:90]
        )

    def test_somebody_elses_file_is_no_choice(self, page, session):
        response = run(page, make_asset(accounts.named("carol")))
        assert response.status_code == 400
        assert session.query(Job).count() == 0

    def test_a_used_up_quota_is_said_on_the_form(self, app, page, alice):
        app.config["JOBS_PER_USER"] = 1
        make_job(alice, "queued")
        response = run(page, make_asset(alice), **{"parameters-words": "kept"})
        assert response.status_code == 429
        assert "as many unfinished jobs as allowed" in text(response)
        assert 'value="kept"' in response.get_data(as_text=True)

    def test_an_unknown_experiment_is_not_found(self, page):
        assert page.get("/lab/experiments/none").status_code == 404
        assert page.get("/lab/experiments/means/inputs/none").status_code == 404


class TestInput:
    def test_a_file_is_uploaded_right_there_and_becomes_the_choice(self, app, page, session):
        response = page.post(INPUT, data={"new-numbers-file": sent()}, headers=HTMX)
        asset = session.query(Asset).one()
        assert [task.name for task in app.sent] == ["assets.check"]
        assert f"awaited={asset.key}" in response.get_data(as_text=True)
        assert "Queued" in text(response)
        asset.status = Status.ACCEPTED
        body = page.get(f"{INPUT}?awaited={asset.key}&inputs-numbers=", headers=HTMX).get_data(as_text=True)
        assert f'<option selected value="{asset.key}">' in body
        assert "hx-get" not in body

    def test_a_choice_is_kept_while_another_file_is_checked(self, page, alice):
        old, new = make_asset(alice, "old.txt"), make_asset(alice, "new.txt", "running")
        body = page.get(f"{INPUT}?awaited={new.key}&inputs-numbers={old.key}", headers=HTMX)
        assert f'<option selected value="{old.key}">' in body.get_data(as_text=True)

    def test_a_wrong_ending_is_said_there(self, page, session):
        response = page.post(INPUT, data={"new-numbers-file": sent("numbers.exe")}, headers=HTMX)
        assert "has to end with .txt" in text(response)
        assert session.query(Asset).count() == 0

    def test_it_works_without_scripts(self, app, page):
        app.config["ASSETS_PER_USER"] = 1
        assert page.post(INPUT, data={"new-numbers-file": sent()}).location == "/lab/experiments/means"
        page.post(INPUT, data={"new-numbers-file": sent()})
        assert "as many files as allowed" in text(page.get("/lab/experiments/means"))


class TestJob:
    def test_only_its_owner_and_admins_see_it(self, client, alice):
        key = make_job(alice).key
        addresses = [f"/lab/jobs/{key}{rest}" for rest in ("", "/live", "/inspect", "/export/report.json")]
        for name, status in (("alice", 200), ("ada", 200), ("bob", 404), ("carol", 404)):
            log_in(client, accounts.named(name))
            assert [client.get(address).status_code for address in addresses] == [status] * 4
        for action in ("cancel", "again", "delete"):
            assert client.post(f"/lab/jobs/{key}/{action}").status_code == 404
        assert text(client.get("/lab/jobs/")).count("Means of numbers") == 1

    def test_strange_keys_are_not_found(self, page):
        assert page.get("/lab/jobs/%00").status_code == 404
        assert page.get("/lab/files/%C3%A9").status_code == 404

    def test_one_that_runs_shows_how_long_it_will_take(self, page, alice, session):
        job = make_job(alice, "running", progress=0.5)
        words = text(page.get(f"/lab/jobs/{job.key}/live"))
        assert "about 1 s left 50 %" in words
        assert 'hx-trigger="every 2s"' in page.get(f"/lab/jobs/{job.key}/live").get_data(as_text=True)

    def test_cancelling_is_seen_while_it_still_runs(self, page, alice, session):
        job = make_job(alice, "running")
        assert page.post(f"/lab/jobs/{job.key}/cancel").status_code == 303
        assert job.is_cancelled
        words = text(page.get(f"/lab/jobs/{job.key}"))
        assert "Stopping" in words
        assert "Cancel the job" not in words

    def test_one_that_waits_is_cancelled_at_once_and_never_twice(self, page, alice):
        job = make_job(alice, "queued")
        page.post(f"/lab/jobs/{job.key}/cancel")
        assert job.status is Status.CANCELLED
        page.post(f"/lab/jobs/{job.key}/cancel")
        assert "This job is over already." in text(page.get(f"/lab/jobs/{job.key}"))

    def test_it_runs_again_with_the_same_seed(self, page, alice, session):
        asset = make_asset(alice)
        job = make_job(alice, inputs={"numbers": asset.id}, parameters={"kind": "trimmed"}, seed=99)
        response = page.post(f"/lab/jobs/{job.key}/again")
        again = session.query(Job).filter(Job.id != job.id).one()
        assert response.location == f"/lab/jobs/{again.key}"
        assert (again.seed, again.parameters["kind"], again.inputs) == (99, "trimmed", job.inputs)

    def test_it_does_not_run_again_on_a_deleted_file(self, page, alice):
        asset = make_asset(alice, is_deleted=True)
        job = make_job(alice, inputs={"numbers": asset.id})
        response = page.post(f"/lab/jobs/{job.key}/again")
        assert response.status_code == 400
        assert "numbers: has been deleted" in text(response)
        assert "(deleted)" in text(page.get(f"/lab/jobs/{job.key}"))

    def test_deleting_takes_it_off_the_list(self, page, alice):
        job = make_job(alice)
        assert page.post(f"/lab/jobs/{job.key}/delete").location == "/lab/jobs/"
        assert page.get(f"/lab/jobs/{job.key}").status_code == 404

    def test_a_rejected_one_gives_every_reason(self, page, alice):
        reasons = [{"rule": "Numbers are small.", "where": "line 3", "fix": "Divide them.", "count": 2}]
        words = text(page.get(f"/lab/jobs/{make_job(alice, 'rejected', reasons=reasons).key}"))
        assert "Numbers are small. Found: line 3 In 2 places. Divide them." in words

    def test_a_failed_one_is_our_fault_and_its_log_is_for_admins(self, client, alice):
        key = make_job(alice, "failed", log="Traceback: secret").key
        words = text(log_in(client, alice).get(f"/lab/jobs/{key}"))
        assert "The fault is ours" in words
        assert "Traceback" not in words
        assert "Traceback" in text(log_in(client, accounts.named("ada")).get(f"/lab/jobs/{key}"))

    def test_an_experiment_that_is_not_offered_any_more_still_shows_its_result(self, page, alice):
        words = text(page.get(f"/lab/jobs/{make_job(alice, experiment='bygone').key}"))
        assert "bygone" in words
        assert "Numbers" in words
        assert "Run again" not in words


LAST = [["q", "0", "0.1"], ["q", "1", "0.2"]]


class TestReport:
    def test_it_shows_all_that_was_found(self, page, alice):
        response = page.get(f"/lab/jobs/{make_job(alice).key}")
        words, body = text(response), response.get_data(as_text=True)
        assert "12.3 % 95 % interval: 10.0–20.0" in words.replace("\xa0", " ")
        assert "The average of all numbers." in words
        assert "Extra 2.000" in words
        assert "Only three numbers were seen." in words
        assert 'data-value="0.30000000000000004">0.3<' in body
        assert 'data-sort="number"' in body
        assert "Faults None." in words
        assert body.count("data-png=") == 4
        assert "figure-3.csv" not in body

    def test_json_has_everything_at_full_precision(self, page, alice):
        asset = make_asset(alice)
        job = make_job(alice, inputs={"numbers": asset.id}, parameters={"kind": "plain"})
        job.report = {**REPORT, "metrics": {"mean": {"value": float("inf"), "low": None, "high": None}}}
        response = page.get(f"/lab/jobs/{job.key}/export/report.json")
        whole = json.loads(response.get_data(as_text=True), parse_constant=pytest.fail)
        assert whole["report"]["tables"] == REPORT["tables"]
        assert whole["report"]["metrics"]["mean"]["value"] is None
        assert whole["inputs"]["numbers"]["sha256"] == asset.digest
        assert (whole["seed"], whole["parameters"]) == (7, {"kind": "plain"})
        assert "attachment" in response.headers["Content-Disposition"]

    @pytest.mark.parametrize(
        ("kind", "rows"),
        [
            ("table-1", [["Name", "Value"], ["b", "0.30000000000000004"], ["a", "12"]]),
            ("figure-1", [["Name", "Value"], ["a", "1.0"], ["b", "2.0"]]),
            ("figure-2", [["series", "Time", "Value"], ["p", "0", "1.0"], ["p", "1", ""], *LAST]),
            ("figure-4", [["Row \\ Column", "c", "d"], ["r", "0.0", "0.5"], ["s", "1.0", "0.25"]]),
        ],
    )  # fmt: skip
    def test_tables_and_pictures_are_csv(self, page, alice, kind, rows):
        response = page.get(f"/lab/jobs/{make_job(alice).key}/export/{kind}.csv")
        assert response.mimetype == "text/csv"
        assert list(csv.reader(io.StringIO(response.get_data(as_text=True)))) == rows

    def test_arrays_are_npz(self, page, alice):
        with page.get(f"/lab/jobs/{make_job(alice).key}/export/arrays.npz") as response:
            content = io.BytesIO(response.get_data())
        with np.load(content, allow_pickle=False) as arrays:
            assert arrays["values"].tolist() == [1.0, 2.0, 3.0]

    @pytest.mark.parametrize(
        "kind", ["figure-3.csv", "figure-9.csv", "table-9.csv", "table", "report.json-1.csv", "table-0.csv", "other"]
    )
    def test_what_there_is_not_is_not_found(self, page, alice, kind):
        assert page.get(f"/lab/jobs/{make_job(alice).key}/export/{kind}").status_code == 404

    def test_a_job_without_a_result_exports_nothing(self, page, alice):
        assert page.get(f"/lab/jobs/{make_job(alice, 'running').key}/export/report.json").status_code == 409


class TestInspection:
    def test_it_begins_with_the_default_and_shows_what_is_asked_for(self, page, alice):
        key = make_job(alice).key
        assert "Entry 1" in text(page.get(f"/lab/jobs/{key}/inspect"))
        response = page.get(f"/lab/jobs/{key}/inspect?entry=2&other=5")
        assert "Bar chart" in response.get_data(as_text=True)
        assert '<option value="2" selected>entry 2</option>' in response.get_data(as_text=True)

    @pytest.mark.parametrize("entry", ["3", "-1", "99999999999999999999"])
    def test_a_place_that_there_is_not_is_not_found(self, page, alice, entry):
        assert page.get(f"/lab/jobs/{make_job(alice).key}/inspect?entry={entry}").status_code == 404

    def test_a_job_without_arrays_has_none(self, page, alice):
        assert page.get(f"/lab/jobs/{make_job(alice, 'running').key}/inspect").status_code == 409


class TestJobList:
    def test_it_is_filtered_and_cut_into_pages(self, page, alice):
        for _ in range(21):
            make_job(alice, "failed", created_at=now())
        make_job(alice, "cancelled", parameters={"kind": "trimmed", "rounds": 3})
        words = text(page.get("/lab/jobs/"))
        assert "kind: trimmed" in words
        assert "rounds: 3" not in words
        assert "22 in all." in words
        assert text(page.get("/lab/jobs/?status=cancelled")).count("Delete job") == 1
        assert text(page.get("/lab/jobs/?page=2")).count("Delete job") == 2
        assert "No job matches." in text(page.get("/lab/jobs/?experiment=other"))


class TestFiles:
    def test_a_file_is_uploaded_and_checked_later(self, app, page, session):
        response = page.post("/lab/files/", data={"kind": "list", "file": sent()})
        asset = session.query(Asset).one()
        assert (response.status_code, response.location) == (303, f"/lab/files/{asset.key}")
        assert (asset.kind, asset.name, asset.version) == ("list", "numbers.txt", 1)
        assert "hx-get" in page.get(f"/lab/files/{asset.key}/live").get_data(as_text=True)

    def test_a_strange_name_becomes_a_plain_one(self, page, session):
        page.post("/lab/files/", data={"kind": "list", "file": sent("..\\a\tb<i>.txt")})
        name = session.query(Asset).one().name
        assert name.endswith("a_b_i_.txt")
        assert name in text(page.get("/lab/files/"))

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            ({"kind": "list"}, "Choose a file first."),
            ({"kind": "list", "file": ("a.exe", b"1")}, "has to end with .txt"),
            ({"kind": "other", "file": ("a.txt", b"1")}, "Not a valid choice."),
            ({"kind": "list", "file": ("a.txt", b"")}, "The file is empty."),
        ],
    )
    def test_what_cannot_be_a_file_is_refused_on_the_form(self, page, data, words):
        if "file" in data:
            data = {**data, "file": sent(*data["file"])}
        response = page.post("/lab/files/", data=data)
        assert response.status_code in {400, 409}
        assert words in text(response)

    def test_it_shows_what_the_check_found(self, page, alice):
        facts = {
            "input_shape": [None, 1, 8, 8], "is_quantised": False, "operators": {"Conv": 2}, "range": [0.0, 1.0],
            "class_names": [f"class {place}" for place in range(14)], "warnings": ["It is slow."], "rate": 0.5,
        }  # fmt: skip
        make_asset(alice, version=1)
        key = make_asset(alice, version=2, facts=facts).key
        words = text(page.get(f"/lab/files/{key}"))
        for part in (
            "any × 1 × 8 × 8",
            "Is quantised no",
            "Conv (2)",
            "0 to 1",
            "and 2 more",
            "It is slow.",
            "All versions",
        ):
            assert part in words
        assert f"/lab/experiments/means?numbers={key}" in page.get(f"/lab/files/{key}").get_data(as_text=True)

    def test_a_rejected_one_gives_every_reason(self, page, alice):
        reasons = [{"rule": "It has numbers.", "where": "", "fix": "Add some.", "count": 1}]
        key = make_asset(alice, status="rejected", reasons=reasons).key
        assert "It has numbers. Add some." in text(page.get(f"/lab/files/{key}"))
        assert "1 reason" in text(page.get("/lab/files/"))

    def test_only_its_owner_and_admins_see_and_delete_it(self, client, alice):
        key = make_asset(alice).key
        for name, status in (("bob", 404), ("ada", 200)):
            assert log_in(client, accounts.named(name)).get(f"/lab/files/{key}").status_code == status
        log_in(client, accounts.named("bob"))
        assert client.post(f"/lab/files/{key}/delete").status_code == 404
        log_in(client, alice)
        assert client.post(f"/lab/files/{key}/delete").location == "/lab/files/"
        assert "You have no files here yet." in text(client.get("/lab/files/"))

    def test_one_that_a_job_works_on_stays(self, page, alice):
        asset = make_asset(alice)
        make_job(alice, "running", inputs={"numbers": asset.id})
        page.post(f"/lab/files/{asset.key}/delete")
        assert "A job is working on this file." in text(page.get(f"/lab/files/{asset.key}"))
