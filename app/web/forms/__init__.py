"""What people fill in: one file per noun."""

from collections.abc import Callable
from typing import Any

from flask_wtf import FlaskForm

from app.errors import Refused


class Form(FlaskForm):
    """A form that hands its values to one use case and keeps what it answers."""

    result: Any = None
    status: int = 200
    """The HTTP status of the page that shows the form."""

    def succeeds(self, act: Callable[[], Any]) -> bool:
        """Whether the form was sent, is valid and `act` took it: its answer is `result`, a refusal a form error."""
        if not self.is_submitted():
            return False
        if not self.validate():
            self.status = 400
            return False
        try:
            self.result = act()
        except Refused as error:
            self.form_errors.append(str(error))
            self.status = error.status
            return False
        return True
