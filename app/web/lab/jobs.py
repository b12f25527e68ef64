"""Jobs: the list, one of them while it waits, runs and is done, and what its owner can do with it."""

from dataclasses import dataclass
from typing import Any

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from app import experiments
from app.errors import NotFound
from app.models import Job, Status
from app.parameters import Parameter, describe
from app.services import inspections, jobs
from app.web.access import me
from app.web.admin.pages import Page, wanted
from app.web.figures import drawings
from app.web.forms import Form
from app.web.lab import blueprint, card_of
from app.web.lab.reports import Grid, rows_of_figure

SIZE = 20


@dataclass(frozen=True)
class Chosen:
    """A parameter and its value in one job."""

    parameter: Parameter
    value: Any

    @property
    def is_own(self) -> bool:
        """Whether it is not the default."""
        return bool(self.value != self.parameter.default)

    @property
    def text(self) -> str:
        """The value for readers."""
        if isinstance(self.value, bool):
            return "yes" if self.value else "no"
        return f"{self.value:g}" if isinstance(self.value, float) else str(self.value) or "—"


def chosen(job: Job) -> list[Chosen]:
    """The parameters of a job, in the order of the form; none if the experiment is not offered any more."""
    card = card_of(job)
    described = describe(card.load().Parameters) if card.experiment else ()
    return [Chosen(each, job.parameters[each.name]) for each in described if each.name in job.parameters]


@blueprint.get("/jobs/", endpoint="jobs")
def everyone() -> str:
    """One's jobs, newest first, filtered by experiment and state."""
    number, slug, status = wanted(), request.args.get("experiment", ""), request.args.get("status", "")
    found, total = jobs.of(me(), number, SIZE, slug, status)
    return render_template(
        "lab/jobs.html",
        jobs=[(job, [each for each in chosen(job) if each.is_own]) for job in found],
        page=Page(number, total, SIZE),
        cards=experiments.CARDS,
        experiment=slug,
        chosen=status,
        statuses=list(Status),
    )


@blueprint.get("/jobs/<key>")
def job(key: str) -> str:
    """One job; this address stays."""
    return render_template("lab/job.html", **_view(one(key)))


@blueprint.get("/jobs/<key>/live")
def live(key: str) -> str:
    """The part of the page that changes."""
    return render_template("lab/_live.html", **_view(one(key)))


def one(key: str) -> Job:
    """One's own job, or anybody's for an admin."""
    if not (key.isascii() and key.isalnum()):
        # Not every database takes every text.
        raise NotFound("There is no such job.")
    return jobs.by_key(key, me())


def _view(row: Job) -> dict[str, Any]:
    report = row.report if row.status is Status.ACCEPTED else {}
    return {
        "job": row,
        "card": card_of(row),
        "inputs": jobs.inputs(row),
        "parameters": chosen(row),
        "position": jobs.position(row),
        "left": jobs.seconds_left(row),
        "tables_": [Grid(**table) for table in report.get("tables", ())],
        "looks": drawings(row.look) if row.status is Status.RUNNING else [],
        "drawings": drawings(report.get("figures", ())),
        "has_rows": [bool(rows_of_figure(figure)) for figure in report.get("figures", ())],
        "can_inspect": inspections.is_possible(row),
    }


@blueprint.post("/jobs/<key>/cancel")
def cancel(key: str) -> Response:
    """Stop a job, also while it runs."""
    row, form = one(key), Form()
    if form.succeeds(lambda: jobs.cancel(me(), row)):
        flash("The job has been asked to stop.", "info")
    return _back(form, url_for("lab.job", key=key))


@blueprint.post("/jobs/<key>/again")
def run_again(key: str) -> Response:
    """Run the same once more, with the same seed."""
    row, form = one(key), Form()
    if form.succeeds(lambda: jobs.run_again(me(), row)):
        flash("The same is in the queue again, with the same seed.", "success")
        return redirect(url_for("lab.job", key=form.result.key), 303)
    return _back(form, url_for("lab.job", key=key))


@blueprint.post("/jobs/<key>/delete")
def delete(key: str) -> Response:
    """Take a job off the list."""
    row, form = one(key), Form()
    if form.succeeds(lambda: jobs.delete(me(), row)):
        flash("The job has been deleted.", "success")
    return _back(form, url_for("lab.jobs"))


def _back(form: Form, address: str) -> Response:
    """To a page that shows how things stand, with what was refused."""
    for problem in form.form_errors:
        flash(problem, "danger")
    return redirect(address, 303)
