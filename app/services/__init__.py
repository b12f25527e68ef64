"""Use cases: one function = one use case = one transaction. The only place that queries and commits."""

from flask import Flask


def init_app(app: Flask) -> None:
    """Bind the mailer."""
    from app.services.mails import mailer

    mailer.init_app(app)
