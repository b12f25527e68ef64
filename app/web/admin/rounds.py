"""Rounds: the list, a new one, and the settings of one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response
from wtforms import IntegerField, SelectField, StringField
from wtforms.validators import Length, NumberRange, Optional

from app import tracks
from app.errors import InvalidParameters
from app.models import Asset, Round
from app.services import datasets, rounds
from app.web.access import me
from app.web.admin import blueprint
from app.web.forms import Form, parameters


class RoundForm(Form):
    """What a round has besides its settings and rules."""

    title = StringField(
        "Title",
        validators=[Optional(), Length(max=120)],
        description="Shown everywhere next to the round's number. Empty: the title of the track.",
    )
    data = SelectField("Data set")

    def offer(self, slug: str, is_frozen: bool = False) -> None:
        """Fill the list of data sets; a track without any, or a frozen round, has no such field."""
        if is_frozen or not tracks.card(slug).data_kinds:
            del self.data
            return
        kinds = " or ".join(tracks.card(slug).data_kinds)
        self.data.description = (
            f"What the round is played on: what comes with the track, or an admin's accepted file of the lab ({kinds})."
        )
        self.data.choices = [("", "The track's own")] + [
            (asset.key, f"{asset.name}, version {asset.version}") for asset in datasets.suited(slug)
        ]

    def chosen(self, slug: str) -> Asset | None:
        """The data set that was chosen."""
        return datasets.named(slug, self.data.data) if self.data else None

    def blame(self, error: InvalidParameters) -> None:
        """Put a problem of the data set under its field."""
        if self.data and "data" in error.problems:
            self.data.errors = [*self.data.errors, error.problems["data"]]


class NewRoundForm(RoundForm):
    """A new round."""

    seed = IntegerField(
        "Seed",
        validators=[Optional(), NumberRange(min=0, max=(1 << 62) - 1)],
        description="Splits and matches follow from it. Empty: a random one, which is kept and shown.",
    )


@dataclass(frozen=True)
class Forms:
    """The three parts of one form."""

    base: RoundForm
    settings: parameters.ParameterForm
    rules: parameters.ParameterForm

    def succeed(self, act: Callable[[], Any]) -> bool:
        """Whether the form was sent, every part is valid and `act` took it; every problem shows at once."""
        if not self.base.is_submitted():
            return False
        if not all([self.settings.validate(), self.rules.validate()]):
            self.base.validate()
            return self._complain("Some values are not right; see below.")
        try:
            return self.base.succeeds(act)
        except InvalidParameters as error:
            for part in (self.base, self.settings, self.rules):
                part.blame(error)
            return self._complain("Some settings do not fit together; see below.")

    def _complain(self, message: str) -> bool:
        self.base.form_errors.append(message)
        self.base.status = 400
        return False


@blueprint.get("/admin/rounds", endpoint="rounds")
def everyone() -> str:
    """All rounds."""
    listed = [(row, rounds.phase(row)) for row in rounds.everyone()]
    return render_template("admin/rounds.html", rounds=listed, cards={card.slug: card for card in tracks.CARDS})


@blueprint.route("/admin/rounds/new", methods=["GET", "POST"])
def new_round() -> Response | str | tuple[str, int]:
    """A new round of the track that the address names."""
    slugs = [card.slug for card in tracks.CARDS]
    slug = request.args.get("track", slugs[0])
    slug = slug if slug in slugs else slugs[0]
    form = NewRoundForm()
    form.offer(slug)
    forms = Forms(form, *_parameter_forms(slug))
    if forms.succeed(lambda: _create(slug, forms, form.seed.data)):
        number = form.result.number
        flash(f"Round {number} has been set up. It is closed until you open a phase.", "success")
        return redirect(url_for("admin.round", number=number), 303)
    return render_template("admin/round_new.html", forms_=forms, cards=tracks.CARDS, slug=slug), form.status


def _create(slug: str, forms: Forms, seed: int | None) -> Round:
    title, settings, rules = forms.base.title.data or "", forms.settings.values(), forms.rules.values()
    return rounds.create(me(), slug, title, settings, rules, seed, forms.base.chosen(slug))


def _parameter_forms(slug: str, row: Round | None = None) -> tuple[parameters.ParameterForm, parameters.ParameterForm]:
    settings, rules = rounds.setting_fields(slug)
    # Frozen settings are only shown; what a browser sends for them is not looked at.
    data = request.form if request.method == "POST" and not (row and rounds.is_open(row)) else None
    return (
        parameters.form(settings, "settings", data, row.track_settings if row else None),
        parameters.form(rules, "rules", data, row.rules if row else None),
    )


@blueprint.route("/admin/rounds/<int:number>", methods=["GET", "POST"], endpoint="round")
def one(number: int) -> Response | str | tuple[str, int]:
    """One round: its title, and its settings until it opens."""
    row = rounds.by_number(number)
    is_frozen = rounds.is_open(row)
    base = RoundForm(title=row.title, data=row.data.key if row.data else "")
    base.offer(row.track, is_frozen)
    forms = Forms(base, *_parameter_forms(row.track, row))
    if forms.base.succeeds(lambda: _retitle(row, forms)) if is_frozen else forms.succeed(lambda: _edit(row, forms)):
        flash(f"Round {number} has been saved.", "success")
        return redirect(url_for("admin.round", number=number), 303)
    return render_template(
        "admin/round.html",
        row=row,
        card=tracks.card(row.track),
        forms_=forms,
        is_frozen=is_frozen,
        timetable=rounds.phase(row),
    ), forms.base.status


def _retitle(row: Round, forms: Forms) -> None:
    rounds.edit(me(), row, forms.base.title.data or "", row.track_settings, row.rules, row.data)


def _edit(row: Round, forms: Forms) -> None:
    title, settings, rules = forms.base.title.data or "", forms.settings.values(), forms.rules.values()
    rounds.edit(me(), row, title, settings, rules, forms.base.chosen(row.track))


@blueprint.post("/admin/rounds/<int:number>/current")
def make_current(number: int) -> Response:
    """Make this the round that the student pages show."""
    rounds.make_current(me(), rounds.by_number(number))
    flash(f"Round {number} is the current round now.", "success")
    return redirect(url_for("admin.rounds"), 303)


@blueprint.post("/admin/rounds/<int:number>/board")
def freeze_board(number: int) -> Response:
    """Freeze the leaderboard that students see, or let it run again."""
    is_frozen = request.form.get("frozen") == "yes"
    rounds.freeze_board(me(), rounds.by_number(number), is_frozen)
    said = "frozen: students see it as it is now, you see through" if is_frozen else "live again for everybody"
    flash(f"The leaderboard of round {number} is {said}.", "success")
    return redirect(url_for("admin.round", number=number), 303)
