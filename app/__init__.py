"""Secret Race Strolling: a platform on which privacy is learnt by attacking and defending."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask


def create_app(config: object | None = None) -> "Flask":
    """The application: a table of contents."""
    from flask import Flask
    from werkzeug.middleware.proxy_fix import ProxyFix

    import config as settings
    from app import api, cli, database, logs, services, tasks, web

    app = Flask(__name__, instance_path=str(settings.INSTANCE))
    app.config.from_object(config or settings.Config)
    logs.init_app(app)
    database.init_app(app)
    services.init_app(app)
    tasks.init_app(app)
    web.init_app(app)
    api.init_app(app)
    cli.init_app(app)
    if hops := app.config["PROXIES"]:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    return app
