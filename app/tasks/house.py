"""Making the house's defences."""

from app.extensions import celery
from app.services import house, rounds


@celery.task(name="house.make")
def make(round_id: int, index: int) -> None:
    """Make one defence of the house and hand it in."""
    house.make(rounds.by_id(round_id), index)


@celery.task(name="house.make_reference")
def make_reference(round_id: int) -> None:
    """Make a round's undefended reference and hand it in."""
    house.make_reference(rounds.by_id(round_id))
