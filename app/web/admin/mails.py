"""The outbox: what went out, what did not and why."""

from flask import Response as Answer
from flask import current_app, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from app.extensions import talisman
from app.models import MailStatus
from app.services import mails
from app.web.access import me
from app.web.admin import blueprint
from app.web.admin.pages import Page, wanted

# A mail is laid out by style attributes, as mail programs want it, and does nothing else.
POLICY = {
    "default-src": "'none'",
    "style-src": "'unsafe-inline'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'self'",
    "sandbox": "",
}


@blueprint.get("/admin/mails", endpoint="mails")
def outbox() -> str:
    """All mails, newest first, filtered by status."""
    status, number = request.args.get("status", ""), wanted()
    found, total = mails.outbox(number, status=status)
    return render_template(
        "admin/mails.html",
        mails=found,
        page=Page(number, total),
        chosen=status,
        statuses=list(MailStatus),
        server=current_app.config["MAIL_SERVER"],
        folder=current_app.config["MAIL_FOLDER"],
    )


@blueprint.get("/admin/mails/<int:identity>", endpoint="mail")
def one(identity: int) -> str:
    """One mail."""
    return render_template("admin/mail.html", mail=mails.one(identity), max_tries=mails.MAX_TRIES)


@blueprint.get("/admin/mails/<int:identity>/html")
@talisman(content_security_policy=POLICY, frame_options="SAMEORIGIN")
def mail_html(identity: int) -> Answer:
    """The page inside of a mail, for the frame on the mail's page."""
    return Answer(mails.one(identity).html, mimetype="text/html")


@blueprint.post("/admin/mails/<int:identity>/again")
def retry_mail(identity: int) -> Response:
    """Try to send a mail again."""
    mails.try_again(me(), mails.one(identity))
    flash(f"Mail {identity} is in the queue again.", "success")
    return redirect(url_for("admin.mail", identity=identity), 303)


@blueprint.post("/admin/mails/failed")
def retry_failed_mails() -> Response:
    """Try to send every failed mail again."""
    count = mails.try_all_again(me())
    flash(f"{count} failed mails are in the queue again.", "success")
    return redirect(url_for("admin.mails"), 303)
