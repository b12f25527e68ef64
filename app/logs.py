"""Logging: to standard error and, where a folder is configured, to a rotating file; failures to the admin by mail."""

import logging
import logging.handlers
from pathlib import Path

from flask import Flask

FORMAT = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")


def init_app(app: Flask) -> None:
    """Set the level and the handlers of the application's logger."""
    app.logger.setLevel(app.config["LOG_LEVEL"])
    if folder := app.config["LOG_FOLDER"]:
        Path(folder).mkdir(parents=True, exist_ok=True)
        _add(app, logging.handlers.RotatingFileHandler(Path(folder) / "srs.log", maxBytes=5_000_000, backupCount=5))
    if app.config["ADMIN"] and app.config["MAIL_SERVER"]:
        _add(app, _failure_mails(app))


def _add(app: Flask, handler: logging.Handler) -> None:
    handler.setFormatter(FORMAT)
    app.logger.addHandler(handler)


def _failure_mails(app: Flask) -> logging.Handler:
    config = app.config
    encrypted = config["MAIL_USE_TLS"] or config["MAIL_USE_SSL"]
    handler = logging.handlers.SMTPHandler(
        (config["MAIL_SERVER"], config["MAIL_PORT"]),
        config["MAIL_DEFAULT_SENDER"],
        [config["ADMIN"]],
        "Secret Race Strolling Failure",
        (config["MAIL_USERNAME"], config["MAIL_PASSWORD"] or "") if config["MAIL_USERNAME"] else None,
        () if encrypted else None,
        timeout=config["MAIL_TIMEOUT_SECONDS"],
    )
    handler.setLevel(logging.ERROR)
    return handler
