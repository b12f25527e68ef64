"""Founding a team."""

from wtforms import StringField
from wtforms.validators import DataRequired, Length

from app.web.forms import Form


class TeamForm(Form):
    """A new team."""

    name = StringField(
        "Name of the team",
        [DataRequired("Give the team a name."), Length(max=40)],
        description="Up to 40 letters, digits, spaces or . _ ' + -.",
        render_kw={"maxlength": 40, "autocomplete": "off"},
    )
