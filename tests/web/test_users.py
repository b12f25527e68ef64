from app.models import Membership
from app.services import accounts, teams
from tests.factories import log_in, make_players, make_user
from tests.web.pages import text


class TestProfiles:
    def test_ones_own_shows_everything(self, client):
        alice = log_in(client, make_user("alice", sciper=234567))
        page = text(alice.get("/user/alice"))
        assert "alice@example.org" in page
        assert "234567" in page
        assert "Change password" in page

    def test_others_show_name_and_team_only(self, client, session):
        make_players()
        log_in(client, accounts.named("carol"))
        page = text(client.get("/user/alice"))
        assert "Red" in page
        assert "alice@example.org" not in page
        assert str(accounts.named("alice").sciper) not in page

    def test_admins_see_everything(self, client, session):
        log_in(client, make_players()[2])
        assert "alice@example.org" in text(client.get("/user/alice"))

    def test_nobody_is_not_found(self, client):
        log_in(client, make_user("alice"))
        assert client.get("/user/nobody").status_code == 404

    def test_former_teams_stay_listed(self, client, session):
        make_players()
        alice = accounts.named("alice")
        teams.leave(alice)
        log_in(client, alice)
        assert "Red" in text(client.get("/user/alice"))
        assert session.query(Membership).filter_by(user_id=alice.id).count() == 1
