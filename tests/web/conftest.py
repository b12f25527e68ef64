"""What the pages' tests share."""

import pytest

from app.services import references
from app.services.references import AdversaryCard

CARDS = {
    "blind": AdversaryCard("Blind guess", "The baseline."),
    "random-forest": AdversaryCard(
        "Random forest on packet sizes",
        "Breiman, 2001.",
        ({"name": "trees", "value": 260, "help": "Trees of the forest.", "unit": ""},),
    ),
}


@pytest.fixture(autouse=True)
def _known_adversaries(monkeypatch):
    """Asking the real adversaries loads torch, which takes seconds."""
    monkeypatch.setattr(references, "cards", lambda track, row=None: CARDS)
