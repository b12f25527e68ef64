"""The application, its Celery, and what `flask shell` knows."""

from typing import Any

import db_scripts
from app import create_app, models
from app.extensions import db

app = create_app()
celery = app.extensions["celery"]


@app.shell_context_processor
def shell_context() -> dict[str, Any]:
    """Models and scripts by name."""
    return {"db": db, "app": app, **{name: getattr(models, name) for name in models.__all__}, **vars(db_scripts)}
