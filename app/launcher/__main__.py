"""Starts the platform and keeps it running until somebody stops it."""

import argparse
import os
import secrets
import subprocess
import sys
import time
import traceback
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from dotenv import dotenv_values

from app.launcher import ROOT, Trouble
from app.launcher.options import address, parse
from app.launcher.parts import answers, broker_settings, parts, server
from app.launcher.refusals import only_one, refuse_busy_port, refuse_full_disk
from app.supervisor import Part, PartFailedError, Stopped, Supervisor, stopping_on_signals

if TYPE_CHECKING:
    from flask import Flask

SECONDS_TO_START = 90


def main(arguments: list[str] | None = None) -> int:
    """Run the platform until it is stopped; the exit status."""
    options = parse(arguments)
    sys.excepthook = _explain
    os.chdir(ROOT)
    _note_address(options)
    try:
        with stopping_on_signals():
            return _run(options)
    except Stopped:
        return 0
    except (Trouble, PartFailedError) as error:
        print(f"\n{error}", file=sys.stderr)  # noqa: T201
    return 1


def _note_address(options: argparse.Namespace) -> None:
    """Links in mails lead to this address unless PUBLIC_URL says otherwise; set before the settings are read."""
    known = {**dotenv_values(ROOT / ".flaskenv"), **dotenv_values(ROOT / ".env"), **os.environ}
    if not known.get("PUBLIC_URL"):
        os.environ["PUBLIC_URL"] = address(options)


def _run(options: argparse.Namespace) -> int:
    import config

    config.INSTANCE.mkdir(parents=True, exist_ok=True, mode=0o700)
    with only_one(config.INSTANCE):
        refuse_full_disk(config.INSTANCE)
        refuse_busy_port(options)
        _say("Preparing the database")
        app = _application()
        _migrate(app)
        supervisor = Supervisor(config.INSTANCE / "logs")
        try:
            _start(supervisor, options, app)
            return _watch(supervisor)
        except Stopped:
            _say("\nStopping; evaluations that are under way will be taken up again at the next start")
            return 0
        finally:
            supervisor.stop()
            _say("Stopped")


def _application() -> "Flask":
    from app import create_app

    return create_app()


def _migrate(app: "Flask") -> None:
    from flask_migrate import upgrade
    from sqlalchemy.exc import OperationalError

    try:
        with app.app_context():
            upgrade(str(ROOT / "migrations"))
    except OperationalError as error:
        raise Trouble(
            f"The database does not answer as it should: {error.orig}\nCheck DATABASE_URL in .env; after a migration "
            "that was interrupted, restore the database from a backup."
        ) from None


def _start(supervisor: Supervisor, options: argparse.Namespace, app: "Flask") -> None:
    _start_broker(supervisor)
    _say("Starting the workers and the web server")
    for part in parts(options):
        supervisor.start(part)
    site = address(options)
    supervisor.wait_until(lambda: _is_healthy(site), SECONDS_TO_START, "The web server")
    _greet(site, app)
    if options.demo:
        _play_demo(supervisor)


def _start_broker(supervisor: Supervisor) -> None:
    import config

    if config.text("CELERY_BROKER_URL"):
        _say("Using the broker of CELERY_BROKER_URL")
        return
    place = config.broker_socket()
    supervisor.start(Part("broker", [server(), str(broker_settings(place, config.text("BROKER_PASSWORD")))]))
    supervisor.wait_until(lambda: answers(place), 20, "The broker")


def _is_healthy(site: str) -> bool:
    try:
        with urllib.request.urlopen(f"{site}/healthz", timeout=5) as answer:  # noqa: S310 (our own address)
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _greet(site: str, app: "Flask") -> None:
    password = _first_admin(app)
    _say(f"\nSecret Race Strolling runs at {app.config['PUBLIC_URL']}")
    if app.config["PUBLIC_URL"] != site:
        _say(f"(on this machine: {site})")
    if password:
        _say(f'First admin: user "admin", password "{password}". It is shown only now: write it down.')
    _say("Press Ctrl-C to stop.\n")


def _first_admin(app: "Flask") -> str | None:
    """Make an admin with a random password if there is none; the password."""
    from app.services import accounts

    with app.app_context():
        if accounts.any_admin():
            return None
        password = secrets.token_urlsafe(12)
        accounts.create_admin("admin", app.config["ADMIN"] or "admin@localhost.localdomain", password)
        return password


def _play_demo(supervisor: Supervisor) -> None:
    """Play the demonstration round in a process of its own, watching the parts meanwhile."""
    demo = subprocess.Popen([sys.executable, "-m", "flask", "--app", "srs", "demo"], start_new_session=True)
    try:
        while demo.poll() is None:
            supervisor.check()
            time.sleep(0.2)
    finally:
        demo.kill()
        demo.wait()


def _watch(supervisor: Supervisor) -> int:
    while True:
        supervisor.check()
        time.sleep(0.5)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


def _explain(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Say in one line what nobody had expected to break, and keep the traceback for whoever wants to report it."""
    log = Path(os.environ.get("SRS_INSTANCE") or ROOT / "instance") / "logs" / "start.log"
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("".join(traceback.format_exception(kind, error, trace)))
        where = f"The details are in {log}."
    except OSError as second:
        where = f"The details could not be written: {second}."
    print(f"\nThe platform cannot run: {kind.__name__}: {error}\n{where}", file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
