"""The limits of forms that guard passwords and addresses, counted together with their pages."""

from flask import current_app
from flask_limiter import RouteLimit
from flask_limiter.util import get_remote_address

from app.extensions import limiter


def as_on_page(endpoint: str, setting: str = "LOGIN_RATE_LIMIT") -> RouteLimit:
    """Count requests by address in the bucket of a page's form, so that two doors let through no more than one.

    `endpoint` is the page's; `setting` names the limit that the page has.
    """
    # The limiter counts a page's own requests under the name of its endpoint, which is the scope here. By default it
    # would forget the limit of the whole API where a view has one of its own.
    return limiter.shared_limit(
        lambda: str(current_app.config[setting]), scope=endpoint, key_func=get_remote_address, override_defaults=False
    )
