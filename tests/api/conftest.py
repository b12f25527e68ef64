"""Tokens and shorthands for the tests of the API."""

import io
from collections.abc import Callable

import pytest

from app.models import User
from app.services import tokens
from app.services.tokens import Scope
from tests.factories import make_players, make_round, make_team, make_user

Bearer = Callable[..., dict[str, str]]


@pytest.fixture
def bearer(app) -> Bearer:
    """The header of a new token of a person; all scopes that they may have unless some are named."""

    def make(user: User, *scopes: Scope, days: int = 1) -> dict[str, str]:
        usual = list(Scope) if user.is_admin else [Scope.READ, Scope.UPLOAD]
        return {"Authorization": f"Bearer {tokens.create(user, 'test', scopes or usual, days)[1]}"}

    return make


@pytest.fixture
def players(app):
    """Red, Blue, the admin, and Mallory in no team."""
    red, blue, ada = make_players()
    return red, blue, ada, make_user("mallory")


@pytest.fixture
def third_team(players):
    return make_team("Green", make_user("dave"))


@pytest.fixture
def defence_round(players):
    return make_round("defence")


@pytest.fixture
def attack_round(players):
    return make_round("attack")


def sent_file(content: bytes = b"a file", name: str = "defence.csv.zip") -> dict[str, object]:
    """A form with a file."""
    return {"file": (io.BytesIO(content), name)}
