"""Switches that admins turn while the site runs."""

from typing import Any

from sqlalchemy import JSON, String
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Table


class SiteSetting(Table):
    """One switch, which takes the place of the configured default."""

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[Any] = mapped_column(JSON)
