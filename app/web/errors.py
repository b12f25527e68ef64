"""The only place that turns an exception into a page: what happened, and what to do."""

from flask import Flask, current_app, render_template, request
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException

from app.errors import InvalidParameters, Refused

PAGES = {
    400: ("That request was not understood", "Go back, reload the page and try again."),
    401: ("You are not logged in", "Log in and try again."),
    403: ("You may not do this", "If you think that you should, ask the teaching staff."),
    404: ("There is no such page", "Check the address, or start from the home page."),
    405: ("That does not work this way", "Use the buttons of the page instead of its address."),
    409: ("That is not possible now", "See the home page for what is open at the moment."),
    413: ("The file is too large", "Compress it, or leave out what is not asked for."),
    429: ("Too many tries", "Wait a little and try again."),
    500: ("Something broke on our side", "It has been logged. Try again in a minute; no upload is lost."),
    503: ("The site is not ready", "Try again in a minute."),
}


def init_app(app: Flask) -> None:
    """Register the handlers."""
    app.register_error_handler(Refused, refused)
    app.register_error_handler(InvalidParameters, invalid)
    app.register_error_handler(CSRFError, forged)
    app.register_error_handler(HTTPException, plain)
    app.register_error_handler(Exception, broken)


def page(status: int, detail: str = "") -> tuple[str, int]:
    """The error page of a status."""
    title, advice = PAGES.get(status, PAGES[400])
    words = {"status": status, "title": title, "message": detail or f"{title}.", "advice": advice}
    if status >= 500:
        # What every other page knows comes from the database, which may be what is broken.
        template = current_app.jinja_env.get_template("errors_plain.html")
        return template.render(base=request.script_root, **words), status
    return render_template("errors.html", **words), status


def refused(error: Refused) -> tuple[str, int]:
    """A use case said no, in words for the person."""
    return page(error.status, str(error))


def invalid(error: InvalidParameters) -> tuple[str, int]:
    """Settings break their bounds."""
    return page(400, str(error))


def forged(error: CSRFError) -> tuple[str, int]:
    """A form without a valid token, mostly one that was open for too long."""
    return page(400, "This form has expired, or was not sent from this site.")


def plain(error: HTTPException) -> tuple[str, int]:
    """What Werkzeug raises."""
    limit = current_app.config["MAX_CONTENT_LENGTH"] / 2**20
    detail = f"An upload may have at most {limit:g} MB." if error.code == 413 else ""
    return page(error.code or 500, detail)


def broken(error: Exception) -> tuple[str, int]:
    """Anything else is our fault: log it, say so."""
    current_app.logger.exception("%s %s broke", request.method, request.path)
    return page(500)
