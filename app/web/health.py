"""Whether the site can serve."""

from flask import Flask

from app.services import health


def init_app(app: Flask) -> None:
    """Add `/healthz`, which asks the database and touches no session."""

    @app.get("/healthz")
    def healthz() -> tuple[dict[str, str], int]:
        return ({"status": "ok"}, 200) if health.is_ready() else ({"status": "the database does not answer"}, 503)
