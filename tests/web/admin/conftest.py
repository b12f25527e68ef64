"""The admin at work: a browser that is logged in, on a site with two teams."""

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.models import Team, User
from tests.factories import log_in, make_players


@pytest.fixture
def players(app: Flask) -> tuple[Team, Team, User]:
    """Red (alice, bob), Blue (carol) and the admin."""
    return make_players()


@pytest.fixture
def admin(client: FlaskClient, players: tuple[Team, Team, User]) -> FlaskClient:
    """The admin's browser."""
    return log_in(client, players[2])
