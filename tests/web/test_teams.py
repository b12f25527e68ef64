from datetime import timedelta

import pytest

from app.models import Status, now
from app.services import accounts, defences, site, teams
from tests.factories import (
    log_in,
    make_admin,
    make_attack,
    make_defence,
    make_match,
    make_players,
    make_reference_result,
    make_round,
    make_team,
    make_upload,
    make_user,
)
from tests.web.pages import text

HEATMAP = {
    "kind": "heatmap",
    "title": "Confusion of cells",
    "x": "Cell in the answer",
    "y": "True cell",
    "arrays": {"values": [[0.9, 0.1], [0.2, 0.8]], "rows": ["1", "2"], "columns": ["1", "2"]},
    "note": "",
}


def be(client, name):
    return log_in(client, accounts.named(name))


@pytest.fixture
def played():
    """Red has defended and was attacked by Blue; the house has attacked it."""
    red, blue, _ = make_players()
    row = make_round("both")
    defence = make_defence(red, row, 0.812)
    make_reference_result(defence, "random-forest", 0.731, figures=[HEATMAP])
    make_reference_result(defence, "blind", 0.0, figures=[])
    make_attack(make_match(row, blue, red), 0.4321)
    make_attack(make_match(row, red, blue), 0.2468)
    return row


class TestTeamPage:
    def test_the_team_sees_what_it_did(self, client, played):
        page = text(be(client, "alice").get("/team/Red"))
        for words in ("alice (captain)", "bob", "Team id 1", "0.812", "Random forest on packet sizes", "Confusion of"):
            assert words in page
        assert "0.731" in page
        assert "0.247" in page

    def test_attacks_on_it_are_aggregates_without_names(self, client, played):
        page = text(be(client, "alice").get("/team/Red"))
        assert "Teams that attacked it 1 of 1" in page
        assert "Best attack of a team 0.432" in page

    def test_other_teams_see_members_and_the_board_only(self, client, played):
        page = text(be(client, "carol").get("/team/Red"))
        assert "alice (captain)" in page
        assert "0.812" in page
        for words in ("Uploads", "house", "Random forest", "defence.zip", "0.247", "Invite", "Leave"):
            assert words not in page.split("Secret Race Strolling: a competition")[0].split("Red", 1)[1]

    def test_admins_see_everything_but_cannot_invite(self, client, played):
        page = text(be(client, "ada").get("/team/Red"))
        assert "Random forest" in page
        assert "Invite somebody" not in page

    @pytest.mark.parametrize("name", ["mallory", "carol"])
    @pytest.mark.parametrize("path", ["uploads", "house", "house/random-forest", "house/random-forest/0.png"])
    def test_nobody_else_opens_its_parts(self, client, played, name, path):
        make_user("mallory")
        assert be(client, name).get(f"/team/Red/{path}").status_code == 403

    def test_names_with_odd_characters_have_a_page(self, client):
        make_team("O'Brien + Co.", make_user("alice"))
        assert be(client, "alice").get("/team/O'Brien%20+%20Co.").status_code == 200

    def test_the_page_works_without_a_round(self, client):
        make_players()
        assert "No round yet" in text(be(client, "alice").get("/team/Red"))

    def test_earlier_rounds_stay_open_to_view(self, client, played):
        make_round()
        page = text(be(client, "alice").get("/team/Red?round=1"))
        assert "0.812" in page
        assert be(client, "alice").get("/team/Red?round=9").status_code == 404

    def test_a_team_of_the_house_has_a_page(self, client, played):
        make_team("House front", is_house=True)
        assert "published defences" in text(be(client, "alice").get("/team/House%20front"))

    def test_results_are_rounded_when_the_round_wants_it(self, client):
        red, blue, _ = make_players()
        row = make_round("both", rules={"feedback_step": 0.25})
        make_attack(make_match(row, red, blue), 0.2468)
        page = text(be(client, "alice").get("/team/Red"))
        assert "0.250" in page
        assert "0.247" not in page

    def test_strangers_log_in_first(self, client, played):
        assert client.get("/team/Red").status_code == 302


class TestLiveParts:
    def test_uploads_poll_until_all_are_final(self, client, session):
        red, _, _ = make_players()
        row = make_round("both")
        upload = make_upload(red, row, status="queued")
        be(client, "alice")
        part = client.get("/team/Red/uploads").get_data(as_text=True)
        assert 'hx-trigger="every 2s"' in part
        assert "number 1 in the queue" in part
        upload.status = "rejected"
        upload.reasons = [{"rule": "x", "where": "", "fix": "", "count": 1}]
        part = client.get("/team/Red/uploads").get_data(as_text=True)
        assert "hx-trigger" not in part
        assert "1 reason" in part

    def test_the_house_polls_until_every_adversary_is_done(self, client, played):
        defence = defences.counted(teams.named("Red"), played)
        result = make_reference_result(defence, "cumul", None, "running", progress=0.4)
        be(client, "alice")
        part = client.get("/team/Red/house").get_data(as_text=True)
        assert "every 2s" in part
        assert "40 %" in part
        assert "follow when all are done" in part
        result.status = Status.FAILED
        assert "every 2s" not in client.get("/team/Red/house").get_data(as_text=True)


class TestAdversaryPage:
    def test_it_shows_figures_and_parameters(self, client, played):
        page = text(be(client, "alice").get("/team/Red/house/random-forest"))
        for words in ("Breiman, 2001.", "Confusion of cells", "trees = 260", "Accuracy"):
            assert words in page

    def test_the_heatmap_is_a_png(self, client, played):
        response = be(client, "alice").get("/team/Red/house/random-forest/0.png")
        assert response.mimetype == "image/png"
        assert response.data.startswith(b"\x89PNG")

    @pytest.mark.parametrize("path", ["random-forest/1.png", "nobody", "nobody/0.png"])
    def test_what_is_not_there_is_not_found(self, client, played, path):
        assert be(client, "alice").get(f"/team/Red/house/{path}").status_code == 404


class TestJoining:
    def test_a_person_without_a_team_founds_one(self, client):
        log_in(client, make_user("mallory"))
        response = client.post("/team/new", data={"name": " Night  Owls "})
        assert (response.status_code, response.location) == (303, "/team/Night%20Owls")
        assert teams.named("Night Owls")

    @pytest.mark.parametrize(
        ("name", "status"), [("Red", 409), ("red", 409), ("new", 400), ("Join", 400), ("<b>", 400), ("", 400)]
    )
    def test_bad_names_are_refused_on_the_page(self, client, name, status):
        make_players()
        log_in(client, make_user("mallory"))
        response = client.post("/team/new", data={"name": name})
        assert response.status_code == status
        assert "Found the team" in text(response)

    def test_open_teams_are_joined_by_a_button(self, client):
        _, blue, _ = make_players()
        mallory = make_user("mallory")
        log_in(client, mallory)
        assert "Blue ( carol )" in text(client.get("/team/new")) or "Blue (carol)" in text(client.get("/team/new"))
        assert client.get("/team/Blue/join").status_code == 405
        assert client.post("/team/Blue/join").status_code == 303
        assert teams.of(mallory).id == blue.id

    def test_full_and_closed_teams_say_no(self, client, session):
        _, blue, _ = make_players()
        log_in(client, make_user("mallory"))
        assert "This team is full." in text(client.post("/team/Red/join"))
        blue.is_open = False
        response = client.post("/team/Blue/join")
        assert response.status_code == 403
        assert "by invitation only" in text(response)

    def test_admins_join_nothing(self, client):
        make_players()
        assert be(client, "ada").post("/team/Blue/join").status_code == 403

    def test_an_invitation_is_looked_at_and_then_accepted(self, client, session):
        _, blue, _ = make_players()
        mallory = make_user("mallory")
        token = teams.invitation(accounts.named("carol"))
        blue.is_open = False
        stranger = text(client.get(f"/team/join/{token}"))
        assert "Register and join" in stranger
        log_in(client, mallory)
        client.get(f"/team/join/{token}")
        assert teams.of(mallory) is None
        assert client.post(f"/team/join/{token}").status_code == 303
        assert teams.of(mallory).id == blue.id

    def test_an_invitation_dies_with_the_seat_of_its_sender(self, client, session):
        make_players()
        carol = accounts.named("carol")
        token = teams.invitation(carol)
        teams.leave(carol)
        response = client.get(f"/team/join/{token}")
        assert response.status_code == 400
        assert "not valid any more" in text(response)

    def test_leaving_and_closing_are_for_members(self, client):
        make_players()
        be(client, "carol")
        assert client.post("/team/Red/leave").status_code == 403
        assert client.post("/team/Red/open", data={"is_open": "0"}).status_code == 403
        assert client.post("/team/Blue/open", data={"is_open": "0"}).status_code == 303
        assert not teams.named("Blue").is_open
        assert client.post("/team/Blue/leave").status_code == 303
        assert teams.of(accounts.named("carol")) is None

    def test_only_the_captain_opens_and_invites(self, client):
        make_players()
        be(client, "bob")
        assert "Invite somebody" not in text(client.get("/team/Red"))
        assert client.post("/team/Red/open", data={"is_open": "0"}).status_code == 403

    def test_after_the_lock_date_nobody_moves(self, client):
        make_players()
        site.set_team_lock(make_admin("eve"), now() - timedelta(days=1))
        be(client, "carol")
        assert client.post("/team/Blue/leave").status_code == 403
        log_in(client, make_user("mallory"))
        assert client.post("/team/Blue/join").status_code == 403
        assert client.post("/team/new", data={"name": "Owls"}).status_code == 403
        assert "Teams are fixed now" in text(client.get("/team/new"))
