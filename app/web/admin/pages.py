"""Which part of a long list a page shows, and which round it is about."""

from collections.abc import Iterator
from dataclasses import dataclass

from flask import request

from app.models import Round
from app.services import rounds

SIZE = 50


@dataclass(frozen=True)
class Page:
    """One page of a list; `macros/pagination.html` draws the links."""

    page: int
    total: int
    size: int = SIZE

    @property
    def pages(self) -> int:
        """How many pages there are."""
        return -(-self.total // self.size)

    @property
    def has_prev(self) -> bool:
        """Whether there is one before."""
        return self.page > 1

    @property
    def has_next(self) -> bool:
        """Whether there is one after."""
        return self.page < self.pages

    @property
    def prev_num(self) -> int:
        """The number of the one before."""
        return self.page - 1

    @property
    def next_num(self) -> int:
        """The number of the one after."""
        return self.page + 1

    def iter_pages(self) -> Iterator[int | None]:
        """The numbers worth a link: the ends and the neighbours; None where numbers are left out."""
        last = 0
        for number in range(1, self.pages + 1):
            if number in {1, self.pages} or abs(number - self.page) <= 2:
                if number > last + 1:
                    yield None
                yield number
                last = number


def wanted() -> int:
    """The page number in the address, 1 when there is none or none that makes sense."""
    return max(1, min(request.args.get("page", 1, type=int), 1_000_000))


def chosen_round() -> Round | None:
    """The round in the address, or the current one; None while there is no round at all. Refuses an unknown number."""
    number = request.args.get("round", type=int)
    return rounds.by_number(number) if number is not None else rounds.current()


def filtered_round() -> Round | None:
    """The round in the address; None means all rounds."""
    number = request.args.get("round", type=int)
    return rounds.by_number(number) if number is not None else None
