from datetime import timedelta

import pytest

from app.errors import Conflict, Forbidden, NotFound, Refused
from app.extensions import db
from app.models import ApiToken, AuditEntry, now
from app.services import accounts, tokens
from app.services.tokens import Scope
from tests.factories import PASSWORD, make_admin, make_user

BOTH = [Scope.READ, Scope.UPLOAD]


@pytest.fixture
def alice(app):
    return make_user("alice")


class TestMaking:
    def test_the_secret_is_nowhere_in_the_database(self, alice):
        token, secret = tokens.create(alice, "laptop", BOTH, 7)
        assert secret.startswith("srs_")
        assert len(secret) == 47
        kept = [str(value) for row in db.session.execute(db.select(ApiToken.__table__)) for value in row]
        assert not any(secret in value for value in kept)
        assert token.prefix == secret[:12]
        assert token.digest != secret

    def test_two_secrets_differ(self, alice):
        assert tokens.create(alice, "a", BOTH, 7)[1] != tokens.create(alice, "a", BOTH, 7)[1]

    @pytest.mark.parametrize(
        ("name", "scopes", "days"),
        [("", BOTH, 7), (" ", BOTH, 7), ("x" * 81, BOTH, 7), ("a", [], 7), ("a", BOTH, 0), ("a", BOTH, 367)],
    )
    def test_what_makes_no_sense_is_refused(self, alice, name, scopes, days):
        with pytest.raises(Refused):
            tokens.create(alice, name, scopes, days)

    def test_only_admins_make_tokens_for_admins(self, alice):
        with pytest.raises(Forbidden):
            tokens.create(alice, "a", [Scope.ADMIN], 7)
        assert tokens.create(make_admin(), "a", [Scope.ADMIN], 7)[0].scopes == ["admin"]

    def test_there_is_an_end_to_how_many_are_valid(self, alice, monkeypatch):
        monkeypatch.setattr(tokens, "MAX_TOKENS", 2)
        first, _ = tokens.create(alice, "a", BOTH, 7)
        tokens.create(alice, "b", BOTH, 7)
        with pytest.raises(Conflict):
            tokens.create(alice, "c", BOTH, 7)
        tokens.revoke(alice, first)
        tokens.create(alice, "c", BOTH, 7)


class TestUsing:
    def test_a_secret_opens_its_token(self, alice):
        token, secret = tokens.create(alice, "a", BOTH, 7)
        assert tokens.authenticate(secret) is token

    @pytest.mark.parametrize(
        "change", [lambda secret: secret[:-1], lambda secret: secret + "x", lambda _: "", str.upper]
    )
    def test_another_text_opens_nothing(self, alice, change):
        assert tokens.authenticate(change(tokens.create(alice, "a", BOTH, 7)[1])) is None

    def test_an_expired_token_opens_nothing(self, alice):
        token, secret = tokens.create(alice, "a", BOTH, 7)
        token.expires_at = now() - timedelta(seconds=1)
        assert tokens.authenticate(secret) is None

    def test_a_revoked_token_opens_nothing(self, alice):
        token, secret = tokens.create(alice, "a", BOTH, 7)
        tokens.revoke(alice, token)
        tokens.revoke(alice, token)
        assert tokens.authenticate(secret) is None
        actions = [entry.action for entry in db.session.scalars(db.select(AuditEntry))]
        assert actions.count("token.revoke") == 1

    def test_a_deactivated_person_has_no_tokens(self, alice):
        _, secret = tokens.create(alice, "a", BOTH, 7)
        accounts.edit(make_admin(), alice, alice.email, alice.sciper, is_admin=False, is_active=False)
        assert tokens.authenticate(secret) is None
        accounts.edit(accounts.named("ada"), alice, alice.email, alice.sciper, is_admin=False, is_active=True)
        assert tokens.authenticate(secret) is None

    def test_a_new_password_ends_all_tokens(self, alice):
        _, secret = tokens.create(alice, "a", BOTH, 7)
        accounts.change_password(alice, PASSWORD, "another good password")
        assert tokens.authenticate(secret) is None

    def test_an_admins_reset_ends_all_tokens(self, alice):
        _, secret = tokens.create(alice, "a", BOTH, 7)
        accounts.admin_reset(make_admin(), alice)
        assert tokens.authenticate(secret) is None

    def test_the_last_use_is_noted_to_the_minute(self, alice):
        token, secret = tokens.create(alice, "a", BOTH, 7)
        tokens.authenticate(secret)
        db.session.refresh(token)
        first = token.last_used_at
        assert first is not None
        tokens.authenticate(secret)
        db.session.refresh(token)
        assert token.last_used_at == first
        token.last_used_at = first - timedelta(minutes=2)
        tokens.authenticate(secret)
        db.session.refresh(token)
        assert token.last_used_at >= first


class TestOwning:
    def test_one_sees_and_ends_only_ones_own(self, alice):
        token, _ = tokens.create(alice, "a", BOTH, 7)
        assert tokens.of(alice) == [token]
        bob = make_user("bob")
        assert tokens.of(bob) == []
        with pytest.raises(NotFound):
            tokens.one(bob, token.id)
