"""Pages, one file per noun. A view parses a form, calls one service and shows a template."""

from flask import Flask
from werkzeug.routing import IntegerConverter, Map

PRODUCT = "Secret Race Strolling"


class Identity(IntegerConverter):
    """A whole number in an address, no larger than the ids of any database."""

    def __init__(self, map: Map, fixed_digits: int = 0, max: int = 2**63 - 1) -> None:  # noqa: A002 (Werkzeug's names)
        """Numbers from 0 to `max`."""
        super().__init__(map, fixed_digits, 0, max)


def init_app(app: Flask) -> None:
    """Bind the extensions that requests need, the blueprints, the error pages and what every template knows."""
    from app.web import context, errors, health, security

    app.url_map.converters["int"] = Identity
    security.init_app(app)
    context.init_app(app)
    errors.init_app(app)
    health.init_app(app)
    for blueprint in _blueprints():
        app.register_blueprint(blueprint)


def _blueprints() -> list:
    from app.web import accounts, admin, attacks, defences, home, lab, leaderboard, rules, teams, tokens, uploads, users

    modules = [home, accounts, users, tokens, teams, uploads, defences, attacks, leaderboard, rules, lab, admin]
    return [module.blueprint for module in modules]
