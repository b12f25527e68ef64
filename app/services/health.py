"""Whether the database answers and has its tables."""

from flask import current_app
from sqlalchemy.exc import SQLAlchemyError

from app.extensions import db
from app.models import SiteSetting


def is_ready() -> bool:
    """Whether a table can be asked."""
    try:
        db.session.execute(db.select(SiteSetting.name).limit(1))
    except SQLAlchemyError:
        current_app.logger.exception("The database does not answer")
        return False
    return True
