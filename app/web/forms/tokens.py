"""Making a token."""

from wtforms import BooleanField, SelectField, StringField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import DataRequired, Length

from app.services.tokens import Scope
from app.web.forms import Form

DAYS = {7: "A week", 30: "30 days", 90: "90 days", 180: "Half a year", 365: "A year"}


class TokenForm(Form):
    """A new token."""

    name = StringField(
        "Name",
        [DataRequired("Give the token a name."), Length(max=80)],
        description="By which you know it again, the machine it is on for example.",
        render_kw={"maxlength": 80, "autocomplete": "off"},
    )
    read = BooleanField("read", default=True, description=Scope.READ.help)
    upload = BooleanField("upload", default=True, description=Scope.UPLOAD.help)
    admin = BooleanField("admin", description=Scope.ADMIN.help)
    days = SelectField("Valid for", coerce=int, choices=[SelectChoice(*one) for one in DAYS.items()], default=90)

    def scopes(self) -> list[Scope]:
        """The scopes that are ticked."""
        return [scope for scope in Scope if scope.value in self and self[scope.value].data]
