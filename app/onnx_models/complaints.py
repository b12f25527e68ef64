"""Collects what is wrong with a file, so that its owner mends it once."""

from app.errors import InvalidUpload, Reason

SHOWN = 5
FORMAT_FIX = "Export the model again, for instance with torch.onnx.export(model.eval(), example, path)."


class Unsupported(Exception):
    """Something is not what the interpreter knows; the message says what, in words for the file's owner."""


def quoted(text: str) -> str:
    """A name from the file, shortened and without control characters."""
    return ascii(text if len(text) <= 60 else text[:57] + "...")


class Complaints:
    """Broken rules with the places that break them; equal rules become one reason with a count."""

    def __init__(self) -> None:
        self._places: dict[tuple[str, str], list[str]] = {}
        self._counts: dict[tuple[str, str], int] = {}

    def add(self, rule: str, where: str = "", fix: str = FORMAT_FIX) -> None:
        """Note one place that breaks `rule`."""
        key = (rule, fix)
        self._counts[key] = self._counts.get(key, 0) + 1
        places = self._places.setdefault(key, [])
        if where and len(places) < SHOWN:
            places.append(where)

    def __bool__(self) -> bool:
        """Whether there is anything to complain about."""
        return bool(self._counts)

    def raise_all(self) -> None:
        """Raise InvalidUpload with every reason, if there is one."""
        if self:
            raise InvalidUpload(
                Reason(rule, "; ".join(self._places[rule, fix]), fix, count)
                for (rule, fix), count in self._counts.items()
            )


def refusal(rule: str, where: str = "", fix: str = FORMAT_FIX) -> InvalidUpload:
    """An InvalidUpload with a single reason."""
    return InvalidUpload([Reason(rule, where, fix)])
