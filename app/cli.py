"""Commands for the terminal: `flask --app srs <command>`."""

import click
from flask import Flask

from app.errors import SRSError


def init_app(app: Flask) -> None:
    """Register the commands."""
    for command in (create_admin, demo, sweep):
        app.cli.add_command(command)


@click.command("create-admin")
@click.option("--username", prompt=True, help="what the admin logs in with")
@click.option("--email", prompt=True, help="where mails to the admin go")
@click.option("--password", prompt=True, hide_input=True, confirmation_prompt=True, help="asked for when left out")
def create_admin(username: str, email: str, password: str) -> None:
    """Make an admin."""
    from app.services import accounts

    try:
        user = accounts.create_admin(username, email, password)
    except SRSError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{user.username} is an admin now.")


@click.command("demo")
def demo() -> None:
    """Fill an empty site with five teams and a played round; needs running workers."""
    import db_scripts

    try:
        db_scripts.demo()
    except (SRSError, db_scripts.DemoError) as error:
        raise click.ClickException(str(error)) from error


@click.command("sweep")
def sweep() -> None:
    """Queue again what was lost, announce phases and send mails, as the periodic sweep does."""
    from app.services import sweeping

    counts = sweeping.sweep()
    click.echo(", ".join(f"{name}: {count}" for name, count in counts.items()))
