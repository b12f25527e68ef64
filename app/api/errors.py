"""The only place that turns an exception into a problem (RFC 9457): one shape for everything that can go wrong."""

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Flask, Response, current_app, json, request
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect

from app.api.blueprint import PROBLEM, tag_answer
from app.errors import InvalidParameters, Refused

INVALID = "urn:srs:problem:invalid"
"""The type of problem whose `errors` name the fields; every other problem is its HTTP status."""
DETAILS = {
    400: "The request was not understood; see errors.",
    404: "There is nothing at this address.",
    405: "This address does not know this method; see the header Allow.",
    422: "Some values are not right; see errors.",
    500: "Something broke on our side. It has been logged; try again in a minute.",
}


def init_app(app: Flask) -> None:
    """Addresses under /api/ that no resource has are answered in the same shape."""
    app.before_request(_unrouted)


def bind(blueprint: Blueprint) -> None:
    """Register the handlers on the blueprint of all resources."""
    blueprint.register_error_handler(Refused, refused)
    blueprint.register_error_handler(InvalidParameters, invalid)
    blueprint.register_error_handler(CSRFError, forged)
    blueprint.register_error_handler(HTTPException, plain)
    blueprint.register_error_handler(Exception, broken)


def problem(
    status: int, detail: str = "", errors: Mapping[str, list[str]] | None = None, kind: str = "about:blank"
) -> Response:
    """An answer that says what went wrong, in words for a person and in fields for a program."""
    body: dict[str, Any] = {"type": kind, "title": HTTPStatus(status).phrase, "status": status}
    body |= {"detail": detail or DETAILS.get(status, ""), "instance": request.path}
    if errors:
        body["errors"] = errors
    return Response(json.dumps(body), status, mimetype=PROBLEM)


def refused(error: Refused) -> Response:
    """A use case said no."""
    return problem(error.status, str(error))


def invalid(error: InvalidParameters) -> Response:
    """Settings or parameters break their bounds."""
    errors = {name: [text] for name, text in error.problems.items()}
    return problem(422, DETAILS[422], errors, INVALID)


def forged(error: CSRFError) -> Response:
    """A browser's request without the token of its session."""
    return problem(400, "Requests of a logged-in browser need the header X-CSRFToken. Programs use a bearer token.")


def plain(error: HTTPException) -> Response:
    """What Werkzeug, the limiter and the argument parser raise."""
    status = error.code or 500
    messages = getattr(error, "data", {}).get("messages")
    if messages:
        response = problem(status, DETAILS.get(status, ""), dict(_flat(messages)), INVALID)
    else:
        response = problem(status, _detail(error, status))
    for name, value in error.get_headers():
        if name.lower() not in {"content-type", "content-length"}:
            response.headers[name] = value
    return response


def _detail(error: HTTPException, status: int) -> str:
    if status == 413:
        return f"An upload may have at most {current_app.config['MAX_CONTENT_LENGTH'] / 2**20:g} MB."
    if status == 429:
        return f"Too many requests: at most {error.description}. See the header Retry-After."
    is_own = error.description != type(error).description
    return str(error.description) if is_own else DETAILS.get(status, str(error.description or ""))


def _flat(messages: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, list[str]]]:
    """Nested messages by dotted path; the outermost level, where the value was found, is left out."""
    if isinstance(messages, Mapping):
        for name, inner in messages.items():
            yield from _flat(inner, (*path, str(name)))
        return
    named = [part for part in path[1:] if part != "_schema"] or ["body"]
    yield ".".join(named), [str(text) for text in (messages if isinstance(messages, list) else [messages])]


def broken(error: Exception) -> Response:
    """Anything else is our fault: log it, say so."""
    current_app.logger.exception("%s %s broke", request.method, request.path)
    return problem(500)


def _unrouted() -> Response | None:
    error = request.routing_exception
    is_ours = request.path == "/api" or request.path.startswith("/api/")
    if error is None or isinstance(error, RequestRedirect) or not is_ours:
        return None
    return tag_answer(plain(error))
