"""Making a corpus."""

from wtforms import IntegerField, StringField, TextAreaField
from wtforms.validators import DataRequired, InputRequired, Length, NumberRange, Optional

from app.language.templates import SEED
from app.web.forms import Form


class CorpusForm(Form):
    """What every new corpus has."""

    name = StringField(
        "Name", validators=[Optional(), Length(max=100)], description="The same name again makes a new version."
    )


class SyntheticForm(CorpusForm):
    """Sentences of the template."""

    count = IntegerField(
        "Number of sentences", validators=[InputRequired(), NumberRange(1, 10_000)], default=2000,
        description="From 1 to 10,000.",
    )  # fmt: skip
    seed = IntegerField(
        "Seed", validators=[InputRequired(), NumberRange(0, (1 << 62) - 1)], default=SEED,
        description="The same seed always makes the same sentences.",
    )  # fmt: skip


class PastedForm(CorpusForm):
    """Sentences that somebody pastes."""

    text = TextAreaField(
        "Sentences", validators=[DataRequired(), Length(max=2_000_000)], description="One sentence a line."
    )
