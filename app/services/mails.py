"""The outbox: mails are rows first, sent by a worker, retried, and shown to admins when they fail."""

import smtplib
import ssl
from collections.abc import Iterable
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from flask import current_app, render_template
from flask_mail import BadHeaderError, Connection, Message
from flask_mail import Mail as Mailer
from sqlalchemy import update

from app.errors import Conflict, NotFound
from app.extensions import db
from app.models import Mail, MailStatus, User, now
from app.services import audit, queue

MAX_TRIES = 8


class VerifiedConnection(Connection):
    """A connection that checks the server's certificate and gives up in time."""

    def configure_host(self) -> smtplib.SMTP:
        """Connect, encrypt as configured, log in."""
        config = current_app.config
        context = ssl.create_default_context(cafile=config["MAIL_CA_FILE"] or None)
        timeout = config["MAIL_TIMEOUT_SECONDS"]
        host: smtplib.SMTP
        if self.mail.use_ssl:
            host = smtplib.SMTP_SSL(self.mail.server, self.mail.port, timeout=timeout, context=context)
        else:
            host = smtplib.SMTP(self.mail.server, self.mail.port, timeout=timeout)
        try:
            if self.mail.use_tls:
                host.starttls(context=context)
            if self.mail.username and self.mail.password:
                host.login(self.mail.username, self.mail.password)
        except (OSError, smtplib.SMTPException):
            host.close()
            raise
        return host


class VerifiedMailer(Mailer):
    """Flask-Mail with verified connections."""

    def connect(self) -> Connection:
        """A connection for one batch of mails."""
        return VerifiedConnection(current_app.extensions["mail"])


mailer = VerifiedMailer()


def post(user: User, template: str, subject: str, **context: Any) -> None:
    """Put a mail, `templates/mail/<template>.txt` and `.html`, into the outbox within the open transaction."""
    with current_app.test_request_context(base_url=current_app.config["PUBLIC_URL"]):
        context = {"user": user, "subject": subject, "public_url": current_app.config["PUBLIC_URL"], **context}
        text = render_template(f"mail/{template}.txt", **context)
        html = render_template(f"mail/{template}.html", **context)
    # A subject is one line, whatever a name in it holds.
    db.session.add(Mail(recipient=user.email, subject=" ".join(subject.split())[:255], text=text, html=html))


def post_all(users: Iterable[User], template: str, subject: str, **context: Any) -> None:
    """The same mail to several people, one row each."""
    for user in users:
        post(user, template, subject, **context)


def deliver_soon() -> None:
    """Ask a worker to empty the outbox; call it after the commit."""
    queue.enqueue("mail.deliver", queue=queue.MAIL)


def deliver() -> int:
    """Send what is due, each mail in a transaction of its own; the number that went out."""
    due = db.session.scalars(
        db.select(Mail.id)
        .where(Mail.status == MailStatus.QUEUED, Mail.next_try_at <= now())
        .order_by(Mail.id)
        .limit(500)
    ).all()
    return sum(_deliver_one(identity) for identity in due)


def _deliver_one(identity: int) -> bool:
    # Whoever moves the next try into the future first sends it: a mail goes out once even with two workers.
    claimed = db.session.execute(
        update(Mail)
        .where(Mail.id == identity, Mail.status == MailStatus.QUEUED, Mail.next_try_at <= now())
        .values(tries=Mail.tries + 1, next_try_at=now() + timedelta(minutes=5))
    )
    db.session.commit()
    if not claimed.rowcount:  # type: ignore[attr-defined]
        return False
    mail = db.session.get_one(Mail, identity, populate_existing=True)
    try:
        mail.status = _send(mail)
        mail.sent_at, mail.error = now(), ""
    except (OSError, smtplib.SMTPException, BadHeaderError, ValueError) as error:
        # The last two are addresses that would break out of their header: such a mail must not hold up the others.
        mail.error = f"{type(error).__name__}: {error}"
        mail.next_try_at = now() + timedelta(seconds=min(6 * 3600, 15 * 4**mail.tries))
        if mail.tries >= MAX_TRIES:
            mail.status = MailStatus.FAILED
        # A failure mail about failing mails would run in a circle, so this is a warning.
        current_app.logger.warning("Mail %s to %s: %s", mail.id, mail.recipient, mail.error)
    db.session.commit()
    return mail.status != MailStatus.QUEUED


def _send(mail: Mail) -> MailStatus:
    if not current_app.config["MAIL_SERVER"]:
        _write(mail)
        return MailStatus.WRITTEN
    message = Message(mail.subject, recipients=[mail.recipient], body=mail.text, html=mail.html)
    message.msgId = f"<srs-{mail.id}@{current_app.config['MAIL_DEFAULT_SENDER'].rpartition('@')[2]}>"
    mailer.send(message)
    return MailStatus.SENT


def _write(mail: Mail) -> None:
    message = EmailMessage()
    message["From"] = current_app.config["MAIL_DEFAULT_SENDER"]
    message["To"], message["Subject"] = mail.recipient, mail.subject
    message.set_content(mail.text)
    message.add_alternative(mail.html, subtype="html")
    folder = Path(current_app.config["MAIL_FOLDER"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{mail.id:06d}.eml").write_bytes(bytes(message))


def outbox(page: int, size: int = 50, status: str = "") -> tuple[list[Mail], int]:
    """One page of the outbox, newest first, and the number of mails in total."""
    query = db.select(Mail).order_by(Mail.id.desc())
    if status in set(MailStatus):
        query = query.where(Mail.status == MailStatus(status))
    total = db.session.scalar(db.select(db.func.count()).select_from(query.order_by(None).subquery())) or 0
    return list(db.session.scalars(query.limit(size).offset((page - 1) * size))), total


def one(identity: int) -> Mail:
    """A mail by its id."""
    mail = db.session.get(Mail, identity)
    if mail is None:
        raise NotFound("There is no such mail.")
    return mail


def try_again(admin: User, mail: Mail) -> None:
    """Put a failed mail back into the queue."""
    if mail.status not in {MailStatus.FAILED, MailStatus.QUEUED}:
        raise Conflict("This mail went out already.")
    mail.status, mail.tries, mail.next_try_at = MailStatus.QUEUED, 0, now()
    audit.record(admin, "mail.retry", str(mail.id))
    db.session.commit()
    deliver_soon()


def try_all_again(admin: User) -> int:
    """Put every failed mail back into the queue; how many there were."""
    failed = db.session.scalars(db.select(Mail).where(Mail.status == MailStatus.FAILED)).all()
    for mail in failed:
        mail.status, mail.tries, mail.next_try_at = MailStatus.QUEUED, 0, now()
    audit.record(admin, "mail.retry_all", mails=len(failed))
    db.session.commit()
    deliver_soon()
    return len(failed)
