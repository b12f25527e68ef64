"""Users, teams, mails, the audit log and the exports."""

import csv
import io
import re
from datetime import UTC, datetime

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.extensions import db
from app.models import Mail, MailStatus, Team, User
from app.services import accounts, audit, exports, site, teams
from tests.factories import PASSWORD, log_in, make_team, make_user
from tests.web.admin.world import acted

Players = tuple[Team, Team, User]


def edited(**changes: str) -> dict[str, str]:
    return {"email": "alice@example.org", "sciper": "654321", "is_active": "y", **changes}


class TestUsers:
    def test_they_are_searched_by_name_address_and_sciper(self, admin: FlaskClient) -> None:
        make_user("zoe", email="somebody@example.net", sciper=999_999)
        for query in ("zo", "ZOE", "example.net", "999999"):
            page = admin.get(f"/admin/users?q={query}").text
            assert "/admin/users/zoe" in page
            assert "/admin/users/alice" not in page
        assert "Nobody matches" in admin.get("/admin/users?q=%25").text

    def test_one_is_edited(self, admin: FlaskClient) -> None:
        answer = acted(admin, "/admin/users/alice", **edited(email=" New@Example.org "))
        assert "alice has been saved" in answer
        user = accounts.named("alice")
        assert (user.email, user.sciper, user.is_admin, user.is_active) == ("new@example.org", 654_321, False, True)

    @pytest.mark.parametrize(
        ("changes", "status", "text"),
        [
            ({"email": "bob@example.org"}, 409, "Another account"),
            ({"email": "nonsense"}, 400, "Invalid email"),
            ({"sciper": "12"}, 400, "between 100000 and 999999"),
            ({"email": ""}, 400, "required"),
        ],
    )
    def test_what_cannot_be_is_shown_with_what_was_entered(
        self, admin: FlaskClient, changes: dict, status: int, text: str
    ) -> None:
        answer = admin.post("/admin/users/alice", data=edited(**changes))
        assert answer.status_code == status
        assert text in answer.text
        for value in filter(None, changes.values()):
            assert f'value="{value}"' in answer.text
        assert accounts.named("alice").email == "alice@example.org"

    def test_nobody_takes_away_their_own_rights(self, admin: FlaskClient) -> None:
        answer = admin.post("/admin/users/ada", data=edited(email="ada@example.org", sciper=""))
        assert answer.status_code == 409
        assert "your own admin rights" in answer.text
        assert accounts.named("ada").is_admin

    def test_a_deactivated_person_is_logged_out(self, app: Flask, admin: FlaskClient) -> None:
        browser = log_in(app.test_client(), accounts.named("alice"))
        admin.post("/admin/users/alice", data={"email": "alice@example.org", "sciper": ""})
        assert not accounts.named("alice").is_active
        assert browser.get("/defence/").status_code == 302

    def test_a_reset_shows_its_link_once_mails_it_and_logs_out(self, app: Flask, admin: FlaskClient) -> None:
        browser = log_in(app.test_client(), accounts.named("alice"))
        answer = admin.post("/admin/users/alice/reset")
        (link,) = re.findall(r'<code id="reset-link">([^<]+)</code>', answer.text)
        assert link not in admin.get("/admin/users/alice").text
        mail = db.session.scalar(db.select(Mail))
        assert mail is not None
        assert (mail.recipient, link in mail.text) == ("alice@example.org", True)
        assert browser.get("/defence/").status_code == 302
        accounts.reset(link.rpartition("/")[2], "a new long password")
        assert accounts.authenticate("alice", "a new long password").username == "alice"

    def test_one_is_promoted(self, admin: FlaskClient) -> None:
        make_user("mallory")
        assert "mallory is an admin now" in acted(admin, "/admin/users/mallory/promote")
        assert accounts.named("mallory").is_admin
        assert accounts.authenticate("mallory", PASSWORD)

    def test_registration_is_locked_and_opened(self, admin: FlaskClient) -> None:
        assert "Registration is locked" in acted(admin, "/admin/registration", open="no")
        assert not site.registration_open()
        admin.post("/admin/registration", data={"open": "yes"})
        assert site.registration_open()


class TestTeams:
    def test_a_person_is_moved_although_teams_are_locked(self, admin: FlaskClient, players: Players) -> None:
        admin.post("/admin/teams/lock", data={"at": "2020-01-01T00:00"})
        answer = acted(admin, "/admin/users/alice/team", **{"move-team": players[1].id})
        assert "alice is in team Blue now" in answer
        assert [user.username for user in teams.members(players[1])] == ["carol", "alice"]
        assert [each.user.username for each in teams.history(players[0])] == ["alice", "bob"]

    def test_a_person_is_taken_out(self, admin: FlaskClient, players: Players) -> None:
        bob = accounts.named("bob")
        assert "bob is not in team Red any more" in acted(admin, f"/admin/teams/1/remove/{bob.id}")
        assert teams.of(bob) is None
        assert "nothing was changed" in acted(admin, f"/admin/teams/1/remove/{bob.id}")

    def test_a_full_team_takes_nobody_and_nobody_loses_a_team(self, admin: FlaskClient, players: Players) -> None:
        answer = admin.post("/admin/users/carol/team", data={"move-team": players[0].id})
        assert answer.status_code == 409
        assert "This team is full" in answer.text
        assert 'in team <a href="/admin/teams/2">Blue</a>' in answer.text
        assert teams.of(accounts.named("carol")) == players[1]

    def test_nobody_is_moved_into_the_house_or_nowhere(self, admin: FlaskClient) -> None:
        house = make_team("House front", is_house=True)
        for target in (house.id, 99, "x"):
            assert admin.post("/admin/users/carol/team", data={"move-team": target}).status_code == 400
        assert teams.of(accounts.named("carol")).name == "Blue"  # type: ignore[union-attr]

    def test_moving_to_the_same_team_changes_nothing(self, admin: FlaskClient, players: Players) -> None:
        admin.post("/admin/users/alice/team", data={"move-team": players[0].id})
        assert len(teams.history(players[0])) == 2

    def test_one_is_renamed(self, admin: FlaskClient, players: Players) -> None:
        assert "Team Red is called Crimson now" in acted(admin, "/admin/teams/1", name="Crimson")
        for name, status in (("blue", 409), ("Blue", 409), ("<b>", 400), ("", 400)):
            answer = admin.post("/admin/teams/1", data={"name": name})
            assert answer.status_code == status, name
        assert teams.by_id(1).name == "Crimson"

    def test_they_are_listed_with_members_and_seats(self, admin: FlaskClient) -> None:
        make_user("mallory")
        page = admin.get("/admin/teams").text
        assert "2 of 2" in page
        assert "1 of 2" in page
        assert "In no team" in page
        assert "/admin/users/mallory" in page

    def test_the_lock_date_is_set_in_utc_and_cleared(self, admin: FlaskClient) -> None:
        admin.post("/admin/teams/lock", data={"at": "2099-05-04T03:02"})
        assert site.team_lock() == datetime(2099, 5, 4, 3, 2, tzinfo=UTC)
        assert 'value="2099-05-04T03:02' in admin.get("/admin/teams").text.replace(" 03:02", "T03:02")
        admin.post("/admin/teams/lock", data={"at": ""})
        assert site.team_lock() is None
        assert admin.post("/admin/teams/lock", data={"at": "soon"}).status_code == 400


class TestMails:
    @pytest.fixture
    def mail(self, app: Flask) -> Mail:
        mail = Mail(
            recipient="alice@example.org", subject="<b>Hello</b>", text="plain", html="<p>html</p><script>x()</script>",
            status=MailStatus.FAILED, tries=8, error="SMTPServerDisconnected: <gone>",
        )  # fmt: skip
        db.session.add(mail)
        db.session.commit()
        return mail

    def test_the_outbox_is_filtered_and_says_where_mails_go(self, admin: FlaskClient, mail: Mail) -> None:
        page = admin.get("/admin/mails?status=failed").text
        assert "&lt;b&gt;Hello&lt;/b&gt;" in page
        assert "SMTPServerDisconnected: &lt;gone&gt;" in page
        assert "No <code>MAIL_SERVER</code> is set" in page
        assert "Hello" not in admin.get("/admin/mails?status=sent").text

    def test_the_html_is_shown_in_a_frame_that_can_do_nothing(self, admin: FlaskClient, mail: Mail) -> None:
        page = admin.get(f"/admin/mails/{mail.id}").text
        assert re.search(r'<iframe[^>]* sandbox [^>]*src="/admin/mails/1/html"', page)
        assert "x()" not in page
        answer = admin.get(f"/admin/mails/{mail.id}/html")
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "sandbox" in policy
        assert "script-src" not in policy
        assert "frame-ancestors 'self'" in policy
        assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"

    def test_other_pages_keep_the_strict_policy(self, admin: FlaskClient, mail: Mail) -> None:
        admin.get(f"/admin/mails/{mail.id}/html")
        answer = admin.get(f"/admin/mails/{mail.id}")
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert "unsafe-inline" not in answer.headers["Content-Security-Policy"]

    def test_a_failed_one_is_tried_again(self, app: Flask, admin: FlaskClient, mail: Mail) -> None:
        admin.post(f"/admin/mails/{mail.id}/again")
        db.session.refresh(mail)
        assert (mail.status, mail.tries) == (MailStatus.QUEUED, 0)
        assert app.sent[-1].name == "mail.deliver"

    def test_all_failed_ones_are_tried_again(self, admin: FlaskClient, mail: Mail) -> None:
        assert "1 failed mails are" in acted(admin, "/admin/mails/failed")
        db.session.refresh(mail)
        assert mail.status is MailStatus.QUEUED

    def test_one_that_went_out_is_not_sent_again(self, admin: FlaskClient, mail: Mail) -> None:
        mail.status = MailStatus.SENT
        answer = admin.post(f"/admin/mails/{mail.id}/again")
        assert answer.status_code == 409
        assert "went out already" in answer.text


class TestAudit:
    def test_it_is_filtered_by_action_actor_and_subject(self, admin: FlaskClient, players: Players) -> None:
        audit.record(players[2], "team.rename", "Red")
        audit.record(None, "account.login", "alice")
        db.session.commit()
        rows = lambda query: admin.get(f"/admin/audit?{query}").text.count('<th scope="row"')  # noqa: E731
        assert rows("") == 2
        assert rows("action=team.rename") == 1
        assert rows("q=ada") == 1
        assert rows("q=ALI") == 1
        assert rows("q=%25") == 0
        assert rows("action=team.rename&q=alice") == 0

    def test_it_is_paged(self, admin: FlaskClient, players: Players) -> None:
        for number in range(60):
            audit.record(players[2], "round.note", f"entry {number}")
        db.session.commit()
        assert "entry 59" in admin.get("/admin/audit").text
        assert "entry 0" in admin.get("/admin/audit?page=2").text
        assert "page=2&amp;action=round.note" in admin.get("/admin/audit?action=round.note").text


class TestExports:
    @pytest.mark.parametrize("name", sorted(exports.TABLES))
    def test_every_table_comes_as_csv_without_secrets(self, admin: FlaskClient, name: str) -> None:
        answer = admin.get(f"/admin/exports/{name}.csv", buffered=True)
        assert answer.mimetype == "text/csv"
        assert f'filename="srs_{name}.csv"' in answer.headers["Content-Disposition"]
        header = next(csv.reader(io.StringIO(answer.text)))
        assert "id" in header
        assert not set(header) & {"password_hash", "session_key", "secret", "public", "claim"}

    def test_a_text_like_a_formula_is_not_run_by_a_spreadsheet(self, admin: FlaskClient, players: Players) -> None:
        players[0].name = "=1+1"
        rows = list(csv.reader(io.StringIO(admin.get("/admin/exports/teams.csv", buffered=True).text)))
        assert "'=1+1" in rows[1]

    def test_an_unknown_table_is_not_found(self, admin: FlaskClient) -> None:
        assert admin.get("/admin/exports/passwords.csv").status_code == 404
