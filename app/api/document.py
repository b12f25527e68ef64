"""The OpenAPI document, and Swagger UI and ReDoc to read it, from local files only."""

from collections.abc import Callable
from functools import partial
from threading import Lock
from typing import Any

import flask_smorest
from flask import Blueprint, Flask, Response, current_app, json, render_template, request

from app import tracks
from app.api import parameters
from app.api.blueprint import PROBLEM
from app.api.resources import RESOURCES
from app.api.schemas import ProblemSchema
from app.extensions import talisman
from app.services import rounds
from app.services.tokens import HELP

VERSION = "1.0.0"
ABOUT = """
Everything that the pages of the site do, as JSON.

**Who asks.** Programs send `Authorization: Bearer <token>`. Make a token on the page *API tokens* of the site, or with
`POST /api/tokens`; its secret is shown once. A browser that is logged in on the site may use its session instead, and
then sends the header `X-CSRFToken` with everything that changes something.

**Accounts** are registered, confirmed and given a new password under `/api/accounts` and `/api/me/password`. Whatever
takes a password or sends a link, `POST /api/tokens` among it, is counted by address together with its page, so that a
program has no more tries than a person. Nobody deletes an account or changes its name or address by themselves, on the
pages or here: the course knows people by them, and what a team did must stay. The teaching staff changes the address or
deactivates the account (`PATCH /api/admin/users/{username}`).

**What goes wrong** is always `application/problem+json` (RFC 9457), with `errors` by field where fields are wrong.

**Lists** come in pages: `page` and `page_size`, the total in `X-Pagination`, the other pages in `Link`.

**Uploads** are answered with 202 and `Location` at once and evaluated later: ask there until `is_final`. With the
header `Idempotency-Key` the same upload can be sent again after a lost answer without being counted twice.

**Unchanged answers** have an `ETag`: send it back as `If-None-Match` and get 304 without a body.

**Limits** hold per token; `X-RateLimit-Remaining` and, with 429, `Retry-After` say how many requests are left and when.
"""
REDOC_POLICY = {
    "default-src": "'self'",
    "img-src": ["'self'", "data:"],
    # ReDoc writes its styles into the page and searches in a worker; nothing but its page may do so.
    "style-src": ["'self'", "'unsafe-inline'"],
    "worker-src": ["'self'", "blob:"],
    "object-src": "'none'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}

blueprint = Blueprint("documentation", __name__)


class Api(flask_smorest.Api):
    """The document of the resources; pages and errors are this package's own."""

    ERROR_SCHEMA = ProblemSchema

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._undescribed: list[Callable[[], None]] = []
        self._lock = Lock()

    def register_blueprint(self, blp: flask_smorest.Blueprint, *, parameters: Any = None, **options: Any) -> None:
        """Bind the views; they are described when somebody first asks, since most processes never answer that."""
        name = options.get("name", blp.name)
        self._app.extensions["flask-smorest"]["blp_name_to_api"][name] = self
        self._app.register_blueprint(blp, **options)
        about = {"name": name, "parameters": parameters}
        self._undescribed.append(partial(blp.register_views_in_doc, self, self._app, self.spec, **about))

    def to_dict(self) -> dict[str, Any]:
        """The document, without what an installation adds to it."""
        with self._lock:
            for describe_views in self._undescribed:
                describe_views()
            self._undescribed.clear()
            found: dict[str, Any] = self.spec.to_dict()
        return found

    def _register_doc_blueprint(self) -> None:
        """No pages of the library, which have inline scripts."""

    def _register_error_handlers(self) -> None:
        """No handlers for the whole application, whose pages have their own."""

    def _register_responses(self) -> None:
        """The same responses as the library's, with the media type of problems."""
        usual: str = self.DEFAULT_RESPONSE_CONTENT_TYPE
        self.DEFAULT_RESPONSE_CONTENT_TYPE: str = PROBLEM
        super()._register_responses()
        self.DEFAULT_RESPONSE_CONTENT_TYPE = usual


def init_app(app: Flask, resources: flask_smorest.Blueprint) -> None:
    """Register the resources, describe them, and serve the description."""
    options = {"title": "Secret Race Strolling", "version": VERSION, "openapi_version": "3.1.0"}
    api = Api(spec_kwargs={**options, "info": {"description": ABOUT.strip()}})
    api.init_app(app)
    schemes = api.spec.components
    schemes.security_scheme("token", {"type": "http", "scheme": "bearer", "description": _scopes()})
    cookie = app.config["SESSION_COOKIE_NAME"]
    about = "The session of a logged-in browser; state changes also need the header X-CSRFToken."
    schemes.security_scheme("session", {"type": "apiKey", "in": "cookie", "name": cookie, "description": about})
    api.register_blueprint(resources)
    app.extensions["srs_api"] = api
    app.register_blueprint(blueprint)


def _scopes() -> str:
    return "\n".join(["Scopes of a token:", "", *(f"* `{scope}`: {text}" for scope, text in HELP.items())])


def describe() -> dict[str, Any]:
    """The document, with the settings of every track as this installation has them."""
    document: dict[str, Any] = current_app.extensions["srs_api"].to_dict()
    document["tags"] = list({one.tag: {"name": one.tag, "description": one.description} for one in RESOURCES}.values())
    schemas, settings = document["components"]["schemas"], []
    for card in tracks.CARDS:
        fields, rules = rounds.setting_fields(card.slug)
        name = f"{card.slug.title().replace('_', '')}Settings"
        schemas[name] = parameters.schema(fields, f"Settings of {card.title}")
        schemas["RoundRules"] = parameters.schema(rules, "Rules of a round")
        settings.append({"$ref": f"#/components/schemas/{name}"})
    for name in ("NewRound", "RoundEdit"):
        schemas[name]["properties"]["settings"] = {"anyOf": settings}
        schemas[name]["properties"]["rules"] = {"$ref": "#/components/schemas/RoundRules"}
    return document


@blueprint.get("/openapi.json")
def openapi() -> Response:
    """The document."""
    made = current_app.extensions.get("srs_openapi")
    if made is None:
        made = current_app.extensions["srs_openapi"] = json.dumps(describe())
    response = Response(made, mimetype="application/json")
    response.headers["Cache-Control"] = "no-cache"
    response.add_etag()
    response.make_conditional(request)
    return response


@blueprint.get("/docs")
def swagger() -> str:
    """Swagger UI, with which a logged-in person can try every operation."""
    return render_template("documentation/swagger.html")


def _redoc() -> str:
    """ReDoc, for reading."""
    return render_template("documentation/redoc.html")


blueprint.add_url_rule("/redoc", "redoc", talisman(content_security_policy=REDOC_POLICY)(_redoc))
