"""Who may open a page."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar
from urllib.parse import urlsplit

from flask import request
from flask_login import login_required

from app.errors import Forbidden
from app.models import User
from app.web.context import person

P = ParamSpec("P")
R = TypeVar("R")


def admin_required(view: Callable[P, R]) -> Callable[P, R]:
    """Only admins open this page; others are asked to log in, or told that they may not."""

    @wraps(view)
    @login_required
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        if not me().is_admin:
            raise Forbidden("Only the teaching staff may open this page.")
        return view(*args, **kwargs)

    guarded_view: Callable[P, R] = guarded
    return guarded_view


def me() -> User:
    """The person who is logged in; for views behind `login_required`."""
    user = person()
    if user is None:
        raise Forbidden("Log in first.")
    return user


def safe_next(default: str) -> str:
    r"""The `next` argument if it is a path on this site, else `default`.

    Browsers read `/\evil`, `//evil` and control characters as another host, so only a plain absolute path passes.
    """
    target = request.args.get("next", "")
    parts = urlsplit(target)
    is_path = target.startswith("/") and not target.startswith("//") and not parts.scheme and not parts.netloc
    is_plain = all(" " < letter < "\x7f" and letter != "\\" for letter in target)
    return target if is_path and is_plain else default
