"""Sessions, CSRF, rate limits and the headers of every answer."""

from flask import Flask, flash, redirect, request, url_for
from flask_login import login_url
from werkzeug.wrappers import Response

from app.extensions import csrf, limiter, login, talisman
from app.services import accounts

POLICY = {
    "default-src": "'self'",
    "img-src": ["'self'", "data:"],
    "object-src": "'none'",
    "base-uri": "'none'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}


def init_app(app: Flask) -> None:
    """Refuse to start without a secret; bind login, CSRF, limits and headers."""
    if not app.config["SECRET_KEY"]:
        raise RuntimeError("SECRET_KEY is not set: run ./run-srs.sh --setup-only, which writes one into .env.")
    login.init_app(app)
    login.login_view = "accounts.login"
    login.unauthorized_handler(_ask_to_log_in)
    login.user_loader(accounts.by_session)
    csrf.init_app(app)
    limiter.init_app(app)
    talisman.init_app(
        app,
        content_security_policy=POLICY,
        force_https=False,
        session_cookie_secure=app.config["SESSION_COOKIE_SECURE"],
        strict_transport_security=app.config["SESSION_COOKIE_SECURE"],
        frame_options="DENY",
        referrer_policy="same-origin",
    )
    app.after_request(_forbid_caching)


def _ask_to_log_in() -> Response:
    """To the login page and back; a block that refreshes itself sends the whole page there."""
    if request.headers.get("HX-Request"):
        return Response(status=204, headers={"HX-Redirect": url_for("accounts.login")})
    flash("Log in to see this page.", "info")
    return redirect(login_url("accounts.login", request.url))


def _forbid_caching(response: Response) -> Response:
    # Pages differ from person to person; only static files, which Flask marks itself, may be kept.
    response.headers.setdefault("Cache-Control", "no-store")
    return response
