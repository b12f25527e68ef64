"""Pages, one file per noun. A view parses a form, calls one service and shows a template."""

from flask import Flask

PRODUCT = "Secret Race Strolling"


def init_app(app: Flask) -> None:
    """Bind the extensions that requests need, the blueprints, the error pages and what every template knows."""
    from app.web import context, errors, health, security

    security.init_app(app)
    context.init_app(app)
    errors.init_app(app)
    health.init_app(app)
    for blueprint in _blueprints():
        app.register_blueprint(blueprint)


def _blueprints() -> list:
    from app.web import accounts, admin, attacks, defences, home, leaderboard, rules, teams, tokens, uploads, users

    modules = [home, accounts, users, tokens, teams, uploads, defences, attacks, leaderboard, rules, admin]
    return [module.blueprint for module in modules]
