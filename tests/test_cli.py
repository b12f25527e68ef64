"""The commands for the terminal."""

from app.services import accounts
from tests.factories import make_admin, make_round, make_team, make_user


def invoke(app, *arguments, **options):
    return app.test_cli_runner().invoke(args=arguments, **options)


ADA = ("--username", "ada", "--email", "ada@example.org", "--password", "long enough 1")


class TestCreateAdmin:
    def test_it_makes_an_admin_who_can_log_in(self, app):
        result = invoke(app, "create-admin", *ADA)
        assert result.exit_code == 0, result.output
        assert accounts.authenticate("ada", "long enough 1").is_admin

    def test_it_asks_for_what_is_left_out(self, app):
        result = invoke(app, "create-admin", input="ada\nada@example.org\nlong enough 1\nlong enough 1\n")
        assert result.exit_code == 0, result.output
        assert "long enough 1" not in result.output

    def test_a_refusal_is_a_sentence(self, app):
        make_admin("ada")
        result = invoke(app, "create-admin", *ADA)
        assert result.exit_code == 1
        assert "This username is already registered." in result.output


class TestSweep:
    def test_it_tells_what_it_found(self, app):
        result = invoke(app, "sweep")
        assert result.exit_code == 0, result.output
        assert "uploads: 0" in result.output


class TestDemo:
    def test_a_site_in_use_is_left_alone(self, app):
        make_team("Red", make_user("alice"))
        make_round()
        result = invoke(app, "demo")
        assert result.exit_code == 1
        assert "needs an empty one" in result.output
