"""Handing in a file."""

from typing import Any

from flask_wtf.file import FileField, FileRequired
from wtforms import ValidationError

from app.tracks.base import UploadRule
from app.web.forms import Form


class UploadForm(Form):
    """One file that the track's rule describes."""

    file = FileField("File", [FileRequired("Choose a file first.")])

    def __init__(self, rule: UploadRule, **kwargs: Any) -> None:
        """A form for files as `rule` wants them."""
        super().__init__(**kwargs)
        self.rule = rule
        self.file.description = rule.description
        self.file.render_kw = {"accept": ",".join(rule.suffixes)}

    def validate_file(self, field: FileField) -> None:
        """Refuse a file of another kind before it costs an upload."""
        if field.data and not str(field.data.filename).lower().endswith(self.rule.suffixes):
            kinds = " or ".join(self.rule.suffixes)
            raise ValidationError(f"The file's name has to end with {kinds}. {self.rule.description}")
