import pytest

from app.services import accounts
from tests.factories import (
    log_in,
    make_attack,
    make_defence,
    make_match,
    make_players,
    make_round,
    make_upload,
    make_user,
)
from tests.web.pages import text


def be(client, name):
    return log_in(client, accounts.named(name))


class TestWelcome:
    def test_strangers_learn_what_this_is_and_what_is_open(self, client):
        make_round("defence")
        page = text(client.get("/"))
        for words in (
            "privacy attacks and defences",
            "Register",
            "Website fingerprinting",
            "Defence phase",
        ):
            assert words in page

    def test_it_works_without_a_round(self, client):
        assert "No round has been set up yet" in text(client.get("/"))


class TestNextSteps:
    def test_without_a_team_it_is_to_find_one(self, client):
        log_in(client, make_user("mallory"))
        assert "You have no team yet" in text(client.get("/"))

    def test_admins_go_to_their_pages(self, client):
        make_players()
        assert "You are an admin" in text(be(client, "ada").get("/"))

    @pytest.mark.parametrize(
        ("status", "words"),
        [
            (None, "Upload a defence: without one your team plays no matches."),
            ("queued", "Your defence is being checked."),
            ("rejected", "Your last defence was not accepted."),
        ],
    )
    def test_in_the_defence_phase(self, client, status, words):
        red, _, _ = make_players()
        row = make_round("defence")
        if status:
            make_upload(red, row, status=status)
        assert words in text(be(client, "alice").get("/"))

    def test_with_an_accepted_defence(self, client):
        red, _, _ = make_players()
        make_defence(red, make_round("defence"))
        assert "Your defence is accepted." in text(be(client, "alice").get("/"))

    def test_in_the_attack_phase(self, client):
        red, blue, _ = make_players()
        row = make_round("attack")
        be(client, "alice")
        assert "You have nobody to attack yet" in text(client.get("/"))
        match = make_match(row, red, blue)
        assert "Attack Blue." in text(client.get("/"))
        make_attack(match)
        assert "You have attacked everybody." in text(client.get("/"))

    @pytest.mark.parametrize("phase", ["none", "finished"])
    def test_when_nothing_is_open(self, client, phase):
        make_players()
        make_round(phase)
        assert "takes no uploads now" in text(be(client, "alice").get("/"))


class TestMatches:
    @pytest.fixture
    def settings(self, settings):
        return type("Settings", (settings,), {"MATCHES_PER_PAGE": 2})

    def test_newest_round_first_in_pages(self, client):
        red, blue, _ = make_players()
        old = make_round("finished")
        make_match(old, red, blue)
        make_match(old, blue, red)
        make_attack(make_match(make_round("attack"), red, blue))
        be(client, "alice")
        first, second = text(client.get("/index")), text(client.get("/index?page=2"))
        assert "2 Red Blue Attacked 1 Red Blue Not yet" in first
        assert "Page 1 of 2 Older" in first
        assert "1 Blue Red Not yet" in second
        assert "Newer Page 2 of 2" in second
        assert client.get("/index?page=99").status_code == 200
        assert client.get("/index?page=-1").status_code == 200
        assert client.get("/index?page=x").status_code == 200
