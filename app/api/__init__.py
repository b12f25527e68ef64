"""The same nouns as JSON, one file per noun, under `/api/`; the document that describes them and its two readers.

A view checks its arguments by a schema, calls one service and shows the answer by a schema.
"""

from flask import Flask


def init_app(app: Flask) -> None:
    """Bind the resources, their errors and the document."""
    from app.api import blueprint, document, errors, resources

    app.url_map.converters["id"] = blueprint.Identity
    errors.init_app(app)
    document.init_app(app, resources.api())
