"""What a test reads from a page."""

import html
import re
from typing import Any


def text(response: Any) -> str:
    """The words of a page, without tags."""
    body = re.sub(r"<(script|style|svg).*?</\1>", " ", response.get_data(as_text=True), flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())
